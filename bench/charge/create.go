package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kubetorch/webhook/bench/load"
	"github.com/kubetorch/webhook/test/controlplane"
)

// create creates objects in one namespace and prints what that cost.
func (b *bench) create(ctx context.Context, k kind, limit, namespace string, claims, clients, creates int) (err error) {
	manager := b.c.PID(controlplane.KubeControllerManager)
	if err := load.Pause(manager); err != nil {
		return err
	}
	defer func() {
		if failed := load.Resume(manager); failed != nil {
			err = errors.Join(err, failed)
			return
		}
		err = errors.Join(err, k.clear(ctx, b.client, namespace))
	}()
	before, err := b.look(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	took, err := k.create(ctx, b.all[:clients], namespace, 0, creates)
	if err != nil {
		return err
	}
	wall := time.Since(began)
	after, err := b.look(ctx)
	if err != nil {
		return err
	}
	slices.Sort(took)
	each := func(d time.Duration) float64 { return ms(d) / float64(creates) }
	fmt.Printf("BenchmarkCharge/claims=%d/replicas=%d/kind=%s/clients=%d/limit=%s %d %.2f p50-ms %.2f p99-ms %.1f creates/s"+
		" %.3f apiserver-cpu-ms/create %.3f etcd-cpu-ms/create %.3f webhook-cpu-ms/create %.2f etcd-KiB/create",
		claims, len(b.running), k.name, clients, limit, creates, ms(took[len(took)/2]), ms(took[len(took)*99/100]), float64(creates)/wall.Seconds(),
		each(after.apiCPU-before.apiCPU), each(after.etcdCPU-before.etcdCPU), each(after.us-before.us),
		float64(after.written-before.written)/1024/float64(creates))
	defer fmt.Println()
	if limit != "GPUBudget" {
		return nil
	}
	count := func(name string, match ...string) float64 {
		match = append(match, `budget="budget"`)
		return after.own.Sum("kubetorch_webhook_budget_"+name, match...) - before.own.Sum("kubetorch_webhook_budget_"+name, match...)
	}
	charges, stored, conflicts := count("charges_total"), count("writes_total", `result="stored"`), count("writes_total", `result="conflict"`)
	if int(charges) < creates {
		return fmt.Errorf("%d objects were charged with %g charges", creates, charges)
	}
	const size = "apiserver_request_body_size_bytes_sum"
	sent := after.api.Sum(size, `resource="gpubudgets"`) - before.api.Sum(size, `resource="gpubudgets"`)
	fmt.Printf(" %.2f charges/write %.3f conflicts/charge %.2f ledger-KiB/create", charges/max(1, stored), conflicts/charges, sent/1024/float64(creates))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }
