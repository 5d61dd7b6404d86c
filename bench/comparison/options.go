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

// The parts of a run.
const (
	raceName  = "race"
	kindsName = "kinds"
)

// options are the command's flags.
type options struct {
	binary   string
	parts    string
	page     string
	only     string
	replicas int
	// mix and kindRounds are of the part "kinds".
	mix, kindRounds int
	creates         int
	clients         int
	rounds          int
	seed            uint64
	keepLogs        bool
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.binary, "binary", "../bin/kubetorch-webhook", "the built webhook of this repository")
	flags.StringVar(&o.parts, "parts", "race,kinds", "what to compare: race, Knative Services alone, or kinds, everything that makes pods")
	flags.StringVar(&o.page, "page", "", "a Markdown file to write the tables into, between the comments that name them")
	flags.StringVar(&o.only, "only", "kubetorch,quota,gatekeeper,kyverno", "whom to compare; a ResourceQuota cannot hold the rule of part race")
	flags.IntVar(&o.mix, "mix", 150, "creates in a round of part kinds")
	flags.IntVar(&o.kindRounds, "kind-rounds", 3, "rounds of part kinds")
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
	for name, value := range map[string]int{"replicas": o.replicas, "creates": o.creates, "clients": o.clients, "rounds": o.rounds,
		"mix": o.mix, "kind-rounds": o.kindRounds} {
		if value < 1 {
			errs = append(errs, fmt.Errorf("-%s is %d, must be at least 1", name, value))
		}
	}
	for _, name := range o.names() {
		if !slices.Contains([]string{"kubetorch", "quota", "gatekeeper", "kyverno"}, name) {
			errs = append(errs, fmt.Errorf("-only: unknown %q; known are kubetorch, quota, gatekeeper and kyverno", name))
		}
	}
	for _, part := range o.partNames() {
		if part != raceName && part != kindsName {
			errs = append(errs, fmt.Errorf("-parts: unknown %q; known are race and kinds", part))
		}
	}
	return errors.Join(errs...)
}

func (o *options) names() []string { return strings.Split(o.only, ",") }

func (o *options) partNames() []string { return strings.Split(o.parts, ",") }

// contenders are those of a part.
func (o *options) contenders(part string) []contender {
	var list []contender
	for _, name := range o.names() {
		switch name {
		case "kubetorch":
			list = append(list, kubetorch{binary: o.binary, replicas: o.replicas})
		case "quota":
			if part == kindsName {
				list = append(list, quota{})
			}
		case "gatekeeper":
			list = append(list, gatekeeper{})
		case "kyverno":
			list = append(list, kyverno{})
		}
	}
	return list
}
