package ledger

import (
	"fmt"
	"testing"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
)

// BenchmarkCharge is what the ledger costs an admission beside other claims: to charge it,
// and to write the status.
func BenchmarkCharge(b *testing.B) {
	for _, claims := range []int{10, 1000, 10000, 100000} {
		b.Run(fmt.Sprintf("claims=%d", claims), func(b *testing.B) {
			all := Claims{}
			for i := range claims {
				namespace := fmt.Sprintf("ns-%d", i%50)
				if all[namespace] == nil {
					all[namespace] = map[Key]Amount{}
				}
				all[namespace][derived(fmt.Sprint(i))] = Amount{GPUs: 4}
			}
			plain := (&Tracker{}).Rebuild(all, nil, 0)
			from := &v1alpha1.LedgerBase{}
			parts := plain.Parts()
			for _, part := range parts {
				from.Parts = append(from.Parts, v1alpha1.LedgerPart{SHA256: Digest(part)})
			}
			base, err := ReadBase(from, parts)
			if err != nil {
				b.Fatal(err)
			}
			book, _ := plain.Over(base)
			limits := Limits{Max: Most - 1}
			var status v1alpha1.GPUBudgetStatus
			n := int64(0)
			b.ReportAllocs()
			for b.Loop() {
				n++
				if o := book.Charge(limits, "token", Charge{Key: derived("new"), Namespace: "ns-1", Amount: Amount{GPUs: n}}); !o.Fits {
					b.Fatal(o)
				}
				book.Write(&status, limits.Max)
			}
		})
	}
}
