package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// budget is the number of GPUs that the rule allows. The files under rules/ say the same.
const budget = 64

// options are the command's flags.
type options struct {
	binary   string
	only     string
	replicas int
	creates  int
	clients  int
	rounds   int
	seed     uint64
	keepLogs bool
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.binary, "binary", "bin/kubetorch-webhook", "the built webhook of this repository")
	flags.StringVar(&o.only, "only", "kubetorch,gatekeeper,kyverno", "whom to compare")
	flags.IntVar(&o.replicas, "replicas", 3, "replicas of this repository's webhook; the others run one")
	flags.IntVar(&o.creates, "creates", 300, "creates in a round")
	flags.IntVar(&o.clients, "clients", 64, "clients that create at the same time")
	flags.IntVar(&o.rounds, "rounds", 5, "rounds")
	flags.Uint64Var(&o.seed, "seed", 1, "seed of the claims")
	flags.BoolVar(&o.keepLogs, "keep-logs", false, "keep the logs of all processes")
}

func (o *options) validate(args []string) error {
	var errs []error
	if len(args) > 0 {
		errs = append(errs, fmt.Errorf("unexpected arguments: %q", args))
	}
	for name, value := range map[string]int{"replicas": o.replicas, "creates": o.creates, "clients": o.clients, "rounds": o.rounds} {
		if value < 1 {
			errs = append(errs, fmt.Errorf("-%s is %d, must be at least 1", name, value))
		}
	}
	for _, name := range o.names() {
		if !slices.Contains([]string{"kubetorch", "gatekeeper", "kyverno"}, name) {
			errs = append(errs, fmt.Errorf("-only: unknown %q; known are kubetorch, gatekeeper and kyverno", name))
		}
	}
	return errors.Join(errs...)
}

func (o *options) names() []string { return strings.Split(o.only, ",") }

func (o *options) contenders() []contender {
	var list []contender
	for _, name := range o.names() {
		switch name {
		case "kubetorch":
			list = append(list, kubetorch{binary: o.binary, replicas: o.replicas})
		case "gatekeeper":
			list = append(list, gatekeeper{})
		case "kyverno":
			list = append(list, kyverno{})
		}
	}
	return list
}
