package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// table is the outcomes in Markdown. A request is two admissions.
func table(o options, outcomes []outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| trial | admissions | a second | failed | of these while the control stood still | which requests | longest outage |"+
		" well again by itself | slowest that did not fail | control: failed | longest outage | slowest |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range outcomes {
		// A trial that does not end well ends the command.
		fmt.Fprintf(&b, "| %s | %d | %.0f | %d | %d | %s | %s | yes | %s | %d of %d | %s | %s |\n",
			r.name, 2*r.requests, 2*float64(r.requests)/r.seconds, 2*r.failed, 2*r.standing, strings.Join(r.causes, "; "), outage(r.failed, r.outage),
			r.slowest.Round(time.Millisecond), r.control.failed, r.control.requests, outage(r.control.failed, r.control.outage), r.control.slowest.Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "\n%d replicas, %d admissions a second wanted; each trial ended with %s without a wrong verdict.\n", o.replicas, o.rate, quiet)
	return b.String()
}

// outage words how long one was, if anything failed.
func outage(failed int, d time.Duration) string {
	if failed == 0 {
		return ""
	}
	return d.Round(10 * time.Millisecond).String()
}

// commit names the source that is under test.
func commit(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "describe", "--always", "--dirty", "--exclude", "*").Output()
	if err != nil {
		return "", fmt.Errorf("asking for the commit: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// writePage writes docs/resilience.md.
func writePage(o options, source string, outcomes []outcome) error {
	text := fmt.Sprintf(`# Resilience

`+"`make resilience`"+` wrote this page. A real API server and etcd run on one machine, with %d replicas of
the webhook behind a load balancer that passes connections on to those that are ready. Labelled
Deployments are created in dry runs, which is two admissions each, to mutate and to validate.
One in ten asks for more than a policy allows. Every verdict is checked, so an admission that
should have been refused, or that was not mutated, counts as failed like one without an
answer. Of the first trial and of those with renewals, rotations and the Secret none may fail
while the control goes on; the command fails otherwise.

The control is as many requests beside them that no webhook is asked about: the same Deployments
without our labels. It stands still while one of its requests fails or takes longer than %s. What
fails then fails by the machine, the API server or etcd, and not by the webhook.

An outage is the time from a request that failed to the next one that did not.

%s
Commit %s, %d cores (%s), %s.
`, o.replicas, stalled, table(o, outcomes), source, runtime.NumCPU(), processor(), time.Now().UTC().Format(time.DateOnly))
	return os.WriteFile(o.page, []byte(text), 0o644)
}

// processor is what the machine says that it has.
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}
