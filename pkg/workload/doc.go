// Package workload measures objects: how many pods and GPUs each kind asks for, holds, and may come to hold, and what
// belongs to what. It reads nothing but what it is given.
package workload
