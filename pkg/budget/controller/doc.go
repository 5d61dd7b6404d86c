// Package controller is the controller of GPUBudgets: it counts what the stored objects of a
// cluster claim, turns reservations into use, and frees what is certainly gone.
package controller
