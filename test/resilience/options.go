package main

import (
	"errors"
	"flag"
	"fmt"
	"time"
)

// options are the command's flags.
type options struct {
	binary   string
	replicas int
	rate     int
	only     string
	restarts int
	renewals int
	cas      int
	pause    time.Duration
	keepLogs bool
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.binary, "binary", "bin/kubetorch-webhook", "the built webhook")
	flags.IntVar(&o.replicas, "replicas", 3, "replicas of the webhook")
	flags.IntVar(&o.rate, "rate", 200, "admissions a second; every request makes two, one to mutate and one to validate")
	flags.StringVar(&o.only, "only", "", "a part of the names of the trials to run; empty for all")
	flags.IntVar(&o.restarts, "restarts", 20, "rolling restarts")
	flags.IntVar(&o.renewals, "renewals", 20, "renewals of the serving certificates")
	flags.IntVar(&o.cas, "rotations", 5, "rotations of the authority")
	flags.DurationVar(&o.pause, "pause", 10*time.Second, "how long etcd stands still")
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "keep the logs of all processes")
}

func (o *options) validate(args []string) error {
	var errs []error
	if len(args) > 0 {
		errs = append(errs, fmt.Errorf("unexpected arguments: %q", args))
	}
	for name, value := range map[string]int{"restarts": o.restarts, "renewals": o.renewals, "rotations": o.cas} {
		if value < 1 {
			errs = append(errs, fmt.Errorf("-%s is %d, must be at least 1", name, value))
		}
	}
	if o.replicas < 2 {
		errs = append(errs, fmt.Errorf("-replicas is %d, must be at least 2: with one, every restart is an outage", o.replicas))
	}
	if o.rate < 2 {
		errs = append(errs, fmt.Errorf("-rate is %d, must be at least 2", o.rate))
	}
	if o.pause <= 0 {
		errs = append(errs, fmt.Errorf("-pause is %s, must be positive", o.pause))
	}
	return errors.Join(errs...)
}
