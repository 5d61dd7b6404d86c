package knative

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// A shape is the fields that an object may have, and what each may hold.
type shape map[string]func(v any) bool

func (s shape) fits(o manifest.Object) bool {
	for key, v := range o {
		if allowed := s[key]; allowed == nil || !allowed(v) {
			return false
		}
	}
	return true
}

// object is one of a shape.
func (s shape) object(v any) bool {
	o, ok := v.(manifest.Object)
	return ok && s.fits(o)
}

// with is an object of a shape that has all of some fields.
func (s shape) with(keys ...string) func(v any) bool {
	return func(v any) bool {
		o, ok := v.(manifest.Object)
		for _, key := range keys {
			ok = ok && o[key] != nil
		}
		return ok && s.fits(o)
	}
}

// one is an object of a shape with one field.
func (s shape) one(v any) bool {
	o, ok := v.(manifest.Object)
	return ok && len(o) == 1 && s.fits(o)
}

func listOf(entry func(v any) bool) func(v any) bool {
	return func(v any) bool {
		l, ok := v.([]any)
		for _, e := range l {
			ok = ok && entry(e)
		}
		return ok
	}
}

func mapOf(key func(key string) bool, value func(v any) bool) func(v any) bool {
	return func(v any) bool {
		o, ok := v.(manifest.Object)
		for k, e := range o {
			ok = ok && key(k) && value(e)
		}
		return ok
	}
}

func anything(any) bool    { return true }
func anyKey(string) bool   { return true }
func isText(v any) bool    { _, ok := v.(string); return ok }
func isBool(v any) bool    { _, ok := v.(bool); return ok }
func isTrue(v any) bool    { return v == true }
func isHundred(v any) bool { return v == int64(100) }
func isLong(v any) bool    { _, ok := v.(int64); return ok }
func isCount(v any) bool   { n, ok := v.(int64); return ok && 0 <= n && n <= math.MaxInt32 }

func isOneOf(words ...string) func(v any) bool {
	return func(v any) bool {
		for _, w := range words {
			if v == w {
				return true
			}
		}
		return false
	}
}

// isNot is any text but some, and not the empty one.
func isNot(words ...string) func(v any) bool {
	is := isOneOf(words...)
	return func(v any) bool { return isText(v) && v != "" && !is(v) }
}

func isTime(v any) bool {
	if v == nil {
		return true
	}
	text, ok := v.(string)
	if !ok {
		return false
	}
	_, err := time.Parse(time.RFC3339, text)
	return err == nil
}

// isDuration is one of whole seconds, within limits.
func isDuration(low, high time.Duration) func(v any) bool {
	return func(v any) bool {
		text, ok := v.(string)
		if !ok {
			return false
		}
		d, err := time.ParseDuration(text)
		return err == nil && low <= d && d <= high && d%time.Second == 0
	}
}

// isDecimal is digits, perhaps with a point and more digits, within limits.
func isDecimal(low, high float64) func(v any) bool {
	return func(v any) bool {
		text, ok := v.(string)
		if !ok || !decimal(text) {
			return false
		}
		f, err := strconv.ParseFloat(text, 64)
		return err == nil && low <= f && f <= high
	}
}

func decimal(text string) bool {
	if len(text) > 15 {
		return false
	}
	before, after, point := strings.Cut(text, ".")
	return digits(before) && (!point || digits(after))
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return text != ""
}

// isQuantity is one without a sign or an exponent.
func isQuantity(v any) bool {
	text, ok := v.(string)
	if !ok {
		return isCount(v)
	}
	number, found := strings.CutSuffix(text, "i")
	if last := len(number) - 1; last > 0 && strings.IndexByte("KMGTPE", number[last]) >= 0 {
		return decimal(number[:last])
	} else if !found && last > 0 && (number[last] == 'm' || number[last] == 'k') {
		return decimal(number[:last])
	}
	return !found && decimal(number)
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func isLowerOrDigit(c byte) bool { return isLower(c) || ('0' <= c && c <= '9') }

// isLabel is a DNS label whose first byte is one of some.
func isLabel(text string, first func(c byte) bool) bool {
	if text == "" || len(text) > 63 || !first(text[0]) || text[len(text)-1] == '-' {
		return false
	}
	for i := range len(text) {
		if !isLowerOrDigit(text[i]) && text[i] != '-' {
			return false
		}
	}
	return true
}

func isName(v any) bool { text, ok := v.(string); return ok && isLabel(text, isLowerOrDigit) }

// isSubdomain is labels with points between them.
func isSubdomain(v any) bool {
	text, ok := v.(string)
	if !ok || len(text) > 253 {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if !isLabel(label, isLowerOrDigit) {
			return false
		}
	}
	return true
}

// isImage is repository[:tag], of lower-case parts.
func isImage(v any) bool {
	text, ok := v.(string)
	if !ok || len(text) > 200 {
		return false
	}
	if colon := strings.LastIndexByte(text, ':'); colon > strings.LastIndexByte(text, '/') {
		tag := text[colon+1:]
		for i := range len(tag) {
			if c := tag[i] | 0x20; !isLowerOrDigit(c) && tag[i] != '-' && tag[i] != '.' && tag[i] != '_' {
				return false
			}
		}
		if text = text[:colon]; tag == "" || len(tag) > 128 {
			return false
		}
	}
	for part := range strings.SplitSeq(text, "/") {
		for i := range len(part) {
			if c := part[i]; !isLowerOrDigit(c) && (i == 0 || (c != '-' && c != '.' && c != '_')) {
				return false
			}
		}
		if len(part) < 2 {
			return false
		}
	}
	return true
}

// isMountPath is an absolute path of ordinary parts that Knative does not reserve.
func isMountPath(v any) bool {
	text, ok := v.(string)
	if !ok || len(text) < 2 || text[0] != '/' || text == "/dev" || text == "/dev/log" {
		return false
	}
	for part := range strings.SplitSeq(text[1:], "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// isPort is one that the queue proxy leaves to the container.
func isPort(v any) bool {
	n, ok := v.(int64)
	return ok && 0 < n && n <= 65535 && (n <= 8000 || n == 8080 || n > 9100)
}

// ours tells of a key of annotations whether Knative has no part in it.
func ours(key string) bool {
	return !strings.Contains(key, "knative.dev")
}

// annotations may be of any key that is none of Knative's, and of some that are.
func annotations(known shape) func(v any) bool {
	return func(v any) bool {
		o, ok := v.(manifest.Object)
		if !ok {
			return false
		}
		for key, value := range o {
			if allowed := known[key]; allowed != nil {
				if !allowed(value) {
					return false
				}
			} else if !isText(value) || !ours(key) {
				return false
			}
		}
		return true
	}
}
