package differential

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// documented are the only places of a Service that an expansion writes: single values,
// and lists that it appends to.
var (
	documentedValues = regexp.MustCompile(`^(` + strings.Join([]string{
		`/metadata/annotations/kubetorch\.com~1(expansion|inactivity-ttl)`,
		`/spec/template/metadata/annotations/autoscaling\.knative\.dev~1(class|metric|target|window)`,
		`/spec/template/metadata/annotations/autoscaling\.knative\.dev~1(min-scale|minScale|max-scale|maxScale|initial-scale|initialScale)`,
		`/spec/template/metadata/annotations/autoscaling\.knative\.dev~1(scale-down-delay|scaleDownDelay|target-utilization-percentage|targetUtilizationPercentage)`,
		`/spec/template/metadata/annotations/autoscaling\.knative\.dev~1(scale-to-zero-pod-retention-period|scaleToZeroPodRetentionPeriod)`,
		`/spec/template/metadata/annotations/(serving\.knative\.dev~1progress-deadline|gpu-memory)`,
		`/spec/template/metadata/labels/kueue\.x-k8s\.io~1queue-name`,
		`/spec/template/spec/(containerConcurrency|priorityClassName|serviceAccountName|nodeSelector/[^/]+)`,
		`/spec/template/spec/containers/\d+/resources/(requests|limits)/(cpu|memory|ephemeral-storage|nvidia\.com~1(gpu|mig-[a-z0-9.]+)|amd\.com~1gpu)`,
	}, "|") + `)$`)
	documentedLists = regexp.MustCompile(`^/spec/template/spec/(tolerations|volumes|containers/\d+/volumeMounts|affinity(/nodeAffinity(/requiredDuringSchedulingIgnoredDuringExecution(/nodeSelectorTerms(/\d+/matchExpressions)?)?)?)?)$`)
)

// undocumented names the places beyond the documented ones that a patch writes.
func undocumented(patch []manifest.PatchOperation) []string {
	var places []string
	var walk func(path string, value any)
	walk = func(path string, value any) {
		list := strings.TrimSuffix(path, "/-")
		switch v := value.(type) {
		case object:
			if !documentedLists.MatchString(list) && !documentedValues.MatchString(path) && len(v) > 0 {
				for k, x := range v {
					walk(path+"/"+escape(k), x)
				}
				return
			}
		case []any:
			list = path
		}
		if !documentedValues.MatchString(path) && !documentedLists.MatchString(list) {
			places = append(places, path)
		}
	}
	for _, op := range patch {
		if op.Op == "remove" {
			places = append(places, "remove "+op.Path) // nothing is there to be removed on CREATE
			continue
		}
		walk(op.Path, op.Value)
	}
	return places
}

func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// decode keeps numbers as they are written.
func decode(raw []byte) any {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// lost tells what of the original is no longer there, as it was, in the patched object:
// only the documented places may differ, and lists may only grow.
func lost(before, after any, path string) error {
	if documentedValues.MatchString(path) {
		return nil
	}
	switch a := before.(type) {
	case nil:
		if after != nil && len(undocumented([]manifest.PatchOperation{{Op: "add", Path: path, Value: after}})) > 0 {
			return fmt.Errorf("%s: was null, became %v", path, after)
		}
		return nil
	case object:
		b, ok := after.(object)
		if !ok {
			return fmt.Errorf("%s: was an object, became %v", path, after)
		}
		for k, v := range a {
			if _, present := b[k]; !present {
				return fmt.Errorf("%s/%s: gone", path, escape(k))
			}
			if err := lost(v, b[k], path+"/"+escape(k)); err != nil {
				return err
			}
		}
		for k, v := range b {
			if _, present := a[k]; !present && len(undocumented([]manifest.PatchOperation{{Op: "add", Path: path + "/" + escape(k), Value: v}})) > 0 {
				return fmt.Errorf("%s/%s: appeared", path, escape(k))
			}
		}
		return nil
	case []any:
		b, ok := after.([]any)
		if !ok || len(b) < len(a) || (len(b) > len(a) && !documentedLists.MatchString(path)) {
			return fmt.Errorf("%s: was a list of %d, became %v", path, len(a), after)
		}
		for i := range a {
			if err := lost(a[i], b[i], fmt.Sprintf("%s/%d", path, i)); err != nil {
				return err
			}
		}
		return nil
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("%s: was %v, became %v", path, before, after)
	}
	return nil
}
