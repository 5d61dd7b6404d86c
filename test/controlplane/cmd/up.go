package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/kubetorch/webhook/test/controlplane"
	"github.com/kubetorch/webhook/test/controlplane/internal/filelock"
)

// superviseCommand is run by up in the background; it owns the processes.
const superviseCommand = "supervise"

// upOptions are the flags of up, which it passes on to the supervisor.
type upOptions struct {
	controlplane.Options
	webhook controlplane.WebhookOptions
	state   string
}

func parseUp(command string, args []string) (upOptions, error) {
	var o upOptions
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	stateFlag(flags, &o.state)
	flags.BoolVar(&o.Scheduler, "scheduler", false, "also run kube-scheduler")
	flags.BoolVar(&o.HPA, "hpa", false, "also run Knative's autoscaler for the hpa class")
	flags.BoolVar(&o.Pods, "pods", false, "run pods, on a node of its own in namespaces of its own; takes root")
	flags.IntVar(&o.GPUs, "gpus", 0, "`number` of GPUs of the node that runs pods")
	flags.StringVar(&o.webhook.Binary, "webhook", "", "also install the kubetorch webhook, running this `binary`")
	flags.StringVar(&o.webhook.Manifests, "manifests", "deploy", "kustomize `folder` to install the webhook with")
	flags.IntVar(&o.webhook.Replicas, "replicas", 1, "`number` of webhook processes")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%s takes no arguments, got %q", command, flags.Args())
	}
	return o, nil
}

// up starts a supervisor, unless one is running, and waits until its control
// plane is ready.
func up(ctx context.Context, args []string) error {
	o, err := parseUp("up", args)
	if err != nil {
		return err
	}
	s, err := openState(o.state)
	if err != nil {
		return err
	}
	unlock, err := s.lockCommand(ctx)
	if err != nil {
		return err
	}
	defer unlock()

	running, err := s.running()
	if err != nil {
		return err
	}
	if running {
		supervisor, err := s.read()
		if err != nil {
			return err
		}
		if !supervisor.ready() {
			return errors.New("a control plane is starting or stopping; wait for it or take it down")
		}
		fmt.Fprintln(os.Stderr, "the control plane is already up")
		tools, err := controlplane.EnsureTools(ctx, os.Stderr, controlplane.Kubectl)
		if err != nil {
			return err
		}
		printExport(supervisor.Kubeconfig)
		printHints(tools[controlplane.Kubectl], o)
		return nil
	}
	// Building here rather than in the supervisor lets Ctrl-C end it.
	tools, err := controlplane.EnsureTools(ctx, os.Stderr, o.Tools()...)
	if err != nil {
		return err
	}
	if err := s.startSupervisor(ctx, args); err != nil {
		return err
	}
	supervisor, err := s.read()
	if err != nil {
		return err
	}
	printExport(supervisor.Kubeconfig)
	printHints(tools[controlplane.Kubectl], o)
	return nil
}

// startSupervisor starts the supervisor and returns when it is ready. If that
// fails or ctx ends, no supervisor is left.
func (s *state) startSupervisor(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	if err := os.Remove(s.file("state.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	log, err := os.Create(s.file("supervisor.log"))
	if err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	defer log.Close()
	progress, err := os.Open(log.Name())
	if err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	defer progress.Close()

	cmd := exec.Command(self, append([]string{superviseCommand}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = detached()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the supervisor: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		// Progress that cannot be shown is no reason to fail.
		_, _ = io.Copy(os.Stderr, progress)
		if supervisor, err := s.read(); err == nil && supervisor.ready() {
			return nil
		}
		select {
		case <-ticker.C:
		case err := <-ended:
			_, _ = io.Copy(os.Stderr, progress)
			return fmt.Errorf("the control plane did not start: %w (see %s)", err, log.Name())
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.stopSupervisor(cmd.Process))
		}
	}
}

// supervise runs a control plane until it is told to stop.
func supervise(ctx context.Context, args []string) (err error) {
	o, err := parseUp(superviseCommand, args)
	if err != nil {
		return err
	}
	if o.Pods {
		controlplane.Isolate(o.Options)
	}
	s, err := openState(o.state)
	if err != nil {
		return err
	}
	unlock, err := filelock.Try(s.file("supervisor.lock"))
	if err != nil {
		return fmt.Errorf("the control plane is already up: %w", err)
	}
	defer unlock()
	if err := s.write(supervisor{PID: controlplane.OwnerPID()}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(s.file("state.json"))) }()

	o.Dir, o.KeepLogs, o.Log = s.file("run"), true, os.Stderr
	c, err := controlplane.Start(ctx, o.Options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	if err := o.install(ctx, c); err != nil {
		return err
	}
	for _, p := range c.Processes() {
		go func() {
			<-p.Done()
			if ctx.Err() == nil {
				fmt.Fprintf(os.Stderr, "%s ended (%v); its log is %s\n", p.Name(), p.Err(), p.LogFile())
			}
		}()
	}
	if err := s.write(supervisor{PID: controlplane.OwnerPID(), Kubeconfig: c.Kubeconfig()}); err != nil {
		return err
	}
	<-ctx.Done()
	return s.write(supervisor{PID: controlplane.OwnerPID()})
}

// install installs the webhook, if one is given, and makes a lab reachable.
func (o upOptions) install(ctx context.Context, c *controlplane.ControlPlane) error {
	if o.Pods {
		if err := c.Forward(ctx); err != nil {
			return err
		}
	}
	switch {
	case o.webhook.Binary == "":
		return nil
	case o.Pods:
		if err := c.InstallWebhookPods(ctx, o.webhook.Binary, o.webhook.Manifests); err != nil {
			return err
		}
	default:
		if _, err := c.InstallWebhook(ctx, o.webhook); err != nil {
			return err
		}
	}
	fmt.Fprintln(os.Stderr, "the webhook is installed")
	return nil
}

// down stops the supervisor and waits until everything it owned is gone.
func down(ctx context.Context, args []string) error {
	var dir string
	flags := flag.NewFlagSet("down", flag.ContinueOnError)
	stateFlag(flags, &dir)
	if err := flags.Parse(args); err != nil {
		return err
	}
	s, err := openState(dir)
	if err != nil {
		return err
	}
	unlock, err := s.lockCommand(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	running, err := s.running()
	if err != nil {
		return err
	}
	if !running {
		fmt.Fprintln(os.Stderr, "the control plane is not up")
		return nil
	}
	supervisor, err := s.read()
	if err != nil {
		return err
	}
	process, err := os.FindProcess(supervisor.PID)
	if err != nil {
		return fmt.Errorf("stopping the supervisor: %w", err)
	}
	if err := s.stopSupervisor(process); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "the control plane is down; its logs are in", filepath.Join(s.file("run"), "logs"))
	return nil
}

var plainPath = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// printExport prints the one line that goes to standard output.
func printExport(kubeconfig string) {
	if !plainPath.MatchString(kubeconfig) {
		kubeconfig = "'" + strings.ReplaceAll(kubeconfig, "'", `'\''`) + "'"
	}
	fmt.Printf("export KUBECONFIG=%s\n", kubeconfig)
}

// printHints says, beside the line for the shell, what else helps.
func printHints(kubectl string, o upOptions) {
	if o.Pods {
		fmt.Fprintf(os.Stderr, `kubectl is %s
Pods run on node pods, which has %d GPUs that are only numbers. No registry is asked: what has no
image on the node stays ErrImagePull.
`, kubectl, o.GPUs)
		return
	}
	classes := "none of the hpa class is scaled"
	if o.HPA {
		classes = "only those of the hpa class are scaled"
	}
	fmt.Fprintf(os.Stderr, `kubectl is %s
There are no nodes: pods stay Pending, so Deployments and Knative Services never become Ready
(kubectl get ksvc says RevisionMissing or Unknown), and %s.
What admission makes of manifests, and what the controllers write, is as in any cluster.
`, kubectl, classes)
}
