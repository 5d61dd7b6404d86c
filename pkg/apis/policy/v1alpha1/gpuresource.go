package v1alpha1

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
)

// GPUResource is a resource name that counts as GPUs, alone or with its weight.
//
// +kubebuilder:validation:Type=""
// +kubebuilder:pruning:PreserveUnknownFields
type GPUResource struct {
	// Name of the resource; a trailing * matches any suffix.
	// +kubebuilder:validation:MaxLength=316
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/([A-Za-z0-9][-A-Za-z0-9_.]*\*?|\*)$`
	Name string `json:"name"`
	// GPUs that one of the resource stands for: a whole number, a decimal one or a
	// fraction such as "1/7". Empty is 1.
	// +kubebuilder:validation:Type=""
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^[0-9]{1,7}(/[0-9]{1,7}|[.][0-9]{1,6})?$`
	// +optional
	GPUs string `json:"gpus,omitempty"`
}

// writtenGPUResource is what an object of a name and a weight has.
type writtenGPUResource struct {
	Name string `json:"name"`
	GPUs any    `json:"gpus,omitempty"`
}

// Shape is the type whose fields an object has; the rest UnmarshalJSON tells.
func (GPUResource) Shape(v any) reflect.Type {
	if _, ok := v.(map[string]any); ok {
		return reflect.TypeFor[writtenGPUResource]()
	}
	return nil
}

// UnmarshalJSON reads a name, or an object of a name and a weight.
func (g *GPUResource) UnmarshalJSON(raw []byte) error {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) > 0 && raw[0] == '"':
		*g = GPUResource{}
		return json.Unmarshal(raw, &g.Name)
	case len(raw) == 0 || raw[0] != '{':
		return errors.New("must be a resource name, or an object of a name and gpus")
	}
	var p struct {
		Name string          `json:"name"`
		GPUs json.RawMessage `json:"gpus,omitempty"`
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		return errors.New("must be an object of a name and gpus, and nothing else")
	}
	*g = GPUResource{Name: p.Name}
	switch {
	case len(p.GPUs) == 0 || string(p.GPUs) == "null":
	case p.GPUs[0] == '"':
		if err := json.Unmarshal(p.GPUs, &g.GPUs); err != nil {
			return err
		}
		if g.GPUs == "" {
			return errors.New("gpus may not be empty; leave it out for 1")
		}
	default:
		var n int64
		if err := json.Unmarshal(p.GPUs, &n); err != nil {
			return errors.New("gpus must be a whole number, or a string such as \"1/7\"")
		}
		g.GPUs = strconv.FormatInt(n, 10)
	}
	return nil
}

// MarshalJSON writes a name without a weight as a string.
func (g GPUResource) MarshalJSON() ([]byte, error) {
	if g.GPUs == "" {
		return json.Marshal(g.Name)
	}
	return json.Marshal(map[string]string{"name": g.Name, "gpus": g.GPUs})
}
