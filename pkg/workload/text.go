package workload

import (
	"strconv"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Number is a whole number as a quantity.
func Number(n int64) resource.Quantity { return *resource.NewQuantity(n, resource.DecimalSI) }

// CountText words a number of things: "1 GPU", "unbounded pods".
func CountText(n int64, what string) string {
	switch n {
	case Unbounded:
		return "unbounded " + what + "s"
	case 1:
		return "1 " + what
	}
	return strconv.FormatInt(n, 10) + " " + what + "s"
}

// NumberText words a number; Unbounded is "unbounded".
func NumberText(n int64) string {
	if n == Unbounded {
		return "unbounded"
	}
	return strconv.FormatInt(n, 10)
}
