package policy

import (
	"strings"

	"github.com/kubetorch/webhook/pkg/workload"
)

// Headroom is what a bound leaves to a workload.
type Headroom struct {
	Policy string `json:"policy"`
	Bound  string `json:"bound"`
	// Asks is what the workload asks for, Allows what the bound allows, and Left what
	// may still be added; Left is empty for lists.
	Asks        string `json:"asks"`
	Allows      string `json:"allows"`
	Left        string `json:"left,omitempty"`
	Enforcement string `json:"enforcement"`
}

// Room lists every bound that holds for a demand, and how much it leaves.
func (s Selection) Room(d workload.Usage) []Headroom {
	var rooms []Headroom
	for _, p := range s.bounds {
		for i := range p.rules {
			r := &p.rules[i]
			if d.Fixed && r.kind.autoscaler {
				continue
			}
			room := Headroom{Policy: r.Policy, Bound: strings.TrimPrefix(r.field(), "bounds."), Asks: r.kind.asks(&d), Allows: r.limit(), Enforcement: string(r.Enforcement)}
			if r.hasMax {
				room.Left = "none"
				if amount := r.kind.amount(&d); amount.Cmp(r.Max) < 0 {
					left := r.Max.DeepCopy()
					left.Sub(amount)
					room.Left = r.kind.unit(left)
				}
			}
			rooms = append(rooms, room)
		}
	}
	return rooms
}
