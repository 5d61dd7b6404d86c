package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubetorch/webhook/test/controlplane"
)

const (
	namespace = "kubetorch-system"
	name      = "kubetorch-webhook"
)

var (
	secrets         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
	mutatingHooks   = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations"}
	validatingHooks = schema.GroupVersionResource{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"}
)

// scene is what trials act on.
type scene struct {
	options
	cluster *controlplane.ControlPlane
	hook    *controlplane.Webhook
	client  dynamic.Interface
}

// trial is something that happens in a cluster's life.
type trial struct {
	name string
	// seamless trials may not cost a single admission.
	seamless bool
	do       func(context.Context, *scene) error
}

func trials(o options) []trial {
	return []trial{
		{fmt.Sprintf("%d rolling restarts", o.restarts), true, rollingRestarts},
		{"a replica is killed", false, killed},
		{fmt.Sprintf("%d renewals of every certificate", o.renewals), true, renewed},
		{fmt.Sprintf("%d rotations of the CA", o.cas), true, rotated},
		{"the certificates' Secret is deleted", true, secretDeleted},
		{"the certificates' Secret is corrupted", true, secretCorrupted},
		{"every caBundle is wiped", false, bundlesWiped},
		{"the API server is restarted", false, apiServerRestarted},
		{fmt.Sprintf("etcd stands still for %s", o.pause), false, etcdPaused},
	}
}

// rollingRestarts restarts one replica after another.
func rollingRestarts(ctx context.Context, s *scene) error {
	for range s.restarts {
		for _, r := range s.hook.Replicas {
			if err := r.Restart(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func killed(ctx context.Context, s *scene) error {
	r := s.hook.Replicas[0]
	if err := r.Process().Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-r.Process().Done()
	if err := sleep(ctx, quiet); err != nil {
		return err
	}
	return r.Restart(ctx)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func secretDeleted(ctx context.Context, s *scene) error {
	return s.anotherCA(ctx, func() error {
		return s.client.Resource(secrets).Namespace(namespace).Delete(ctx, secretName, metav1.DeleteOptions{})
	})
}

func apiServerRestarted(ctx context.Context, s *scene) error { return s.cluster.RestartAPIServer(ctx) }

func etcdPaused(ctx context.Context, s *scene) error {
	for _, p := range s.cluster.Processes() {
		if p.Name() != controlplane.Etcd {
			continue
		}
		if err := p.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		err := sleep(ctx, s.pause)
		if contErr := p.Signal(syscall.SIGCONT); err == nil {
			err = contErr
		}
		return err
	}
	return fmt.Errorf("no process %s", controlplane.Etcd)
}
