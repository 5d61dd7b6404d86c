package workload

import (
	"regexp"
	"strings"

	resourcev1 "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/kubetorch/webhook/pkg/manifest"
)

// ClaimCount is the GPUs that one ResourceClaim may get.
type ClaimCount struct {
	// GPUs is the most that can be allocated.
	GPUs int64
	// Product is the one product that all of them are of; empty for any, or several.
	Product string
	// Unknown are requests that cannot be counted.
	Unknown field.ErrorList
	// products are how many may be of each product, of those that anything pins to none under the empty one.
	products byType
}

// CountClaim counts the GPUs of a ResourceClaim, or of a claim made from a template, by its
// spec: a count for each request, 32 of those that want all, and of the alternatives of a request
// the largest: of all, and of each product of GPUs. It is never less than can be allocated, and never more than a
// ResourceQuota of Kubernetes counts over the classes of GPUs.
func (g GPUResources) CountClaim(spec manifest.Object, at *field.Path, adminAccess bool) ClaimCount {
	c := claimCounter{rules: g.get(), adminAccess: adminAccess}
	requests := at.Child("devices", "requests")
	for i, request := range manifest.Objects(spec, "devices", "requests") {
		c.request(request, requests.Index(i))
	}
	c.count.Product = c.count.products.one()
	return c.count
}

type claimCounter struct {
	rules       *rules
	adminAccess bool
	count       ClaimCount
}

func (c *claimCounter) request(request manifest.Object, at *field.Path) {
	alternatives := manifest.Objects(request, "firstAvailable")
	exactly := manifest.Map(request, "exactly")
	switch {
	case len(alternatives) > 0:
		var largest int64
		var each byType
		for i, alternative := range alternatives {
			n, product := c.devices(alternative, at.Child("firstAvailable").Index(i))
			largest, each = max(largest, n), each.or(byType{product: n})
		}
		c.add(largest, each)
	case exactly != nil:
		c.exact(exactly, at.Child("exactly"))
	case manifest.Text(request, "deviceClassName") != "": // as v1beta1 writes it
		c.exact(request, at)
	default:
		c.unknown(at, "asks for devices in a way that this version does not know, so they cannot be counted as GPUs")
	}
}

// exact counts a request without alternatives.
func (c *claimCounter) exact(request manifest.Object, at *field.Path) {
	if admin, _ := request["adminAccess"].(bool); admin && c.adminAccess {
		return
	}
	n, product := c.devices(request, at)
	c.add(n, byType{product: n})
}

// add adds the GPUs of a request, and how many of them may be of each product.
func (c *claimCounter) add(gpus int64, products byType) {
	c.count.GPUs = SaturatingAdd(c.count.GPUs, gpus)
	c.count.products = c.count.products.plus(products)
}

// devices are the GPUs of a request or of one of its alternatives, and what product they are of.
func (c *claimCounter) devices(request manifest.Object, at *field.Path) (n int64, product string) {
	class := manifest.Text(request, "deviceClassName")
	switch c.rules.classes.class(class) {
	case notGPU:
		return 0, ""
	case unknownClass:
		c.unknown(at.Child("deviceClassName"), cannotCount(counted{kind: unknownClass, class: class}))
		return 0, ""
	}
	switch mode := manifest.Text(request, "allocationMode"); resourcev1.DeviceAllocationMode(mode) {
	case resourcev1.DeviceAllocationModeExactCount, "":
		n = exactCount(request)
	case resourcev1.DeviceAllocationModeAll:
		n = resourcev1.AllocationResultsMaxSize
	default:
		c.unknown(at.Child("allocationMode"),
			"the mode "+mode+" is not known to this version, so the devices cannot be counted as GPUs")
	}
	return n, c.rules.classes.product(class, request)
}

// exactCount is the number of devices that a request states, 1 where it states none. A number
// that the API refuses is none.
func exactCount(request manifest.Object) int64 {
	v := request["count"]
	if v == nil {
		return 1
	}
	n, ok := v.(int64)
	switch {
	case !ok:
		return Unbounded
	case n == 0:
		return 1 // its default
	}
	return max(0, n)
}

func (c *claimCounter) unknown(at *field.Path, detail string) {
	c.count.Unknown = append(c.count.Unknown, field.Forbidden(at, detail))
}

// product is the product that the selectors of a request, or of its class, pin devices to.
func (r *classRules) product(class string, request manifest.Object) string {
	if p := selectedProduct(manifest.Objects(request, "selectors")); p != "" {
		return p
	}
	return r.products[class]
}

// Terms of selectors whose meaning is plain: comparisons of an attribute with a literal that has
// neither quotes nor & in it, so that an expression of them can be split at &&.
var (
	plainTerm   = regexp.MustCompile(`^device\.(driver|attributes\[("[^"'\\&]*"|'[^"'\\&]*')\]\.\w+)\s*(==|<=|>=|<|>)\s*("[^"'\\&]*"|'[^"'\\&]*'|true|false|[0-9]+)$`)
	productTerm = regexp.MustCompile(`^device\.attributes\[["'](gpu\.nvidia\.com|gpu\.amd\.com)["']\]\.productName\s*==\s*["']([^"']+)["']$`)
)

// LongestSelector is how many bytes a CEL expression has at most that is read for a product: many times what
// a comparison with a product takes.
const LongestSelector = 1024

// selectedProduct is the product that CEL selectors pin devices to, in the words of feature
// discovery; empty where they pin to none that the table of products has. All selectors have to
// hold, and all terms of one that are joined by &&; one with any other term is not read.
func selectedProduct(selectors []manifest.Object) string {
	for _, selector := range selectors {
		if product := comparedProduct(manifest.Text(selector, "cel", "expression")); product != "" {
			return product
		}
	}
	return ""
}

func comparedProduct(expression string) string {
	if len(expression) > LongestSelector {
		return ""
	}
	product := ""
	for term := range strings.SplitSeq(expression, "&&") {
		term = strings.TrimSpace(term)
		if !plainTerm.MatchString(term) {
			return ""
		}
		m := productTerm.FindStringSubmatch(term)
		if m == nil {
			continue
		}
		name := strings.ReplaceAll(m[2], " ", "-")
		if m[1] == "gpu.amd.com" {
			name = strings.ReplaceAll(m[2], " ", "_")
		}
		if len(productsOf(name)) > 0 {
			product = name
		}
	}
	return product
}
