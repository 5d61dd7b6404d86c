// Package policytest runs tests of policies that are written as files: objects, who writes
// them and what else there is, and what admission is to make of them.
package policytest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"github.com/kubetorch/webhook/pkg/manifest"
	"github.com/kubetorch/webhook/pkg/offline"
)

// APIVersion and Kind of suites.
const (
	APIVersion = "test.kubetorch.com/v1alpha1"
	Kind       = "Suite"
)

// Suite is a file of tests.
type Suite struct {
	APIVersion string   `json:"apiVersion" desc:"test.kubetorch.com/v1alpha1"`
	Kind       string   `json:"kind" desc:"Suite"`
	Metadata   Metadata `json:"metadata" desc:"the suite's name"`
	// Policies and KnativeConfig are files, from the folder of the suite on.
	Policies      []string           `json:"policies,omitempty" desc:"files with ComputePolicies and GPUBudgets, relative to this file"`
	KnativeConfig []string           `json:"knativeConfig,omitempty" desc:"files with Knative's ConfigMaps, relative to this file"`
	Now           string             `json:"now,omitempty" desc:"the time at which objects are written, as RFC 3339, for exemptions that end; without it that of the run"`
	Namespaces    []KubernetesObject `json:"namespaces,omitempty" desc:"Namespace objects, for their labels"`
	Cases         []Case             `json:"cases" desc:"the tests"`
	Survivors     []Survivor         `json:"survivors,omitempty" desc:"changes of the policies that no case needs to notice, for --mutations"`

	// KnativeVersion is the release to go by; empty for the one that the ConfigMaps name.
	KnativeVersion string `json:"-"`
	// Source is the file, Docs are the policies' and Configs the ConfigMaps' documents.
	Source        string             `json:"-"`
	Docs, Configs []offline.Document `json:"-"`
}

// Metadata names a suite.
type Metadata struct {
	Name string `json:"name" desc:"a name"`
}

// KubernetesObject is a Kubernetes object.
type KubernetesObject = manifest.Object

// Case is one test.
type Case struct {
	Name      string           `json:"name" desc:"a sentence that says what the case shows"`
	Object    KubernetesObject `json:"object,omitempty" desc:"the object that is written"`
	File      string           `json:"file,omitempty" desc:"a file with the object, instead of object"`
	OldObject KubernetesObject `json:"oldObject,omitempty" desc:"the stored object; makes the request an update"`
	OldFile   string           `json:"oldFile,omitempty" desc:"a file with the stored object"`
	User      User             `json:"user,omitempty" desc:"who writes it"` //nolint:modernize // the schema goes by omitempty
	Now       string           `json:"now,omitempty" desc:"the time at which it is written, instead of the suite's"`
	NoKnative bool             `json:"noKnative,omitempty" desc:"the cluster has no Knative"`
	// NamespaceLabels are added to those of the suite's namespaces.
	NamespaceLabels map[string]string  `json:"namespaceLabels,omitempty" desc:"labels of the object's namespace"`
	Holds           []Holding          `json:"holds,omitempty" desc:"what others hold of budgets already"`
	Cluster         []KubernetesObject `json:"cluster,omitempty" desc:"other objects that exist, such as Revisions"`
	Idle            string             `json:"idle,omitempty" desc:"why no change of a policy makes it fail, for --mutations"`
	Expect          Expect             `json:"expect" desc:"what admission is to make of it"`
}

// User is who makes the request.
type User struct {
	Name           string   `json:"name,omitempty" desc:"the user's name"`
	Groups         []string `json:"groups,omitempty" desc:"the user's groups"`
	ServiceAccount string   `json:"serviceAccount,omitempty" desc:"namespace/name of a service account, instead of name"`
}

// Holding is what somebody holds of a budget.
type Holding struct {
	Budget    string `json:"budget" desc:"the GPUBudget's name"`
	Namespace string `json:"namespace" desc:"the namespace of who holds it"`
	GPUs      int64  `json:"gpus" desc:"how many"`
}

// Expect is what is compared; what is left out is not.
type Expect struct {
	Allowed   *bool            `json:"allowed,omitempty" desc:"whether the object is admitted"`
	Expansion KubernetesObject `json:"expansion,omitempty" desc:"the whole object that comes of it; of a Deployment that becomes a Knative Service, that"`
	Paths     map[string]any   `json:"paths,omitempty" desc:"values in it by path, such as spec.template.metadata.annotations[autoscaling.knative.dev/max-scale]; null if there is none"`
	Warnings  *[]string        `json:"warnings,omitempty" desc:"all warnings"`
	Causes    *[]Cause         `json:"causes,omitempty" desc:"all reasons for a refusal"`
	Claim     *CaseClaim       `json:"claim,omitempty" desc:"the GPUs that it claims"`
}

// Cause is one reason for a refusal.
type Cause struct {
	Field   string `json:"field" desc:"the path of the field"`
	Message string `json:"message" desc:"what is wrong with it"`
}

// CaseClaim is what an object claims; -1 is without limit.
type CaseClaim struct {
	GPUs       int64 `json:"gpus" desc:"GPUs per pod times peak pods"`
	GPUsPerPod int64 `json:"gpusPerPod" desc:"GPUs of one pod"`
	PeakPods   int64 `json:"peakPods" desc:"the largest number of pods"`
}

// Survivor is a change of a policy that no case notices, and why that is right.
type Survivor struct {
	Mutation string `json:"mutation" desc:"the change, as test --mutations prints it"`
	Reason   string `json:"reason" desc:"why no case needs to notice it"`
}

// Load reads all suites below a folder, or a file. Files of another kind are left alone.
func Load(path string) ([]*Suite, error) {
	var suites []*Suite
	var problems []error
	err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if !bytes.Contains(content, []byte(APIVersion)) {
			return nil
		}
		s, err := parse(name, content)
		if err != nil {
			problems = append(problems, err)
		}
		if s != nil {
			suites = append(suites, s)
		}
		return nil
	})
	if err = errors.Join(append(problems, err)...); err != nil {
		return nil, err
	}
	if len(suites) == 0 {
		return nil, fmt.Errorf("%s holds no %s of %s", path, Kind, APIVersion)
	}
	return suites, nil
}

// parse reads a suite and the files that it names.
func parse(name string, content []byte) (*Suite, error) {
	docs, err := offline.Parse(name, content)
	if err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(d offline.Document) bool { return d.Object == nil })
	if len(docs) != 1 || docs[0].Object["apiVersion"] != APIVersion {
		for _, d := range docs {
			if d.Object["apiVersion"] == APIVersion {
				return nil, fmt.Errorf("%s: a %s stands in a file by itself", name, Kind)
			}
		}
		return nil, nil
	}
	s := &Suite{Source: name}
	if errs := s.decode(docs[0].Object); len(errs) > 0 {
		return nil, offline.Within(name, errs.ToAggregate())
	}
	return s, s.read()
}

// decode gives a suite its type, and names every mistake in it.
func (s *Suite) decode(o manifest.Object) field.ErrorList {
	t := reflect.TypeFor[Suite]()
	errs := manifest.CheckType(o, t, nil, func(path *field.Path, known []string) *field.Error {
		return field.Forbidden(path, "is no field; allowed here: "+strings.Join(known, ", "))
	})
	raw, err := json.Marshal(manifest.Fitting(o, t, errs))
	if err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(raw, s)
	}
	if err != nil { // of what CheckType passes
		return append(errs, field.Invalid(field.NewPath("cases"), field.OmitValueType{}, "cannot be read"))
	}
	return append(errs, manifest.Unsaid(s.validate(), errs)...)
}

func (s *Suite) validate() field.ErrorList {
	var errs field.ErrorList
	if s.Kind != Kind {
		errs = append(errs, field.NotSupported(field.NewPath("kind"), s.Kind, []string{Kind}))
	}
	if s.Metadata.Name == "" {
		errs = append(errs, field.Required(field.NewPath("metadata", "name"), "a suite needs a name"))
	}
	if len(s.Cases) == 0 {
		errs = append(errs, field.Required(field.NewPath("cases"), "a suite needs a case"))
	}
	errs = append(errs, validateTime(field.NewPath("now"), s.Now)...)
	names := map[string]bool{}
	for i, c := range s.Cases {
		at := field.NewPath("cases").Index(i)
		if c.Name == "" {
			errs = append(errs, field.Required(at.Child("name"), "a case needs a name"))
		} else if names[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		names[c.Name] = true
		errs = append(errs, validateTime(at.Child("now"), c.Now)...)
		if (c.Object == nil) == (c.File == "") {
			errs = append(errs, field.Invalid(at.Child("object"), "", "give either object or file"))
		}
		if c.OldObject != nil && c.OldFile != "" {
			errs = append(errs, field.Invalid(at.Child("oldObject"), "", "give either oldObject or oldFile"))
		}
		if c.User.Name != "" && c.User.ServiceAccount != "" {
			errs = append(errs, field.Invalid(at.Child("user"), "", "give either name or serviceAccount"))
		}
	}
	for i, m := range s.Survivors {
		if m.Reason == "" {
			errs = append(errs, field.Required(field.NewPath("survivors").Index(i).Child("reason"), "say why no case needs to notice it"))
		}
	}
	return errs
}

func validateTime(at *field.Path, text string) field.ErrorList {
	if _, err := time.Parse(time.RFC3339, text); err != nil && text != "" {
		return field.ErrorList{field.Invalid(at, text, "is no time; allowed: RFC 3339, such as 2027-01-31T00:00:00Z")}
	}
	return nil
}

// clock is the time at which a case's object is written.
func (s *Suite) clock(c *Case) func() time.Time {
	for _, text := range []string{c.Now, s.Now} {
		if now, err := time.Parse(time.RFC3339, text); err == nil {
			return func() time.Time { return now }
		}
	}
	return time.Now
}

// read reads the files that the suite names. The error names all that cannot be read.
func (s *Suite) read() error {
	var problems []error
	read := func(what string, files []string) (docs []offline.Document, ok bool) {
		docs, err := offline.ReadDocuments(s.relative(files), nil)
		problems = append(problems, offline.Within(s.Source+": "+what, err))
		return docs, err == nil
	}
	s.Docs, _ = read("policies", s.Policies)
	s.Configs, _ = read("knativeConfig", s.KnativeConfig)
	for i := range s.Cases {
		c := &s.Cases[i]
		for _, f := range []struct {
			name   string
			object *KubernetesObject
		}{{c.File, &c.Object}, {c.OldFile, &c.OldObject}} {
			if f.name == "" {
				continue
			}
			what := fmt.Sprintf("case %q", c.Name)
			docs, ok := read(what, []string{f.name})
			docs = slices.DeleteFunc(docs, func(d offline.Document) bool { return d.Object == nil })
			switch {
			case !ok:
			case len(docs) != 1:
				problems = append(problems, fmt.Errorf("%s: %s: %s holds %d objects; a case is about one", s.Source, what, f.name, len(docs)))
			default:
				*f.object = docs[0].Object
			}
		}
	}
	return errors.Join(problems...)
}

// inputs are what a cluster with some policies would know.
func (s *Suite) inputs(docs []offline.Document) (offline.Inputs, error) {
	in, err := offline.Compile(docs, s.Configs)
	if err == nil {
		err = in.OfRelease(s.KnativeVersion)
	}
	return in, err
}

func (s *Suite) relative(files []string) []string {
	all := make([]string, len(files))
	for i, f := range files {
		if all[i] = f; !filepath.IsAbs(f) {
			all[i] = filepath.Join(filepath.Dir(s.Source), f)
		}
	}
	return all
}
