// Package openreports says what an audit found in the words of openreports.io, which viewers such
// as policy-reporter show. It is pure.
package openreports

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubetorch/webhook/pkg/apis/policy/v1alpha1"
	"github.com/kubetorch/webhook/pkg/audit"
	"github.com/kubetorch/webhook/pkg/manifest"
)

// APIVersion and Kind of the reports, and the resource that serves them.
const (
	Group      = "openreports.io"
	Version    = "v1alpha1"
	APIVersion = Group + "/" + Version
	Kind       = "ClusterReport"
	Resource   = "clusterreports"
)

// Source names this program in reports, and NamePrefix begins their names.
const (
	Source     = "kubetorch-webhook"
	NamePrefix = "kubetorch-"
)

// ManagedByLabel marks the reports that are kept by the leader.
const ManagedByLabel = "app.kubernetes.io/managed-by"

// most is how many violations a report holds: an object may have 1.5 MiB. The summary counts all, and
// one more result says that there are more.
const most = 1000

// Reports are one for each policy, and one for each budget that is exceeded.
func Reports(r audit.Report, exceeded []audit.Finding, now time.Time) []manifest.Object {
	reports := []manifest.Object{}
	for _, d := range r.Policies {
		var of []audit.Finding
		for _, f := range r.Findings {
			if f.Policy == d.Name {
				of = append(of, f)
			}
		}
		reports = append(reports, report(scope{"ComputePolicy", d.Name, "policy-"}, of, r.Selected[d.Name], d.Invalid.ToAggregate(), now))
	}
	var budgets []string
	for _, f := range exceeded {
		if !slices.Contains(budgets, f.Policy) {
			budgets = append(budgets, f.Policy)
		}
	}
	for _, name := range budgets {
		var of []audit.Finding
		for _, f := range exceeded {
			if f.Policy == name {
				of = append(of, f)
			}
		}
		short := strings.TrimPrefix(name, "GPUBudget/")
		reports = append(reports, report(scope{"GPUBudget", short, "budget-"}, of, len(of), nil, now))
	}
	return reports
}

// scope is what a report is about; the report is named after it, with a prefix.
type scope struct{ kind, name, prefix string }

// report is that of a policy or a budget. objects is how many it selects.
func report(of scope, findings []audit.Finding, objects int, invalid error, now time.Time) manifest.Object {
	var fail, warn, failing int64
	results := []any{}
	seen := map[string]bool{}
	for _, f := range findings {
		result, severity := "fail", "high"
		switch f.Enforcement {
		case v1alpha1.Warn, v1alpha1.Audit:
			result, severity = "warn", "low"
			warn++
		default:
			fail++
		}
		if key := f.Namespace + "/" + f.Kind + "/" + f.Name; !seen[key] {
			seen[key] = true
			failing++
		}
		if len(results) < most {
			results = append(results, resultOf(of.name, f, result, severity, now))
		}
	}
	if len(findings) > most {
		results = append(results, manifest.Object{"source": Source, "policy": of.name, "result": "skip", "severity": "info",
			"message":   fmt.Sprintf("this report holds %d of %d violations; `kubetorch-webhook audit` lists all", most, len(findings)),
			"timestamp": timestamp(now)})
	}
	summary := manifest.Object{"pass": max(int64(objects)-failing, 0), "fail": fail, "warn": warn, "error": int64(0), "skip": int64(0)}
	if invalid != nil {
		summary["pass"], summary["error"] = int64(0), int64(1)
		results = append(results, manifest.Object{"source": Source, "policy": of.name, "result": "error", "severity": "high",
			"message": "the policy is invalid, so its bounds are not known: " + invalid.Error(), "timestamp": timestamp(now)})
	}
	return manifest.Object{"apiVersion": APIVersion, "kind": Kind,
		"metadata": manifest.Object{"name": NamePrefix + of.prefix + of.name, "labels": manifest.Object{ManagedByLabel: Source}},
		"source":   Source,
		"scope":    manifest.Object{"apiVersion": v1alpha1.GroupVersion.String(), "kind": of.kind, "name": of.name},
		"summary":  summary, "results": results}
}

func resultOf(policy string, f audit.Finding, result, severity string, now time.Time) manifest.Object {
	subject := manifest.Object{"kind": f.Kind, "name": f.Name}
	if f.Namespace != "" {
		subject["namespace"] = f.Namespace
	}
	if f.APIVersion != "" {
		subject["apiVersion"] = f.APIVersion
	}
	return manifest.Object{"source": Source, "policy": policy, "rule": f.Bound, "category": "GPU bounds", "severity": severity, "scored": result == "fail",
		"result": result, "message": f.Message, "timestamp": timestamp(now), "resources": []any{subject},
		"properties": manifest.Object{"enforcement": string(f.Enforcement)}}
}

func timestamp(now time.Time) manifest.Object {
	return manifest.Object{"seconds": now.Unix(), "nanos": int64(0)}
}

// Same tells whether two reports differ in nothing but the times of their results.
func Same(a, b manifest.Object) bool {
	return manifest.Equal(timeless(a), timeless(b))
}

// timeless is what a report says, whenever it was found.
func timeless(o manifest.Object) manifest.Object {
	results := []any{}
	for _, r := range manifest.Objects(o, "results") {
		copied := manifest.Object{}
		for k, v := range r {
			if k != "timestamp" {
				copied[k] = v
			}
		}
		results = append(results, copied)
	}
	return manifest.Object{"source": o["source"], "scope": o["scope"], "summary": o["summary"], "results": results}
}
