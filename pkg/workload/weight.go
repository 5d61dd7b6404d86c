package workload

import (
	"cmp"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
)

// Weight is how many GPUs one unit of a resource stands for: a fraction above 0. The zero
// value is 1.
type Weight struct {
	num, den int64 // both 0, or both from 1 to maxWeight
}

// maxWeight limits numerator and denominator, so that sums stay short.
const maxWeight = 1_000_000

var weightText = regexp.MustCompile(`^([0-9]{1,7})(/([0-9]{1,7})|\.([0-9]{1,6}))?$`)

// ParseWeight reads "2", "0.5" or "1/7".
func ParseWeight(text string) (Weight, error) {
	m := weightText.FindStringSubmatch(text)
	if m == nil {
		return Weight{}, fmt.Errorf("must be a number of GPUs such as 1, 0.5 or 1/7")
	}
	num, _ := strconv.ParseInt(m[1], 10, 64)
	den := int64(1)
	switch {
	case m[3] != "":
		den, _ = strconv.ParseInt(m[3], 10, 64)
	case m[4] != "":
		for range m[4] {
			num, den = num*10, den*10
		}
		decimals, _ := strconv.ParseInt(m[4], 10, 64)
		num += decimals
	}
	if num == 0 || den == 0 {
		return Weight{}, fmt.Errorf("must be above 0; what counts nothing belongs under notGPUResources")
	}
	reduced := big.NewRat(num, den)
	num, den = reduced.Num().Int64(), reduced.Denom().Int64()
	if num > maxWeight || den > maxWeight {
		return Weight{}, fmt.Errorf("must have a numerator and a denominator of at most %d", maxWeight)
	}
	return Weight{num, den}, nil
}

// String is the weight as ParseWeight reads it.
func (w Weight) String() string {
	switch {
	case w.den == 0:
		return "1"
	case w.den == 1:
		return strconv.FormatInt(w.num, 10)
	}
	return fmt.Sprintf("%d/%d", w.num, w.den)
}

// isOne tells whether a unit stands for one GPU.
func (w Weight) isOne() bool { return w.num == w.den }

// cmp compares two weights.
func (w Weight) compare(other Weight) int {
	a, b := w.whole(), other.whole()
	return big.NewRat(a.num, a.den).Cmp(big.NewRat(b.num, b.den))
}

func (w Weight) whole() Weight {
	if w.den == 0 {
		return Weight{1, 1}
	}
	return w
}

// fraction is an exact sum of weighted numbers, which are not negative: a whole number and,
// where there are fractions, a rest.
type fraction struct {
	whole int64
	rest  *big.Rat // nil if nothing but whole numbers was added
}

// add adds n units of a weight.
func (f *fraction) add(n int64, w Weight) {
	switch {
	case w.isOne():
		f.whole = SaturatingAdd(f.whole, n)
	case n == Unbounded:
		f.whole = Unbounded
	case w.den == 1:
		f.whole = SaturatingAdd(f.whole, SaturatingMul(n, w.num))
	case n > 0:
		if f.rest == nil {
			f.rest = new(big.Rat)
		}
		units := new(big.Rat).SetInt64(n)
		f.rest.Add(f.rest, units.Mul(units, big.NewRat(w.num, w.den)))
	}
}

// ceil is the sum rounded up, and how much rounding added; nil if it added nothing.
func (f *fraction) ceil() (int64, *big.Rat) {
	if f.rest == nil || f.whole == Unbounded {
		return f.whole, nil
	}
	up := ceilOf(f.rest)
	return SaturatingAdd(f.whole, up), added(up, f.rest)
}

// ceilOf rounds up a number that is not negative; too large is Unbounded.
func ceilOf(r *big.Rat) int64 {
	n := new(big.Int).Add(r.Num(), r.Denom())
	n.Sub(n, big.NewInt(1))
	n.Quo(n, r.Denom())
	if !n.IsInt64() {
		return Unbounded
	}
	return n.Int64()
}

// added is what rounding r up to a whole number added.
func added(up int64, r *big.Rat) *big.Rat {
	d := new(big.Rat).SetInt64(up)
	if d.Sub(d, r); d.Sign() == 0 {
		return nil
	}
	return d
}

// times multiplies a number that was rounded up, less what rounding added, by n, and rounds
// the product up in turn.
func times(rounded int64, less *big.Rat, n int64) (int64, *big.Rat) {
	product := SaturatingMul(rounded, n)
	if less == nil || product == Unbounded || n == 0 {
		return product, nil
	}
	exact := exactly(rounded, less)
	exact.Mul(exact, new(big.Rat).SetInt64(n))
	up := ceilOf(exact)
	return up, added(up, exact)
}

// Sum is how many GPUs parts claim together: the exact sum, rounded up once.
func Sum(parts []Part) int64 {
	return sumOf(parts, func(p *Part) (int64, *big.Rat) { return p.GPUs, p.less })
}

// SumOf sums what parts have of the GPU types that counts accepts.
func SumOf(parts []Part, counts func(gpuType string) bool) int64 {
	return sumOf(parts, func(p *Part) (int64, *big.Rat) { return p.counted(counts) })
}

func sumOf(parts []Part, of func(*Part) (gpus int64, less *big.Rat)) int64 {
	var n int64
	var less *big.Rat
	for i := range parts {
		gpus, added := of(&parts[i])
		n = SaturatingAdd(n, gpus)
		if added != nil {
			if less == nil {
				less = new(big.Rat)
			}
			less.Add(less, added)
		}
	}
	if less == nil || n == Unbounded {
		return n
	}
	whole := new(big.Int).Quo(less.Num(), less.Denom())
	return n - whole.Int64()
}

// SumsByType are the sums of parts by GPU type; the key "" is any type, or several.
func SumsByType(parts []Part) map[string]int64 {
	sums := map[string]int64{}
	for i := range parts {
		if t := parts[i].Type; sums[t] == 0 {
			sums[t] = sumOf(parts, func(p *Part) (int64, *big.Rat) {
				if p.Type != t {
					return 0, nil
				}
				return p.GPUs, p.less
			})
		}
	}
	return sums
}

// Times is how many GPUs so many pods ask for together, rounded up, and what rounding added.
func (c GPUCount) Times(pods int64) (int64, *big.Rat) { return times(c.PerPod, c.less, pods) }

// PodsWithin is the most pods that ask for no more than so many GPUs together; Unbounded if a
// pod asks for none.
func (c GPUCount) PodsWithin(gpus int64) int64 {
	switch {
	case c.PerPod == 0, gpus == Unbounded:
		return Unbounded
	case c.less == nil:
		return gpus / c.PerPod
	}
	pods := new(big.Rat).SetInt64(gpus)
	pods.Quo(pods, exactly(c.PerPod, c.less))
	whole := new(big.Int).Quo(pods.Num(), pods.Denom())
	if !whole.IsInt64() {
		return Unbounded
	}
	return whole.Int64()
}

// Cmp compares what two pods ask for, exactly.
func (c GPUCount) Cmp(other GPUCount) int {
	if c.less == nil && other.less == nil {
		return cmp.Compare(c.PerPod, other.PerPod)
	}
	return exactly(c.PerPod, c.less).Cmp(exactly(other.PerPod, other.less))
}

// Text is the number of GPUs of a pod: "2", "1/7" or "unbounded".
func (c GPUCount) Text() string {
	if c.less == nil {
		return NumberText(c.PerPod)
	}
	return exactly(c.PerPod, c.less).RatString()
}

// exceeds tells whether a part claims more than another, exactly.
func (p Part) exceeds(other Part) bool {
	if p.less == nil && other.less == nil {
		return p.GPUs > other.GPUs
	}
	return exactly(p.GPUs, p.less).Cmp(exactly(other.GPUs, other.less)) > 0
}

// exactly is a number before it was rounded up.
func exactly(rounded int64, less *big.Rat) *big.Rat {
	exact := new(big.Rat).SetInt64(rounded)
	if less != nil {
		exact.Sub(exact, less)
	}
	return exact
}

// Units is the most units of a GPU resource that stand for no more than so many GPUs.
func (g GPUResources) Units(name string, gpus int64) int64 {
	w := g.get().of(name).weight.whole()
	if w.isOne() || gpus == Unbounded {
		return gpus
	}
	units := new(big.Int).Mul(big.NewInt(gpus), big.NewInt(w.den))
	if units.Quo(units, big.NewInt(w.num)); !units.IsInt64() {
		return Unbounded
	}
	return units.Int64()
}
