package exactness

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// limit is a number of GPUs that some namespaces may have, of a type if it names one.
type limit struct {
	budget     string
	namespaces []string
	product    string
	max        int64
	strict     bool
	// part is whether it is one namespace's of a budget, so that the ledger holds more.
	part bool
	// peaks are those that were found.
	peaks peaks
}

func (l *limit) String() string {
	what := fmt.Sprintf("%s, at most %d", l.budget, l.max)
	if l.part {
		what = fmt.Sprintf("%s, at most %d in %s", l.budget, l.max, l.namespaces[0])
	}
	if l.product != "" {
		what += " of " + l.product
	}
	return what
}

// peaks are the highest sums under a limit at any time.
type peaks struct {
	// claims are of stored objects, and live what live pods have, in sevenths of GPUs: what is rounded
	// up once for a root is rounded up once for each pod that it leaves behind.
	claims, live int64
	// held and overlap are what the ledger showed.
	held, overlap int64
	// beyond is the most that live pods had of what the ledger did not hold, in sevenths.
	beyond int64
	// claimsAt, liveAt and beyondAt are when it was so.
	claimsAt, liveAt, beyondAt string
}

// sums are what the objects under a limit claim and hold while time goes by.
type sums struct {
	*limit
	peaks
	objects     map[types.UID]*record
	autoscalers map[string]map[types.UID]*record // by target
	claimed     map[types.UID]int64
	holding     map[types.UID]int64
	// made are the ResourceClaims that were made for a pod, by its UID, and templates are what they are made
	// of, by namespace and name.
	made      map[types.UID]map[types.UID]*record
	templates map[string]*record
	// ledger is what the budget's holds now.
	ledger     *record
	sum, alive int64
}

func newSums(l *limit) *sums {
	return &sums{limit: l, objects: map[types.UID]*record{}, autoscalers: map[string]map[types.UID]*record{},
		claimed: map[types.UID]int64{}, holding: map[types.UID]int64{},
		made: map[types.UID]map[types.UID]*record{}, templates: map[string]*record{}}
}

// replay goes through what was stored.
func (l *limit) replay(history []*record) *sums {
	s := newSums(l)
	for _, r := range history {
		s.see(r)
	}
	return s
}

// state has the objects as they are now, to be recounted.
func (l *limit) state(now []*record) *sums {
	s := newSums(l)
	for _, r := range now {
		switch r.kind {
		case "GPUBudget":
			continue
		case "HorizontalPodAutoscaler":
			put(s.autoscalers, r.target, r)
			continue
		case "ResourceClaimTemplate":
			s.templates[r.namespace+"/"+r.name] = r
		case "ResourceClaim":
			if r.controllerKind == "Pod" {
				put(s.made, r.controller, r)
			}
		}
		s.objects[r.uid] = r
	}
	return s
}

// put adds a record to those with a key.
func put[K comparable](to map[K]map[types.UID]*record, key K, r *record) {
	if to[key] == nil {
		to[key] = map[types.UID]*record{}
	}
	to[key][r.uid] = r
}

func (s *sums) see(r *record) {
	switch {
	case r.kind == "GPUBudget":
		if r.name == s.budget {
			s.ledger = r
			s.held, s.overlap = max(s.held, r.held), max(s.overlap, r.overlap)
		}
	case !slices.Contains(s.namespaces, r.namespace):
		return
	case r.kind == "HorizontalPodAutoscaler":
		s.autoscaler(r)
	default:
		if s.objects[r.uid] = r; r.gone {
			delete(s.objects, r.uid)
		}
		s.claim(r)
		switch r.kind {
		case "Pod":
			s.hold(r)
		case "ResourceClaim":
			s.hold(r)
			s.madeFor(r)
		case "ResourceClaimTemplate":
			s.template(r)
		}
	}
	if s.sum > s.claims {
		s.claims, s.claimsAt = s.sum, r.String()
	}
	if s.alive > s.live {
		s.live, s.liveAt = s.alive, r.String()
	}
	if s.ledger == nil || s.part {
		return
	}
	if beyond := s.alive - 7*(s.ledger.held+s.ledger.overlap); beyond > s.beyond {
		s.beyond, s.beyondAt = beyond, r.String()
	}
}

// autoscaler changes what its targets claim.
func (s *sums) autoscaler(r *record) {
	for target, known := range s.autoscalers {
		if known[r.uid] != nil && (r.gone || target != r.target) {
			delete(known, r.uid)
			s.claimAll(target)
		}
	}
	if r.gone {
		return
	}
	put(s.autoscalers, r.target, r)
	s.claimAll(r.target)
}

func (s *sums) claimAll(target string) {
	for _, uid := range slices.Collect(maps.Keys(s.objects)) {
		if r := s.objects[uid]; targetOf(r.namespace, r.kind, r.name) == target {
			s.claim(r)
		}
	}
}

// claim puts what one object claims right.
func (s *sums) claim(r *record) {
	claim := int64(0)
	if !r.gone && r.root() {
		claim = s.each(r) * s.pods(r)
	}
	s.sum += claim - s.claimed[r.uid]
	s.claimed[r.uid] = claim
}

// root tells whether an object claims by itself, and not through the one that controls it.
func (r *record) root() bool {
	switch r.kind {
	case "Pod":
		return !r.ended && (r.controllerKind == "" || r.controllerKind == "DaemonSet")
	case "ResourceClaimTemplate":
		return false
	case "ResourceClaim": // of a pod it is part, also when that has gone
		return r.controllerKind != "Pod"
	case "Job", "Service":
		return !r.deleting
	}
	return !r.deleting && r.controllerKind == ""
}

// pods is how many pods an object may ask for: as many as an autoscaler may have it ask for, which
// leaves alone what is at 0.
func (s *sums) pods(r *record) int64 {
	size := r.size
	for _, a := range s.autoscalers[targetOf(r.namespace, r.kind, r.name)] {
		if r.size > 0 {
			size = max(size, a.least, a.most)
		}
	}
	return size
}

// hold puts right what one pod holds by the names of resources, until it has ended or is gone, or what one
// ResourceClaim holds, whoever uses it, until it is gone.
func (s *sums) hold(r *record) {
	holds := int64(0)
	if !r.gone && !r.ended && r.counts(s.product) {
		holds = r.each
	}
	s.alive += holds - s.holding[r.uid]
	s.holding[r.uid] = holds
}

// recount is what a ledger at rest has to hold of each namespace: of each root the larger of its claim and
// what its pods hold.
func (s *sums) recount() map[string]int64 {
	// Of each root: what its pods hold, what its ReplicaSets ask for together, the most of one of them, and the
	// most of one of their pods.
	held, sets := map[types.UID]int64{}, map[types.UID]int64{}
	single, largest := map[types.UID]int64{}, map[types.UID]int64{}
	for _, r := range s.objects {
		switch root, each := s.rootOf(r), s.each(r); {
		case r.kind == "Pod" && root.uid != r.uid && !r.ended:
			held[root.uid] += each
		case r.kind == "ReplicaSet" && root.uid != r.uid:
			sets[root.uid] += each * s.pods(r)
			single[root.uid] = max(single[root.uid], each*s.pods(r))
			if s.pods(r) > 0 {
				largest[root.uid] = max(largest[root.uid], each)
			}
		}
	}
	sums := map[string]int64{}
	for uid, r := range s.objects {
		if s.rootOf(r).uid != uid || (r.kind == "Pod" && r.ended) {
			continue
		}
		claim := s.each(r) * s.pods(r)
		switch {
		case r.kind == "ResourceClaimTemplate", r.kind == "ResourceClaim" && s.partOfPod(r):
			claim = 0
		case r.kind == "ResourceClaim":
		case r.deleting && r.kind != "Pod" && r.kind != "Service": // what is of a Service may still be scaled
			claim = 0
		case r.kind == "Deployment":
			claim = max(max(s.each(r), largest[uid])*s.pods(r), single[uid])
		}
		if total := whole(max(claim, held[uid], sets[uid])); total > 0 {
			sums[r.namespace] += total
		}
	}
	return sums
}

// rootOf is the object that an object is counted with: the last in the chain of controllers that are
// there. Pods of DaemonSets claim by themselves, and Jobs of CronJobs.
func (s *sums) rootOf(r *record) *record {
	for {
		owner := s.objects[r.controller]
		if r.kind == "ResourceClaim" {
			return r
		}
		if r.controllerKind == "Revision" { // what Knative makes is its Service's
			for _, o := range s.objects {
				if o.kind == "Service" && o.namespace == r.namespace && isOfService(r.name, o.name) {
					return o
				}
			}
			return r
		}
		if owner == nil || r.kind == "Service" {
			return r
		}
		r = owner
	}
}

// in are the objects of a namespace, but for pods that have ended.
func (s *sums) in(namespace string) (found []*record) {
	for _, r := range s.objects {
		if r.namespace == namespace && (!r.ended || len(s.made[r.uid]) > 0) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b *record) int { return strings.Compare(a.kind+a.name, b.kind+b.name) })
	return found
}
