package metric

// Admissions.
var (
	AdmissionRequests = define(Counter, "admission_requests_total",
		"Admission requests by what they are about, verdict (allowed, patched, denied, error, unusable) and status code. Kinds that are not judged count as other.",
		"path", "operation", "kind", "verdict", "code")
	AdmissionDuration = define(Histogram, "admission_duration_seconds",
		"Time from the header of an admission request to its answer.", "path").
		buckets(.00005, .0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 3)
	AdmissionPatchSize = define(Histogram, "admission_patch_bytes",
		"Size of the JSON Patches in answers; answers without one are not counted.", "path").
		buckets(64, 128, 256, 512, 1<<10, 2<<10, 4<<10, 8<<10, 16<<10, 64<<10, 256<<10, 1<<20)
	AdmissionInFlight = define(Gauge, "admission_in_flight",
		"Admission requests that are being read or decided.", "path")
	AdmissionRejected = define(Counter, "admission_rejected_total",
		"Admission requests above the ceiling of concurrent ones, by how they were refused: answered with 429 and their uid, or with an HTTP status of 429 where no uid is to be found.",
		"path", "how")
	AdmissionPanics = define(Counter, "admission_panics_total",
		"Panics while deciding; each was answered as a refusal with status 500.", "path")
)

// Policies.
var (
	Policies        = define(Gauge, "policies", "ComputePolicies, the invalid ones included.")
	PoliciesInvalid = define(Gauge, "policies_invalid",
		"ComputePolicies that cannot be followed; what asks for more GPUs than before is refused.")
	PolicyInfo = define(Gauge, "policy_info",
		"Always 1; the labels say how a policy's bounds are enforced. A policy with bounds of several kinds has several rows.",
		"policy", "enforcement")
	PolicyBoundInfo = define(Gauge, "policy_bound_info",
		"Always 1; the labels say how one bound of a policy is enforced.", "policy", "bound", "enforcement")
	PolicyDecisions = define(Counter, "policy_decisions_total",
		"Requests that broke a bound, or found no room in a GPUBudget, by what became of them (denied, clamped, warned, audited); dry runs are not counted.",
		"policy", "bound", "enforcement", "outcome")
	PolicyViolations = define(Gauge, "policy_violations",
		"Objects that break a bound, as the last audit found them.", "policy", "bound", "enforcement").leader()
	PolicyExemptionsEnded = define(Gauge, "policy_exemptions_ended",
		"Exemptions of a policy that have ended, as the last audit found them.", "policy").leader()
	AuditDuration = define(Histogram, "audit_duration_seconds", "How long an audit takes.").
			buckets(.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300).leader()
	AuditFailures = define(Counter, "audit_failures_total",
		"Audits that could not read the cluster or write what they found.").leader()
	AuditSuccess = define(Gauge, "audit_last_success_timestamp_seconds",
		"When the last audit of this replica ended well, in Unix seconds; 0 for none.").leader()
)

// Budgets.
var (
	BudgetGPUs = define(Gauge, "budget_gpus",
		"GPUs of a GPUBudget by state: max, used, reserved, overlap, available.", "budget", "state").leader()
	BudgetReservations = define(Gauge, "budget_reservations",
		"Reservations of a GPUBudget: claims of admissions that are not seen stored yet.", "budget").leader()
	BudgetWorkloads = define(Gauge, "budget_workloads", "Claims in the ledger of a GPUBudget.", "budget").leader()
	BudgetBytes     = define(Gauge, "budget_bytes",
		"Size of a GPUBudget as it is stored; etcd takes 1.5 MiB, and from 1 MiB on claims that rise are refused.", "budget").leader()
	BudgetCharges = define(Counter, "budget_charges_total",
		"Admissions charged to a GPUBudget; divided by the stored writes it is how many share one.", "budget")
	BudgetWrites = define(Counter, "budget_writes_total",
		"Writes of a GPUBudget's ledger by admissions, by budget and result (stored, conflict, error).", "budget", "result")
	BudgetForwarded = define(Counter, "budget_forwarded_total",
		"Admissions whose charge this replica left to the one that writes the ledgers, by budget and result (answered, error); after an error it charges itself.", "budget", "result")
)

// What verdicts are based on.
var (
	CacheAge = define(Gauge, "cache_age_seconds",
		"How long ago the watch behind a cache (policies, budgets, namespaces, knative) was last open; 0 while it is.", "cache")
	SnapshotAdopted = define(Gauge, "snapshot_adopted_timestamp_seconds",
		"When the policies, budgets or Knative configuration in use were read, in Unix seconds; 0 for never.", "part")
	KnativeInvalid = define(Gauge, "knative_config_invalid",
		"1 while Knative's ConfigMaps do not parse and their last good state is used.")
)

// The process.
var (
	Registered = define(Gauge, "registered",
		"Whether a webhook configuration (mutating, validating) is as it has to be for bounds and budgets to hold: 1, or 0 while it is missing, closed or altered.",
		"configuration")
	BuildInfo         = define(Gauge, "build_info", "Always 1; the labels say what is running.", "version", "commit", "go")
	CertificateExpiry = define(Gauge, "certificate_expiry_timestamp_seconds",
		"When the serving certificate ends, in Unix seconds; 0 while there is none.")
	CertificateInfo = define(Gauge, "certificate_info",
		"Always 1; the label says where the serving certificate comes from: self-managed, files or self-signed.", "source")
	CAExpiry = define(Gauge, "ca_expiry_timestamp_seconds",
		"When the webhook's own CA ends, in Unix seconds; 0 for none.")
	ClientCAInvalid = define(Gauge, "client_ca_invalid",
		"1 while the file of client CAs cannot be read and its last good state is used.")
)
