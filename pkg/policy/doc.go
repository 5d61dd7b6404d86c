// Package policy judges workloads by ComputePolicies. It is pure: policies come in
// compiled (Compile), a workload is measured (workload.ServiceUsage) and held against the
// bounds of the policies that select it (Set.For, Selection.Judge).
package policy
