// Package usage tells what the stored objects of a cluster claim: what a budget's ledger
// should hold once nothing is under way.
package usage
