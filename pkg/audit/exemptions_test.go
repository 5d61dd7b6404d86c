package audit_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/policy"
)

func TestTheStatusSaysWhichExemptionsHaveEnded(t *testing.T) {
	now := time.Date(2027, time.February, 1, 0, 0, 0, 0, time.UTC)
	entry := func(after time.Duration, reason string) v1alpha1.Exemption {
		return v1alpha1.Exemption{Users: []string{"bob"}, Until: &metav1.Time{Time: now.Add(after)}, Reason: reason}
	}
	for name, test := range map[string]struct {
		exempt []v1alpha1.Exemption
		want   string
	}{
		"none that ends": {[]v1alpha1.Exemption{{Users: []string{"bob"}}}, ""},
		"one that holds": {[]v1alpha1.Exemption{entry(time.Hour, "")}, "False ExemptionsHold: no exemption has ended"},
		"two of three": {[]v1alpha1.Exemption{entry(-time.Hour, "a paper"), entry(time.Hour, ""), entry(0, "")},
			"True ExemptionsEnded: spec.exempt[0] ended 2027-01-31T23:00:00Z (a paper); spec.exempt[2] ended 2027-02-01T00:00:00Z: the bounds hold again; what was let in stays, and may not grow"},
	} {
		t.Run(name, func(t *testing.T) {
			s := audit.Report{}.Status(policy.Description{Name: "p", Exempt: test.exempt}, 1, v1alpha1.ComputePolicyStatus{}, now)
			got := ""
			if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionExemptionsEnded); c != nil {
				got = string(c.Status) + " " + c.Reason + ": " + c.Message
			}
			assert.Equal(t, test.want, got)
		})
	}
}
