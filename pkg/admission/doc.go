// Package admission speaks the HTTP side of Kubernetes admission: it reads an
// AdmissionReview, asks a function for the verdict and writes the answer. It knows
// nothing of what is decided.
//
// What the API server, or anything else that reaches the port, may send:
//
//   - POST with a JSON body of at most [MaxBody] bytes that holds one
//     admission.k8s.io/v1 AdmissionReview with a request and a uid. The answer is
//     200 with an AdmissionReview, whatever the verdict.
//   - Anything else is answered with a 4xx and one line of text that says what is
//     wrong. The API server then applies the webhook's failurePolicy.
//
// The envelope is decoded case-sensitively and duplicate keys in it are refused,
// so that no two readers can see two different requests. The object, the old
// object and the options stay raw bytes.
package admission
