// Bypass class: an exemption that has ended, used as if it had not.

package policy_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/policy"
)

func TestAnExemptionEnds(t *testing.T) {
	end := time.Date(2027, time.January, 31, 0, 0, 0, 0, time.UTC)
	until := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: end.Add(d)} }
	p := func(exempt ...v1alpha1.Exemption) *policy.Set {
		most := int64(1)
		return policy.Compile([]v1alpha1.ComputePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "p"},
			Spec: v1alpha1.ComputePolicySpec{Bounds: &v1alpha1.Bounds{GPUsPerPod: &v1alpha1.GPUCountBound{Max: &most}}, Exempt: exempt}}})
	}
	bob := v1alpha1.Exemption{Users: []string{"bob"}, Until: until(0), Reason: "a paper"}
	for name, test := range map[string]struct {
		exempt  []v1alpha1.Exemption
		after   time.Duration
		exempts bool
		ending  []policy.Ending
	}{
		"long before":                       {[]v1alpha1.Exemption{bob}, -8 * 24 * time.Hour, true, nil},
		"in the last seven days":            {[]v1alpha1.Exemption{bob}, -7 * 24 * time.Hour, true, []policy.Ending{{Policy: "p", Until: end, Reason: "a paper"}}},
		"a second before":                   {[]v1alpha1.Exemption{bob}, -time.Second, true, []policy.Ending{{Policy: "p", Until: end, Reason: "a paper"}}},
		"at the end":                        {[]v1alpha1.Exemption{bob}, 0, false, nil},
		"after it":                          {[]v1alpha1.Exemption{bob}, time.Hour, false, nil},
		"another one goes on":               {[]v1alpha1.Exemption{bob, {Namespaces: []string{"ml"}}}, time.Hour, true, nil},
		"and nobody is warned of the first": {[]v1alpha1.Exemption{bob, {Namespaces: []string{"ml"}}}, -time.Hour, true, nil},
		"the one that lasts longest counts": {[]v1alpha1.Exemption{bob, {Users: []string{"bob"}, Until: until(time.Hour)}}, -time.Hour, true, []policy.Ending{{Policy: "p", Until: end.Add(time.Hour)}}},
		"one of another user is none":       {[]v1alpha1.Exemption{{Users: []string{"eve"}, Until: until(0)}}, -time.Hour, false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			set := p(test.exempt...).WithClock(func() time.Time { return end.Add(test.after) })
			s := set.For(policy.Subject{Namespace: "ml", NamespaceKnown: true, User: authenticationv1.UserInfo{Username: "bob"}})
			assert.Equal(t, !test.exempts, s.BoundsGPUs())
			assert.Equal(t, test.ending, s.Ending())
		})
	}
	t.Run("what is recorded on a Deployment ends too", func(t *testing.T) {
		for after, bounds := range map[time.Duration]bool{-time.Second: false, 0: true} {
			set := p(bob).WithClock(func() time.Time { return end.Add(after) })
			s := set.For(policy.Subject{Namespace: "ml", NamespaceKnown: true, User: authenticationv1.UserInfo{Username: "controller"}}).Without([]string{"p"})
			assert.Equal(t, bounds, s.BoundsGPUs())
		}
	})
	assert.Equal(t, "policy p exempts this until 2027-01-31T00:00:00Z (a paper); its bounds hold from then on", policy.Ending{Policy: "p", Until: end, Reason: "a paper"}.Warning())
}
