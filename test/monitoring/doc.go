// Package monitoring holds the alerts and the dashboard of deploy/monitoring against
// Prometheus' own parser and engine. It is a module of its own, so that Prometheus is no
// dependency of the webhook.
package monitoring
