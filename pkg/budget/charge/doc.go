// Package charge charges admissions to GPUBudgets: it brings the arithmetic of package
// ledger together with the place where a ledger is kept.
package charge
