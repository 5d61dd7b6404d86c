// One object is written in every way that the API takes.

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubetorch/webhook/pkg/expand"
	"github.com/kubetorch/webhook/test/e2e/harness"
)

// TestEveryWayOfWritingGetsOneVerdict: what is refused is refused however it is written,
// and a dry run says so too.
func TestEveryWayOfWritingGetsOneVerdict(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Service", "Configuration", "Revision", "PodAutoscaler", "Deployment"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			newPolicy(t, ns, eachBound)
			require.NoError(t, made(t, ns, knativeObject(t, "Deployment", "target", "1", 1)))
			require.NoError(t, made(t, ns, knativeObject(t, kind, "stored", "2", 1)))
			want := "asks for up to 9999 pods; policy policy-" + ns + " allows at most 10 (bounds.maxScale.max)"
			field, value := []string{"metadata", "annotations", "autoscaling.knative.dev/max-scale"}, any("9999")
			switch kind {
			case "Service", "Configuration":
				field = append([]string{"spec", "template"}, field...)
			case "Deployment":
				field, value = []string{"spec", "replicas"}, int64(9999)
			}
			greedy := &unstructured.Unstructured{Object: map[string]any{}}
			require.NoError(t, unstructured.SetNestedField(greedy.Object, value, field...))
			raw, err := json.Marshal(greedy.Object)
			require.NoError(t, err)
			merge := string(raw)
			operations := fmt.Sprintf(`[{"op":"replace","path":%q,"value":%#v}]`, expand.Pointer(field...), value)
			resource := client.Resource(resourceOf[kind]).Namespace(ns)
			patch := func(kind types.PatchType, body string, dry ...string) func() error {
				return func() error {
					_, err := resource.Patch(t.Context(), "stored", kind, []byte(body), metav1.PatchOptions{DryRun: dry})
					return err
				}
			}
			run := func(stdin string, args ...string) func() error {
				return func() error {
					_, stderr, err := kubectl(t, stdin, append(args, "-n", ns)...)
					if err != nil {
						return errors.New(stderr)
					}
					return nil
				}
			}
			fresh := text(t, knativeObject(t, kind, "fresh", "9999", 1))
			stored := get(t, resourceOf[kind], ns, "stored") // with what Knative filled in: a Revision's spec may not change
			require.NoError(t, unstructured.SetNestedField(stored.Object, value, field...))
			stored.SetManagedFields(nil)
			stored.SetResourceVersion("")
			again := text(t, stored)
			ways := map[string]func() error{
				"create":                               run(fresh, "create", "-f", "-"),
				"create --dry-run=server":              run(fresh, "create", "--dry-run=server", "-f", "-"),
				"apply":                                run(fresh, "apply", "-f", "-"),
				"apply --server-side":                  run(fresh, "apply", "--server-side", "-f", "-"),
				"apply --server-side, dry run":         run(fresh, "apply", "--server-side", "--dry-run=server", "-f", "-"),
				"apply over it":                        run(again, "apply", "-f", "-"),
				"apply --server-side over it":          run(again, "apply", "--server-side", "--force-conflicts", "-f", "-"),
				"apply over it, dry run":               run(again, "apply", "--dry-run=server", "-f", "-"),
				"a merge patch":                        patch(types.MergePatchType, merge),
				"a merge patch, dry run":               patch(types.MergePatchType, merge, metav1.DryRunAll),
				"a JSON patch":                         patch(types.JSONPatchType, operations),
				"kubectl patch --type merge":           run("", "patch", resourceOf[kind].Resource+"."+resourceOf[kind].Group, "stored", "--type", "merge", "-p", merge),
				"kubectl patch --type json, a dry run": run("", "patch", resourceOf[kind].Resource+"."+resourceOf[kind].Group, "stored", "--type", "json", "--dry-run=server", "-p", operations),
				"an update": func() error {
					_, err := harness.Change(t.Context(), resource, "stored", func(live *unstructured.Unstructured) error {
						return unstructured.SetNestedField(live.Object, value, field...)
					})
					return err
				},
			}
			if kind == "Deployment" { // the only one that takes it
				ways["a strategic merge patch"] = patch(types.StrategicMergePatchType, merge)
				ways["kubectl patch"] = run("", "patch", "deployment", "stored", "-p", merge)
				ways["kubectl scale"] = run("", "scale", "deployment", "stored", "--replicas=9999")
			}
			for name, write := range ways {
				assert.ErrorContains(t, write(), want, name)
			}
			_, err = resource.Get(t.Context(), "fresh", metav1.GetOptions{})
			assert.Error(t, err, "nothing is left of what was refused")
		})
	}
}
