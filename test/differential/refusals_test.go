package differential

import (
	"regexp"

	"github.com/kubetorch/webhook/pkg/expand"
)

// category is a kind of refusal that Knative itself does not make.
type category struct {
	name string
	// text matches the whole error: its path and what is wrong.
	text *regexp.Regexp
	// why we are stricter than Knative, in a sentence.
	why string
}

func stricterThanKnative(name, text, why string) category {
	return category{name: name, text: regexp.MustCompile(text), why: why}
}

// stricter is the whole list of what Knative accepts and this project refuses. Order
// matters: the first category that matches an error is its category.
var stricter = []category{
	stricterThanKnative("unknown parameter", `unknown key; the nearest known one is `,
		"A key under the two prefixes that is not in the table is a mistake that would otherwise have no effect."),
	stricterThanKnative("stated twice", `differs from .*; state it once|differs from .*, which is the one that Knative reads`,
		"Two places that say different things leave open which one the author means; Knative silently takes the first."),
	stricterThanKnative("opt-in label", `kubetorch\.com/(autoscale|compute)\].*(unknown .* profile|may not be empty)`,
		"A label that names no profile asks for something that does not exist."),
	stricterThanKnative("distribute", `autoscaling and distributed computing are mutually exclusive`,
		"kubetorch cannot do both."),
	stricterThanKnative("parameter of a wrong JSON type", `(annotations|labels)\[(autoscale|compute)\.kubetorch\.com/[^\]]*\].*must be a string`,
		"Kubernetes drops null values and refuses all others later."),

	stricterThanKnative("not a finite decimal number", `(target|target-utilization|targetUtilizationPercentage|target-utilization-percentage)\]: Invalid value: "[^"]*([nN][aA][nN]|[iI][nN][fF]|[xX]|_)[^"]*": invalid value`,
		"NaN and Inf switch scaling off; hexadecimal and underscores are never meant."),
	stricterThanKnative("not a finite number for the autoscaler", `must be a finite number`,
		"Knative takes NaN and Inf for its other numbers too and then computes with them."),
	stricterThanKnative("signed number of pods", `(scale|Scale)\]: Invalid value: "[+-][0-9]+": `,
		"Knative reads +5 as 5 and -0 as 0; nobody means that."),
	stricterThanKnative("initial-scale beyond 32 bits", `(initial-scale|initialScale)\]: Invalid value: "[0-9]+": expected 0 <= [0-9]+ <= 2147483647`,
		"Knative accepts 64 bits and then starts 2147483647 pods."),
	stricterThanKnative("max-scale 0", `max-scale=0 is unlimited in Knative`,
		"An unbounded number of pods is never accepted."),
	stricterThanKnative("initial-scale above max-scale", `max-scale=[0-9]+ is less than initial-scale=`,
		"Knative would start more pods than max-scale says."),
	stricterThanKnative("above a default max-scale", `is above max-scale [0-9]+, which is a default`,
		"Knative would let min-scale or initial-scale win over the cluster's max-scale."),
	stricterThanKnative("above a policy's max-scale", `is above max-scale [0-9]+, to which policy`,
		"A policy lowers max-scale, and an explicit min-scale above it cannot hold."),
	stricterThanKnative("a profile that bounds leave no GPUs", `^metadata\.labels\[kubetorch\.com/compute\]: Forbidden: profile .* asks for`,
		"The workload names the profile for its GPUs; without any it would start and not work."),

	stricterThanKnative("activation-scale above a default max-scale", `max-scale=[0-9]+ is less than activation-scale=`,
		"A max-scale is always written and a default one is never raised: the author states it, as for min-scale."),

	stricterThanKnative("metric of the other class", `metric .* needs autoscaler-class (hpa|kpa)`,
		"hpa would look for a custom pod metric called concurrency that nobody serves."),
	stricterThanKnative("not the name of a metric", `metric\]: Invalid value: "[^"]*": (invalid value|may not be empty).*the name of a custom pod metric`,
		"Kubernetes cannot look up a metric of this name."),
	stricterThanKnative("hpa cpu without a request", `every container needs a cpu request`,
		"A percentage of nothing makes the hpa fail for good."),
	stricterThanKnative("hpa memory without a request", `the pod needs a memory request`,
		"A percentage of nothing cannot be turned into Mi."),
	stricterThanKnative("custom metric without a target", `the custom metric .* needs a target`,
		"Knative would ignore the metric and scale on cpu."),
	stricterThanKnative("hpa target that is not whole", `allowed with hpa: a whole`,
		"hpa drops fractions and overflows beyond 32 bits."),
	stricterThanKnative("hpa target below 1Mi", `percent of the memory request is less than 1Mi`,
		"Kubernetes refuses an hpa with a target of 0."),
	stricterThanKnative("hpa at zero", `hpa does not scale to zero`,
		"hpa keeps one pod whatever min-scale says."),
	stricterThanKnative("without effect with hpa", `has no effect with autoscaler-class hpa`,
		"Knative validates the key and then ignores it."),
	stricterThanKnative("class that nothing serves", `/class\]: Invalid value: .*no autoscaler serves this class`,
		"Knative takes the object, and its revision never becomes ready."),
	stricterThanKnative("unknown class parameter", `autoscaler-class\]: Invalid value: "[^"]*": (invalid value|may not be empty)`,
		"Knative takes any class of another domain, and nobody serves it."),
	stricterThanKnative("no concurrency limit by parameter", `autoscale\.kubetorch\.com/concurrency\]: Invalid value: "[^"]*": (expected 1 <= -?0 |invalid value|may not be empty)`,
		"The parameter takes whole numbers from 1: no limit is said by leaving it out, and a number as text or with an exponent is JSON that Knative happens to read."),
	stricterThanKnative("unknown autoscaler key", `Knative does not know this key and would ignore it|Knative reads this as an annotation only`,
		"Knative ignores the key, and with it what the author asks for."),
	stricterThanKnative("algorithm without a class", `metric-aggregation-algorithm\]: Invalid value: .*invalid value`,
		"Knative checks the algorithm only where the class is written out, as the expansion does."),

	stricterThanKnative("progress-deadline out of range", `progress-deadline\]: Invalid value: "[^"]*": (may not be empty|expected 1s <= )`,
		"Kubernetes refuses a Deployment with a deadline of 0 or beyond 32 bits, and a day is enough."),
	stricterThanKnative("progress-deadline on the object", `Knative reads this on the template only`,
		"Knative ignores it there."),
	stricterThanKnative("deadline below the startup probe's budget", `that the startup probe allows`,
		"A slow start within the probe's budget would be cut off."),

	stricterThanKnative("parameter that Knative has no say in", `metadata\.(labels|annotations)\[(compute\.kubetorch\.com/(cpus|memory|disk-size|gpus|gpu-type|gpu-memory|gpu-anti-affinity|shared-memory-limit|priority-class-name|queue-name|service-account-name|launch-timeout|inactivity-ttl|distribute)|autoscale\.kubetorch\.com/(service-name|port))\]: Invalid value: "[^"]*": (invalid value|may not be empty|expected )`,
		"The value is malformed for its parameter; Knative never sees it or takes it unread."),
	stricterThanKnative("above the limit", `is above the limit`,
		"Kubernetes refuses pods that request more than their limit, after Knative accepted the Service."),
	stricterThanKnative("GPUs that are no whole number", `must be a whole number of GPUs`,
		"Kubernetes refuses such pods, after Knative accepted the Service."),
	stricterThanKnative("GPU request without a limit", `GPUs need a limit equal to the request|GPUs cannot be overcommitted`,
		"Kubernetes refuses such pods, after Knative accepted the Service."),
	stricterThanKnative("two kinds of GPU", `asks for .* already; state its GPUs once`,
		"The parameter gpus would add GPUs of another kind to a container that has some."),
	stricterThanKnative("shared memory volume taken", `is the volume that .* makes for /dev/shm`,
		"The volume's name is taken for something else."),
	stricterThanKnative("template label", `spec\.template\.metadata\.labels`,
		"Knative takes any label on the template and then cannot create the revision."),
	stricterThanKnative("startup probe on a named port", `a startup probe on a named one never succeeds`,
		"Knative renames the port and leaves the probe alone."),
	stricterThanKnative("no memory", `thousandths of a byte|is [0-9.]+ bytes; write|is less than 1Mi|CPU cores; write`,
		"The unit is a mistake, and no container runs with so little, or no node has so much."),
	stricterThanKnative("no affinity with GPUs", `the pod asks for GPUs, which no node without any has`,
		"No node could run the pod."),
	stricterThanKnative("affinity behind a flag", `gpu-anti-affinity\]: Invalid value: "true": the cluster's Knative has`,
		"The cluster allows no affinity."),
	stricterThanKnative("GPUs of another container", `that the pod asks for, in spec`,
		"The pod has its GPUs; a second statement must agree."),
	stricterThanKnative("negative resources", `may not be negative`,
		"Kubernetes refuses such pods, after Knative accepted the Service."),
}

// judgeRefusal lets a refusal stand that Knative shares, for the object as it was
// written or as naively expanded; each other one must be of a known category.
func (t *trial) judgeRefusal(result expand.Result) {
	for _, raw := range [][]byte{t.raw, naive(t.raw, false), naive(t.raw, true)} {
		if _, err := t.cluster.admit(raw, nil); err != nil {
			t.outcome = "refused by both"
			return
		}
	}
	for _, err := range refusals(result) {
		name := categoryOf(err, stricter)
		if name == "" {
			t.fault("refused, while Knative takes it, for no listed reason: %v", err)
		}
		t.categories = append(t.categories, name)
	}
}

// categoryOf is the first category that matches an error; empty for none.
func categoryOf(err error, categories []category) string {
	for _, c := range categories {
		if c.text.MatchString(err.Error()) {
			return c.name
		}
	}
	return ""
}
