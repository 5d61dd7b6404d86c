package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/kubetorch/webhook/test/controlplane"
)

type demo struct {
	ctx     context.Context
	cluster *controlplane.ControlPlane
	drawing drawing
}

func (d *demo) show() error {
	step("The platform team sets a policy: kubectl apply -f examples/policy.yaml")
	if _, err := d.kubectl("apply", "-f", "examples/policy.yaml"); err != nil {
		return err
	}
	for _, name := range []string{"inference", "batch"} {
		file := "examples/" + name + ".yaml"
		step("A developer applies a plain manifest: kubectl apply -f " + file)
		if _, err := d.kubectl("apply", "-f", file); err != nil {
			return err
		}
		if err := d.compare(file, "default", name); err != nil {
			return err
		}
		if err := d.autoscaler("default", name); err != nil {
			return err
		}
	}

	step("Applying the same manifest again makes no second revision")
	if _, err := d.kubectl("apply", "-f", "examples/inference.yaml"); err != nil {
		return err
	}
	if err := d.print("get", "revisions", "-n", "default", "-l", "serving.knative.dev/service=inference"); err != nil {
		return err
	}

	for _, overlay := range []string{"dev", "prod"} {
		step("A kustomize overlay: kubectl apply -k examples/kustomize/overlays/" + overlay)
		if _, err := d.kubectl("create", "namespace", overlay); err != nil {
			return err
		}
		if _, err := d.kubectl("apply", "-k", "examples/kustomize/overlays/"+overlay); err != nil {
			return err
		}
		if err := d.print("get", "ksvc", "summarize", "-n", overlay, "-o", "custom-columns="+columns); err != nil {
			return err
		}
	}

	step("A greedy manifest is refused: kubectl apply -f examples/greedy.yaml")
	_, stderr, err := d.cluster.Kubectl(d.ctx, nil, "apply", "-f", "examples/greedy.yaml")
	if err == nil {
		return errors.New("examples/greedy.yaml was admitted")
	}
	fmt.Println(strings.TrimSpace(stderr))
	d.drawing.refused("examples/greedy.yaml", stderr)
	return d.budget()
}

// budget shows what a budget makes of what is there, and of what is too much beside it.
func (d *demo) budget() error {
	step("The platform team sets a budget for all of it: kubectl apply -f examples/budget.yaml")
	if _, err := d.kubectl("apply", "-f", "examples/budget.yaml"); err != nil {
		return err
	}
	fmt.Println("counting what is there, and what may be under way")
	if _, err := d.kubectl("wait", "--for=condition=Counted", "gpubudget/cluster", "--timeout=1m"); err != nil {
		return err
	}
	if err := d.print("get", "gpubudgets"); err != nil {
		return err
	}
	step("What does not fit beside the others is refused: kubectl apply -f examples/large.yaml")
	_, stderr, err := d.cluster.Kubectl(d.ctx, nil, "apply", "-f", "examples/large.yaml")
	if err == nil {
		return errors.New("examples/large.yaml was admitted")
	}
	fmt.Println(strings.TrimSpace(stderr))
	return nil
}

const columns = `NAME:.metadata.name,` +
	`MIN:.spec.template.metadata.annotations.autoscaling\.knative\.dev/min-scale,` +
	`MAX:.spec.template.metadata.annotations.autoscaling\.knative\.dev/max-scale,` +
	`TARGET:.spec.template.metadata.annotations.autoscaling\.knative\.dev/target,` +
	`DELAY:.spec.template.metadata.annotations.autoscaling\.knative\.dev/scale-down-delay,` +
	`GPUS:.spec.template.spec.containers[0].resources.limits.nvidia\.com/gpu`

func (d *demo) kubectl(args ...string) (string, error) {
	stdout, stderr, err := d.cluster.Kubectl(d.ctx, nil, args...)
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %s", strings.Join(args, " "), strings.TrimSpace(stderr))
	}
	for line := range strings.SplitSeq(strings.TrimSpace(stderr), "\n") {
		// Knative's own advice on security contexts is beside the point here.
		if line != "" && !strings.Contains(line, "Kubernetes default value is insecure") {
			fmt.Println(line)
		}
	}
	return stdout, nil
}

func (d *demo) print(args ...string) error {
	out, err := d.kubectl(args...)
	fmt.Print(out)
	return err
}

// compare prints a manifest beside what the API server stored for it.
func (d *demo) compare(file, namespace, name string) error {
	applied, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	out, err := d.kubectl("get", "ksvc", name, "-n", namespace, "-o", "json")
	if err != nil {
		return err
	}
	var stored struct {
		Metadata struct {
			Name   string            `json:"name"`
			Labels map[string]string `json:"labels,omitempty"`
		} `json:"metadata"`
		Spec struct {
			Template map[string]any `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal([]byte(out), &stored); err != nil {
		return err
	}
	result, err := yaml.Marshal(stored)
	if err != nil {
		return err
	}
	manifest := withoutComments(string(applied))
	fmt.Print(sideBySide(72, "APPLIED", manifest, "STORED (name, labels and template)", string(result)))
	if len(d.drawing.lines) == 0 {
		d.drawing.expanded(file, manifest, string(result))
	}
	return nil
}

func withoutComments(text string) string {
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line, _, _ = strings.Cut(line, "  #")
		kept = append(kept, strings.TrimRight(line, " "))
	}
	return strings.Join(kept, "\n")
}

// sideBySide are two texts in columns, the left one width characters wide.
func sideBySide(width int, leftTitle, left, rightTitle, right string) string {
	a, b := strings.Split(strings.TrimRight(left, "\n"), "\n"), strings.Split(strings.TrimRight(right, "\n"), "\n")
	a, b = append([]string{leftTitle}, a...), append([]string{rightTitle}, b...)
	var out strings.Builder
	for i := range max(len(a), len(b)) {
		var l, r string
		if i < len(a) {
			l = a[i]
		}
		if i < len(b) {
			r = b[i]
		}
		fmt.Fprintf(&out, "%-*s | %s\n", width, l, r)
	}
	return out.String()
}

// autoscaler prints what Knative's controller made of the annotations.
func (d *demo) autoscaler(namespace, service string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		out, err := d.kubectl("get", "podautoscalers", "-n", namespace, "-l", "serving.knative.dev/service="+service, "-o", "json")
		if err != nil {
			return err
		}
		var list struct {
			Items []struct {
				Metadata struct {
					Name        string            `json:"name"`
					Annotations map[string]string `json:"annotations"`
				} `json:"metadata"`
				Spec map[string]any `json:"spec"`
			} `json:"items"`
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			return err
		}
		if len(list.Items) > 0 {
			text, err := yaml.Marshal(list.Items[0])
			fmt.Printf("\nThe PodAutoscaler that Knative's controller made from it:\n%s", indent(string(text)))
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no PodAutoscaler was made for %s within 30s", service)
		}
		select {
		case <-d.ctx.Done():
			return d.ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ") + "\n"
}
