package offline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

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
	Knative *knative.Config
	// NoKnative stands for a cluster without Knative.
	NoKnative bool
	// Warnings name what was passed over.
	Warnings []string
}

// Load reads policies and Knative ConfigMaps from files. An invalid one is an error.
func Load(policyFiles, knativeConfigFiles []string) (Inputs, error) {
	policies, err := ReadDocuments(policyFiles, nil)
	if err != nil {
		return Inputs{}, err
	}
	configs, err := ReadDocuments(knativeConfigFiles, nil)
	if err != nil {
		return Inputs{}, err
	}
	return compile(policies, configs)
}

// compile makes inputs of documents that are policies and ConfigMaps.
func compile(policies, configs []Document) (in Inputs, err error) {
	for _, d := range flatten(policies) {
		if isDeviceClass(d.Object) {
			in.Classes = append(in.Classes, workload.ReadDeviceClass(d.Object))
			continue
		}
		if manifest.Text(d.Object, "kind") == "GPUBudget" {
			b, err := readBudget(d)
			if err != nil {
				return in, fmt.Errorf("%s: %w", d.Source, err)
			}
			if slices.ContainsFunc(in.Budgets, func(o v1alpha1.GPUBudget) bool { return o.Name == b.Name }) {
				return in, fmt.Errorf("%s: there is a GPUBudget %s already", d.Source, b.Name)
			}
			in.Budgets = append(in.Budgets, *b)
			continue
		}
		p, err := readPolicy(d)
		if err != nil {
			return in, fmt.Errorf("%s: %w", d.Source, err)
		}
		if slices.ContainsFunc(in.Policies, func(o v1alpha1.ComputePolicy) bool { return o.Name == p.Name }) {
			return in, fmt.Errorf("%s: there is a ComputePolicy %s already", d.Source, p.Name)
		}
		in.Policies = append(in.Policies, *p)
	}
	maps := map[string]map[string]string{}
	for _, d := range flatten(configs) {
		name, data, err := readConfigMap(d)
		if err != nil {
			return in, fmt.Errorf("%s: %w", d.Source, err)
		}
		if !slices.Contains(knative.ConfigMaps, name) {
			in.Warnings = append(in.Warnings, fmt.Sprintf("%s: ConfigMap %s is passed over; only %s are read", d.Source, name, strings.Join(knative.ConfigMaps, ", ")))
			continue
		}
		if maps[name] != nil {
			return in, fmt.Errorf("%s: there is a ConfigMap %s already", d.Source, name)
		}
		maps[name] = data
	}
	in.Knative, err = knative.ParseConfig(maps)
	return in, err
}

// isDeviceClass tells whether an object is a DeviceClass, of any version.
func isDeviceClass(o manifest.Object) bool {
	return groupKind(o) == schema.GroupKind{Group: "resource.k8s.io", Kind: "DeviceClass"}
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
				flat = append(flat, flatten([]Document{{Source: fmt.Sprintf("%s, item %d", d.Source, i+1), Object: item}})...)
			}
		default:
			flat = append(flat, d)
		}
	}
	return flat
}

func isList(o manifest.Object) bool {
	return manifest.Text(o, "apiVersion") == "v1" && strings.HasSuffix(manifest.Text(o, "kind"), "List") && o["items"] != nil
}

func readPolicy(d Document) (*v1alpha1.ComputePolicy, error) {
	kind, version := manifest.Text(d.Object, "kind"), manifest.Text(d.Object, "apiVersion")
	if kind != "ComputePolicy" || version != v1alpha1.GroupVersion.String() {
		return nil, fmt.Errorf("is a %s %s; policies are ComputePolicy and GPUBudget of %s", version, kind, v1alpha1.GroupVersion)
	}
	var p v1alpha1.ComputePolicy
	if err := decodeStrict(d.Object, &p); err != nil {
		return nil, err
	}
	if p.Name == "" {
		return nil, field.Required(field.NewPath("metadata", "name"), "a ComputePolicy needs a name")
	}
	if errs := policy.Validate(&p); len(errs) > 0 {
		return nil, fmt.Errorf("ComputePolicy %s: %w", p.Name, errs.ToAggregate())
	}
	return &p, nil
}

func readBudget(d Document) (*v1alpha1.GPUBudget, error) {
	if version := manifest.Text(d.Object, "apiVersion"); version != v1alpha1.GroupVersion.String() {
		return nil, fmt.Errorf("is a %s GPUBudget; this version reads those of %s", version, v1alpha1.GroupVersion)
	}
	var b v1alpha1.GPUBudget
	if err := decodeStrict(d.Object, &b); err != nil {
		return nil, err
	}
	if errs := policy.ValidateBudget(&b); len(errs) > 0 {
		return nil, fmt.Errorf("GPUBudget %s: %w", b.Name, errs.ToAggregate())
	}
	return &b, nil
}

func readConfigMap(d Document) (string, map[string]string, error) {
	if manifest.Text(d.Object, "kind") != "ConfigMap" {
		return "", nil, fmt.Errorf("is a %s; Knative's configuration is in ConfigMaps", manifest.Text(d.Object, "kind"))
	}
	var m corev1.ConfigMap
	if err := decodeStrict(d.Object, &m); err != nil {
		return "", nil, err
	}
	if m.Data == nil {
		m.Data = map[string]string{}
	}
	return m.Name, m.Data, nil
}

// decodeStrict gives an object its type; a field that the type does not have is an error.
func decodeStrict(o manifest.Object, into any) error {
	raw, err := json.Marshal(o)
	if err != nil {
		return err
	}
	strict, err := kjson.UnmarshalStrict(raw, into)
	if err != nil {
		return err
	}
	if len(strict) > 0 {
		return strict[0]
	}
	return nil
}
