package offline

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/knative"
	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/policy"
	"github.com/kubetorch/webhook/pkg/workload"
)

func newReader(content []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(content)) }

// Inputs are what a cluster would know: its policies and its Knative configuration.
type Inputs struct {
	Policies []v1alpha1.ComputePolicy
	Budgets  []v1alpha1.GPUBudget
	// Classes are the DeviceClasses among the documents of the policies.
	Classes []workload.DeviceClass
	// Templates are the ResourceClaimTemplates among them.
	Templates []manifest.Object
	Knative   *knative.Config
	// NoKnative stands for a cluster without Knative.
	NoKnative bool
	// Cluster is what was read of a cluster; nil where none was asked.
	Cluster *ClusterState
	// KeepWritten keeps each object as it was read beside what becomes of it.
	KeepWritten bool
	// Warnings name what was passed over.
	Warnings []string
}

// ClusterState is what else was read of a cluster.
type ClusterState struct {
	// Namespaces are the labels of all namespaces, by name.
	Namespaces map[string]map[string]string
	// UID is that of an object, empty if there is none: what it claims already is not claimed
	// once more.
	UID func(kind schema.GroupKind, namespace, name string) (string, error)
}

// OfRelease sets the release of Knative; empty text leaves the one that the ConfigMaps name,
// else the newest known.
func (in *Inputs) OfRelease(text string) error {
	if text == "" {
		return nil
	}
	n, err := knative.ParseRelease(text)
	if err == nil && (n < knative.OldestRelease || n > knative.NewestRelease) {
		in.Warnings = append(in.Warnings, fmt.Sprintf("Knative %s is not one of those known, 1.%d to 1.%d; the nearest counts", text, knative.OldestRelease, knative.NewestRelease))
	}
	if err == nil && in.Knative != nil {
		in.Knative = in.Knative.WithRelease(n)
	}
	return err
}

// Load reads policies and Knative ConfigMaps from files, of which one may be "-" for stdin. An
// invalid one is an error.
func Load(policyFiles, knativeConfigFiles []string, stdin io.Reader) (Inputs, error) {
	policies, unreadable := ReadDocuments(policyFiles, stdin)
	configs, alsoUnreadable := ReadDocuments(knativeConfigFiles, stdin)
	in, err := compile(policies, configs)
	return in, utilerrors.NewAggregate(slices.Concat(Problems(unreadable), Problems(alsoUnreadable), Problems(err)))
}

// compile makes inputs of documents that are policies and ConfigMaps. The error names all
// that is wrong with them.
func compile(policies, configs []Document) (in Inputs, err error) {
	var problems []error
	add := func(d Document, what string, errs ...error) {
		for _, err := range errs {
			problems = append(problems, fmt.Errorf("%s: %s%w", d.Source, what, err))
		}
	}
	for _, d := range flatten(policies) {
		if isDeviceClass(d.Object) {
			in.Classes = append(in.Classes, workload.ReadDeviceClass(d.Object))
			continue
		}
		if groupKind(d.Object) == workload.ResourceClaimTemplateKind {
			in.Templates = append(in.Templates, d.Object)
			continue
		}
		name := manifest.Text(d.Object, "metadata", "name")
		switch kind, version := manifest.Text(d.Object, "kind"), manifest.Text(d.Object, "apiVersion"); {
		case version == v1alpha1.GroupVersion.String() && kind == "GPUBudget":
			b, errs := policy.ReadBudget(d.Object)
			if slices.ContainsFunc(in.Budgets, func(o v1alpha1.GPUBudget) bool { return o.Name == b.Name }) {
				add(d, "", fmt.Errorf("there is a GPUBudget %s already", b.Name))
			}
			add(d, title("GPUBudget", name), each(errs)...)
			in.Budgets = append(in.Budgets, b)
		case version == v1alpha1.GroupVersion.String() && kind == "ComputePolicy":
			p, errs := policy.Read(d.Object)
			if slices.ContainsFunc(in.Policies, func(o v1alpha1.ComputePolicy) bool { return o.Name == p.Name && name != "" }) {
				add(d, "", fmt.Errorf("there is a ComputePolicy %s already", p.Name))
			}
			add(d, title("ComputePolicy", name), each(errs)...)
			in.Policies = append(in.Policies, p)
		case kind == "GPUBudget":
			add(d, "", fmt.Errorf("is a %s GPUBudget; this version reads those of %s", version, v1alpha1.GroupVersion))
		default:
			add(d, "", fmt.Errorf("is a %s %s; policies are ComputePolicy and GPUBudget of %s", version, kind, v1alpha1.GroupVersion))
		}
	}
	in.Knative = compileConfigs(configs, &in, add)
	return in, utilerrors.NewAggregate(problems)
}

// compileConfigs reads Knative's ConfigMaps among documents, and adds what is wrong with them,
// if anything is.
func compileConfigs(configs []Document, in *Inputs, add func(d Document, what string, errs ...error)) *knative.Config {
	maps, labels, sources := map[string]map[string]string{}, map[string]string{}, map[string]Document{}
	for _, d := range flatten(configs) {
		name, data, errs := readConfigMap(d)
		add(d, title("ConfigMap", name), errs...)
		switch {
		case data == nil:
		case !slices.Contains(knative.ConfigMaps, name):
			in.Warnings = append(in.Warnings, fmt.Sprintf("%s: ConfigMap %s is passed over; only %s are read", d.Source, name, strings.Join(knative.ConfigMaps, ", ")))
		case maps[name] != nil:
			add(d, "", fmt.Errorf("there is a ConfigMap %s already", name))
		default:
			maps[name], sources[name] = data, d
			if name == knative.FeaturesConfig || len(labels) == 0 {
				labels = manifest.Texts(d.Object, "metadata", "labels")
			}
		}
	}
	config, err := knative.ParseConfig(maps)
	if mistakes, ok := errors.AsType[knative.ConfigErrors](err); ok {
		for _, m := range mistakes {
			add(sources[m.ConfigMap], "", m)
		}
		return nil
	}
	return config.OfRelease(labels)
}

// title names an object before a problem with it.
func title(kind, name string) string {
	if name == "" {
		return ""
	}
	return kind + " " + name + ": "
}

func each(errs field.ErrorList) []error {
	all := make([]error, len(errs))
	for i, e := range errs {
		all[i] = e
	}
	return all
}

// isDeviceClass tells whether an object is a DeviceClass, of any version.
func isDeviceClass(o manifest.Object) bool {
	return groupKind(o) == workload.DeviceClassKind
}

// DeviceClasses are those among documents.
func DeviceClasses(docs []Document) []workload.DeviceClass {
	var classes []workload.DeviceClass
	for _, d := range flatten(docs) {
		if isDeviceClass(d.Object) {
			classes = append(classes, workload.ReadDeviceClass(d.Object))
		}
	}
	return classes
}

// flatten replaces v1 Lists by their items, those of Lists within Lists too, and drops
// documents without content.
func flatten(docs []Document) []Document {
	var flat []Document
	for _, d := range docs {
		switch {
		case d.Object == nil:
		case isList(d.Object):
			for i, item := range manifest.Objects(d.Object, "items") {
				if item == nil {
					item = manifest.Object{} // no object, and so without a kind
				}
				flat = append(flat, flatten([]Document{{Source: fmt.Sprintf("%s, items[%d]", d.Source, i), Object: item}})...)
			}
		default:
			flat = append(flat, d)
		}
	}
	return flat
}

func isList(o manifest.Object) bool {
	_, ok := o["items"].([]any)
	return ok && namedList(o)
}

// namedList tells whether an object is a v1 List by its name.
func namedList(o manifest.Object) bool {
	return manifest.Text(o, "apiVersion") == "v1" && strings.HasSuffix(manifest.Text(o, "kind"), "List")
}

// readConfigMap reads the name and the data of a ConfigMap, and says what is wrong with it. The
// data are nil if it is none.
func readConfigMap(d Document) (string, map[string]string, []error) {
	name := manifest.Text(d.Object, "metadata", "name")
	if kind := manifest.Text(d.Object, "kind"); kind != "ConfigMap" {
		return "", nil, []error{fmt.Errorf("is a %s; Knative's configuration is in ConfigMaps", kind)}
	}
	unknown := func(path *field.Path, known []string) *field.Error {
		return field.Forbidden(path, "is no field of a ConfigMap; allowed here: "+strings.Join(known, ", "))
	}
	errs := manifest.CheckType(d.Object, reflect.TypeFor[corev1.ConfigMap](), nil, unknown)
	data := manifest.Texts(d.Object, "data") // without values of another type
	if data == nil {
		data = map[string]string{}
	}
	return name, data, each(errs)
}
