package admission

import (
	admissionv1 "k8s.io/api/admission/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubetorch/webhook/pkg/jsonscan"
)

// scan reads the envelope as API servers write it. Anything else is not ok, and left to
// the decoder that can say what is wrong.
func scan(data []byte) (*admissionv1.AdmissionRequest, bool) {
	s := scanner{jsonscan.NewScanner(data)}
	defer s.Release()
	var version, kind string
	var request *admissionv1.AdmissionRequest
	ok := s.Fields(func(key []byte) bool {
		switch string(key) {
		case "apiVersion":
			return s.text(&version)
		case "kind":
			return s.text(&kind)
		case "request":
			request = &admissionv1.AdmissionRequest{}
			return s.request(request)
		}
		return false
	})
	return request, ok && s.End() && version == admissionv1.SchemeGroupVersion.String() && kind == "AdmissionReview" &&
		request != nil && request.UID != ""
}

type scanner struct{ *jsonscan.Scanner }

func (s scanner) request(r *admissionv1.AdmissionRequest) bool {
	return s.Fields(func(key []byte) bool {
		switch string(key) {
		case "uid":
			return s.text((*string)(&r.UID))
		case "kind":
			return s.kind(&r.Kind)
		case "resource":
			return s.resource(&r.Resource)
		case "subResource":
			return s.text(&r.SubResource)
		case "requestKind":
			r.RequestKind = &metav1.GroupVersionKind{}
			return s.kind(r.RequestKind)
		case "requestResource":
			r.RequestResource = &metav1.GroupVersionResource{}
			return s.resource(r.RequestResource)
		case "requestSubResource":
			return s.text(&r.RequestSubResource)
		case "name":
			return s.text(&r.Name)
		case "namespace":
			return s.text(&r.Namespace)
		case "operation":
			return s.text((*string)(&r.Operation))
		case "userInfo":
			return s.user(&r.UserInfo)
		case "object":
			return s.object(&r.Object)
		case "oldObject":
			return s.object(&r.OldObject)
		case "options":
			return s.object(&r.Options)
		case "dryRun":
			dry, ok := s.Bool()
			r.DryRun = &dry
			return ok
		}
		return false
	})
}

func (s scanner) user(u *authenticationv1.UserInfo) bool {
	return s.Fields(func(key []byte) bool {
		switch string(key) {
		case "username":
			return s.text(&u.Username)
		case "uid":
			return s.text(&u.UID)
		case "groups":
			return s.texts(&u.Groups)
		case "extra":
			u.Extra = map[string]authenticationv1.ExtraValue{}
			return s.Fields(func(key []byte) bool {
				var values []string
				ok := s.texts(&values)
				u.Extra[string(key)] = values
				return ok
			})
		}
		return false
	})
}

func (s scanner) kind(k *metav1.GroupVersionKind) bool {
	return s.Fields(func(key []byte) bool {
		switch string(key) {
		case "group":
			return s.text(&k.Group)
		case "version":
			return s.text(&k.Version)
		case "kind":
			return s.text(&k.Kind)
		}
		return false
	})
}

func (s scanner) resource(r *metav1.GroupVersionResource) bool {
	return s.Fields(func(key []byte) bool {
		switch string(key) {
		case "group":
			return s.text(&r.Group)
		case "version":
			return s.text(&r.Version)
		case "resource":
			return s.text(&r.Resource)
		}
		return false
	})
}

func (s scanner) text(to *string) (ok bool) {
	*to, ok = s.Word(usual)
	return ok
}

// usual gives the words that stand in most requests, without a copy of them.
func usual(text []byte) string {
	switch string(text) {
	case "AdmissionReview":
		return "AdmissionReview"
	case "admission.k8s.io/v1":
		return "admission.k8s.io/v1"
	case "CREATE":
		return "CREATE"
	case "UPDATE":
		return "UPDATE"
	case "DELETE":
		return "DELETE"
	case "CONNECT":
		return "CONNECT"
	case "v1":
		return "v1"
	case "v1alpha1":
		return "v1alpha1"
	case "apps":
		return "apps"
	case "deployments":
		return "deployments"
	case "Deployment":
		return "Deployment"
	case "serving.knative.dev":
		return "serving.knative.dev"
	case "services":
		return "services"
	case "Service":
		return "Service"
	case "configurations":
		return "configurations"
	case "Configuration":
		return "Configuration"
	case "routes":
		return "routes"
	case "Route":
		return "Route"
	case "revisions":
		return "revisions"
	case "Revision":
		return "Revision"
	case "autoscaling.internal.knative.dev":
		return "autoscaling.internal.knative.dev"
	case "podautoscalers":
		return "podautoscalers"
	case "PodAutoscaler":
		return "PodAutoscaler"
	case "default":
		return "default"
	case "system:authenticated":
		return "system:authenticated"
	}
	return ""
}

func (s scanner) texts(to *[]string) bool {
	*to = []string{}
	return s.Elements(func() bool {
		text, ok := s.String()
		*to = append(*to, text)
		return ok
	})
}

// object leaves out null, as runtime.RawExtension does.
func (s scanner) object(to *runtime.RawExtension) bool {
	raw, ok := s.Raw()
	if string(raw) != "null" {
		to.Raw = raw
	}
	return ok
}
