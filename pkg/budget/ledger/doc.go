// Package ledger is the arithmetic of a GPUBudget: what its status holds, whether an
// admission fits, and how reservations become use.
//
// # The promise
//
// The claims of stored objects never exceed the ledger's, and admissions never take the
// ledger's claims above the budget. Three rules keep it, whatever the interleaving:
//
//   - An admission that raises a claim writes it into the ledger first (Book.Charge), with
//     compare-and-swap, and gives the entry a new token even where the entry is as high
//     already. Admissions never lower an entry.
//   - Only a Tracker lowers an entry. It must have seen it lower in two complete
//     uncached lists, the second taken longer after the first than the API server lets a
//     request run, with the same token throughout: by then, whatever was admitted before
//     the first list is stored, and in the second, or will never be.
//   - The ledger holds for one generation of the budget and one way of counting. When
//     either changes, nothing may rise until everything was counted again (Rebuild).
//
// Time is the reader's own clock only: no two clocks are ever compared.
package ledger
