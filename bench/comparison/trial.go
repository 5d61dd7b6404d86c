package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/bench/comparison/install"
)

// teams are the namespaces of the comparison.
var teams = []string{"team-a", "team-b", "team-c", "team-d"}

// Where a rule refuses.
const (
	atApply  = "apply"
	atScale  = "scale"
	atTheJob = "its Job"
	atThePod = "the pod"
	nowhere  = "nowhere"
)

// outcome is what became of a manifest that asks for more than the rule allows.
type outcome struct {
	kind, refused string
	// live are the GPUs of the pods that are there in the end, most those at any time.
	live, most int
}

// trials are the manifests of one contender, of one kind after the other.
type trials struct {
	client  dynamic.Interface
	clients []dynamic.Interface
}

// all tries every kind, and a Deployment that is scaled.
func (t *trials) all(ctx context.Context, done func(outcome)) error {
	tooMuch := claim{gpus: 8, maxScale: budget/8 + 1}
	for _, k := range podKinds {
		o, err := t.try(ctx, k, tooMuch)
		if err != nil {
			return fmt.Errorf("%s: %w", k, err)
		}
		done(o)
	}
	o, err := t.scaled(ctx, tooMuch)
	if err != nil {
		return fmt.Errorf("scaling a Deployment: %w", err)
	}
	done(o)
	return nil
}

// try creates what makes a claim, and looks at what comes of it.
func (t *trials) try(ctx context.Context, k podKind, c claim) (outcome, error) {
	o := outcome{kind: k.name}
	if err := t.clear(ctx); err != nil {
		return o, err
	}
	objects := 1
	if k.resource == pods {
		objects = c.maxScale
	}
	for i := range objects {
		refused, err := t.create(ctx, k, fmt.Sprintf("try-%d", i), c)
		if err != nil {
			return o, err
		}
		if refused {
			o.refused = atApply
		}
	}
	return o, t.settle(ctx, &o, c.total())
}

// create creates an object until somebody answers.
func (t *trials) create(ctx context.Context, k podKind, name string, c claim) (refused bool, err error) {
	err = install.Await(ctx, "an answer about "+k.name, func(ctx context.Context) error {
		_, err := t.client.Resource(k.resource).Namespace(teams[0]).Create(ctx, k.object(name, c), metav1.CreateOptions{})
		if refused = refusal(err); refused || apierrors.IsAlreadyExists(err) {
			return nil
		}
		return err
	})
	return refused, err
}

// scaled creates a Deployment with a pod and scales it to what makes a claim.
func (t *trials) scaled(ctx context.Context, c claim) (outcome, error) {
	o := outcome{kind: "Deployment, `kubectl scale`"}
	if err := t.clear(ctx); err != nil {
		return o, err
	}
	in := t.client.Resource(deployments.resource).Namespace(teams[0])
	refused, err := t.create(ctx, deployments, "try-0", claim{c.gpus, 1})
	if err != nil {
		return o, err
	}
	if refused {
		return o, errors.New("a Deployment with one pod was refused")
	}
	err = install.Await(ctx, "its pod", func(ctx context.Context) error {
		live, err := t.live(ctx)
		if err == nil && live.gpus != c.gpus {
			err = fmt.Errorf("pods have %d GPUs", live.gpus)
		}
		return err
	})
	if err != nil {
		return o, err
	}
	scale := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, c.maxScale)
	err = install.Await(ctx, "an answer about its scale", func(ctx context.Context) error {
		_, err := in.Patch(ctx, "try-0", types.MergePatchType, scale, metav1.PatchOptions{}, "scale")
		if refusal(err) {
			o.refused = atScale
			return nil
		}
		return err
	})
	if err != nil {
		return o, err
	}
	return o, t.settle(ctx, &o, c.total())
}

// settle waits until nothing changes any more: all pods are there, or somebody says why they are not.
func (t *trials) settle(ctx context.Context, o *outcome, asked int) error {
	const quiet = 10 * time.Second
	since, last := time.Now(), -1
	return install.Await(ctx, "pods of "+o.kind, func(ctx context.Context) error {
		live, err := t.live(ctx)
		if err != nil {
			return err
		}
		if live.gpus != last {
			since, last = time.Now(), live.gpus
		}
		o.live, o.most = live.gpus, max(o.most, live.gpus)
		if live.gpus < asked && o.refused == "" {
			by, err := t.refusedLater(ctx)
			if err != nil {
				return err
			}
			if by == "" {
				return fmt.Errorf("there are pods with %d GPUs of %d, and no event says why", live.gpus, asked)
			}
			if time.Since(since) >= quiet {
				o.refused = by
			}
		}
		if time.Since(since) < quiet {
			return fmt.Errorf("pods change")
		}
		if o.refused == "" {
			o.refused = nowhere
		}
		return nil
	})
}

// refusedLater tells by the events of controllers what of theirs was refused; empty if nothing was.
func (t *trials) refusedLater(ctx context.Context) (string, error) {
	list, err := t.client.Resource(events).Namespace(teams[0]).List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for i := range list.Items {
		message, _, _ := unstructured.NestedString(list.Items[i].Object, "message")
		if !refusal(fmt.Errorf("%s", message)) {
			continue
		}
		if kind, _, _ := unstructured.NestedString(list.Items[i].Object, "involvedObject", "kind"); kind == "CronJob" {
			return atTheJob, nil
		}
		return atThePod, nil
	}
	return "", nil
}

var events = schema.GroupVersionResource{Version: "v1", Resource: "events"}

// refusal tells whether admission has refused, rather than not answered.
func refusal(err error) bool {
	return err != nil && (denied(err) || strings.Contains(err.Error(), "exceeded quota"))
}

// livePods are the pods that have not ended: GPUs, and pods by workload.
type livePods struct {
	gpus int
	of   map[string]int
}

func (t *trials) live(ctx context.Context) (livePods, error) {
	live := livePods{of: map[string]int{}}
	list, err := t.client.Resource(pods).List(ctx, metav1.ListOptions{LabelSelector: workloadLabel})
	if err != nil {
		return live, err
	}
	for i := range list.Items {
		o := &list.Items[i]
		if phase, _, _ := unstructured.NestedString(o.Object, "status", "phase"); phase == "Succeeded" || phase == "Failed" {
			continue
		}
		live.of[o.GetNamespace()+"/"+o.GetLabels()[workloadLabel]]++
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "containers")
		for _, c := range containers {
			text, found, _ := unstructured.NestedString(c.(object), "resources", "limits", gpuResource)
			if !found {
				continue // Knative's own
			}
			gpus, err := strconv.Atoi(text)
			if err != nil {
				return live, fmt.Errorf("GPUs of pod %s: %w", o.GetName(), err)
			}
			live.gpus += gpus
		}
	}
	return live, nil
}

// clear deletes everything and waits until the rule holds with nothing admitted: a pod with the whole
// budget passes a dry run, and one with a GPU more is refused, in every namespace.
func (t *trials) clear(ctx context.Context) error {
	background, now := metav1.DeletePropagationBackground, int64(0)
	return install.Await(ctx, "everything to be gone", func(ctx context.Context) error {
		for _, team := range teams {
			for _, k := range append(podKinds, podKind{resource: events}) {
				options := metav1.DeleteOptions{PropagationPolicy: &background, GracePeriodSeconds: &now}
				if err := t.client.Resource(k.resource).Namespace(team).DeleteCollection(ctx, options, metav1.ListOptions{}); err != nil {
					return err
				}
			}
		}
		for _, team := range teams {
			for gpus, fits := range map[int]bool{budget: true, budget + 1: false} {
				probe := barePods.object("probe", claim{gpus, 1})
				_, err := t.client.Resource(pods).Namespace(team).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				switch {
				case err != nil && !refusal(err):
					return err
				case fits != (err == nil):
					return fmt.Errorf("a pod of %d GPUs in %s: %v", gpus, team, err)
				}
			}
		}
		live, err := t.live(ctx)
		if err == nil && live.gpus > 0 {
			err = fmt.Errorf("pods with %d GPUs are left", live.gpus)
		}
		return err
	})
}
