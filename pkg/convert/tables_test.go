package convert

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// The tables have a row for each field of the API, and none for anything else, so that no
// field of a newer version goes unnoticed.
func TestTablesHaveARowForEveryField(t *testing.T) {
	ports := (&conversion{}).portLevel()
	for _, c := range []struct {
		of    any
		rules level
	}{
		{appsv1.DeploymentSpec{}, deploymentLevel},
		{corev1.PodSpec{}, podLevel},
		{corev1.Container{}, containerLevel},
		{corev1.ContainerPort{}, ports},
		{corev1.Volume{}, volumeLevel},
	} {
		covers(t, reflect.TypeOf(c.of), c.rules)
	}
}

func covers(t *testing.T, of reflect.Type, rules level) {
	t.Helper()
	fields := map[string]reflect.Type{}
	collect(of, fields)
	if of.Name() == "ObjectMeta" { // of the claim that an ephemeral volume makes
		fields = map[string]reflect.Type{"labels": nil, "annotations": nil}
	}
	assert.Equal(t, slices.Sorted(maps.Keys(fields)), slices.Sorted(maps.Keys(rules)), "fields of %s", of)
	for name, r := range rules {
		if r.within != nil && fields[name] != nil {
			covers(t, element(fields[name]), r.within)
		}
	}
}

// collect lists the JSON fields of a type, those of embedded types too.
func collect(of reflect.Type, fields map[string]reflect.Type) {
	for f := range of.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && (f.Anonymous || options == "inline") {
			collect(f.Type, fields)
			continue
		}
		fields[name] = f.Type
	}
}

func element(of reflect.Type) reflect.Type {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	return of
}
