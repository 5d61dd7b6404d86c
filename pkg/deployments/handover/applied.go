package handover

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// Applied is what AppliedAnnotation holds: the spec that was applied last, and a digest of
// the Deployment that it was made from. As long as the Deployment asks for the same, the same
// is applied, whatever policies and defaults have become meanwhile; and a spec that differs
// tells that fields are to be removed.
type Applied struct {
	Workload string          `json:"workload"`
	Spec     manifest.Object `json:"spec"`
}

const (
	// plainApplied is the length in bytes up to which the record is written as JSON; a
	// longer one is compressed.
	plainApplied = 32 << 10
	// otherAnnotations are bytes left for what Knative and the API server add.
	otherAnnotations = 4 << 10
	// maxApplied bounds what a record is taken to be once it is read, in bytes: etcd stores
	// no object of more.
	maxApplied = 4 << 20
)

// Text is the value of the annotation: JSON, or base64 of compressed JSON where that is long.
func (a Applied) Text() string {
	plain, err := json.Marshal(a) // with sorted keys
	if err != nil {
		panic(err) // decoded JSON always marshals
	}
	if len(plain) <= plainApplied {
		return string(plain)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(plain)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return base64.StdEncoding.EncodeToString(packed.Bytes())
}

// ReadApplied reads the value of the annotation; false if it is none that Text wrote.
func ReadApplied(text string) (Applied, bool) {
	raw := []byte(text)
	if len(raw) > 0 && raw[0] != '{' {
		packed, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return Applied{}, false
		}
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return Applied{}, false
		}
		if raw, err = io.ReadAll(io.LimitReader(r, maxApplied)); err != nil {
			return Applied{}, false
		}
	}
	o, err := manifest.Decode(raw)
	if err != nil {
		return Applied{}, false
	}
	a := Applied{Workload: manifest.Text(o, "workload"), Spec: manifest.Map(o, "spec")}
	return a, a.Spec != nil
}

// CheckApplied refuses a Deployment whose Knative Service could not be written: its
// annotations, with the record of what was applied, would take more than the 256 KiB that
// the API server allows (apimachinery, validation.TotalAnnotationSizeLimitB).
func CheckApplied(service manifest.Object) *field.Error {
	record := Applied{Workload: "0000000000000000", Spec: manifest.Map(service, "spec")}
	size := len(AppliedAnnotation) + len(record.Text()) + otherAnnotations
	for key, value := range manifest.Texts(service, "metadata", "annotations") {
		size += len(key) + len(value)
	}
	if size <= apivalidation.TotalAnnotationSizeLimitB {
		return nil
	}
	return field.Forbidden(field.NewPath("spec", "template"), fmt.Sprintf(
		"is too large: the annotations of its Knative Service, with the record of what was applied, would take %d bytes of "+
			"at most %d; move environment or arguments into a ConfigMap, or shorten annotations",
		size, apivalidation.TotalAnnotationSizeLimitB))
}
