# Everything a developer runs. The two that matter: make demo, make test.
#
# Built tools live in .cache/, keyed by their versions; nothing else is installed.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
GO          ?= go
BIN         := bin/kubetorch-webhook
CACHE       := .cache
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -X github.com/kubetorch/webhook/pkg/version.version=$(VERSION)
SOURCES     := go.mod go.sum $(shell find cmd pkg -name '*.go' 2>/dev/null)
CONTROLPLANE := $(GO) run ./test/controlplane/cmd

# All programs are built with the same flags, so that what they share is compiled once.
export CGO_ENABLED := 0

.DEFAULT_GOAL := help

.PHONY: help
help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(BIN) ## Bring up a local control plane, expand the examples on it, tear it down
	@$(GO) run ./test/demo -binary $(BIN) $(DEMOFLAGS)

.PHONY: test
test: unit e2e ## Run all tests, the end-to-end ones included

.PHONY: unit
unit: ## Run the tests that need no control plane
	@echo "== unit tests"
	@$(GO) test -timeout 15m $$($(GO) list ./... | grep -v -e /test/controlplane -e /test/e2e -e /test/kustomize -e /test/chart -e "/test/pods$$" -e /test/pods/cleanup)
	@cd test/monitoring && $(GO) test ./...
	@cd test/quota && $(GO) test ./...
	@cd hack/release && $(GO) test ./...
	@cd bench && $(GO) test ./cmd/... ./comparison/...

# Packages at once, each with a control plane of its own: one a core. They often wait.
E2E_PACKAGES ?= $(shell n=$$(nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))

.PHONY: e2e
e2e: $(BIN) tools ## Run the tests on a real API server with Knative
	@echo "== end-to-end tests"
	@# Uncached: the programs under test are built and run, which the cache cannot see. The
	@# one that takes longest comes first. The timeout is a package's on a machine that is busy.
	@KUBETORCH_WEBHOOK_BINARY=$(BIN) $(GO) test -count=1 -timeout 40m -p $(E2E_PACKAGES) -ldflags '-s -w' \
	  ./test/e2e/budgets ./test/e2e/deployments ./test/e2e/... ./test/controlplane/... ./test/kustomize/... ./test/chart/...

.PHONY: exactness
EXACTNESSFLAGS ?= -rounds 50
exactness: $(BIN) tools ## Hold budgets against 50 rounds of 300 requests with three replicas, claims and pods as witnesses
	@KUBETORCH_WEBHOOK_BINARY=$(BIN) $(GO) test -count=1 -timeout 3h -v ./test/e2e/exactness $(EXACTNESSFLAGS)

.PHONY: model
MODEL_STEPS ?= 30000000
model: ## Take the ledger through 30 million steps of its model
	@LEDGER_STEPS=$(MODEL_STEPS) $(GO) test -count=1 -timeout 3h -v -run Model $$($(GO) list ./pkg/... | grep '/ledger$$')

.PHONY: knative-verdicts
knative-verdicts: ## Ask the code of every release of Knative what it refuses, for test/differential; takes minutes and a network
	@$(GO) test -count=1 -timeout 1h -v ./test/differential -tags record -run TestRecordVerdicts $(if $(PROGRAMS),-programs $(abspath $(PROGRAMS)))

.PHONY: pods-packages
pods-packages: ## Install Debian's packages that running pods takes
	@hack/pods-packages.sh

.PHONY: test-pods
PODSFLAGS ?=
test-pods: $(BIN) pods-packages ## Run the tests on a node that runs pods (root); PODSFLAGS="-page -long" writes docs/scaling.md
	@echo "== tests with pods"
	@$(CONTROLPLANE) build -pods
	@$(GO) test -count=1 -timeout 10m ./test/pods/cleanup
	@KUBETORCH_WEBHOOK_BINARY=$(BIN) $(GO) test -count=1 -timeout 40m -parallel 8 ./test/pods $(PODSFLAGS)

.PHONY: test-browser
test-browser: ## Open the HTML that commands write in a headless Chromium (Debian's package chromium)
	@echo "== pages in a browser"
	@$(GO) test -count=1 -timeout 10m -tags browser ./test/browser

.PHONY: test-autoscaler
test-autoscaler: tools ## Compare the simulation with Knative's autoscaler process, tick by tick; takes port 8080 and a quiet machine
	@echo "== the simulation and Knative's autoscaler"
	@$(GO) test -count=1 -timeout 20m -v -tags autoscaler ./test/e2e/autoscaler

.PHONY: fuzz
FUZZTIME ?= 1m
fuzz: ## Run every fuzz target for FUZZTIME each
	@for package in $$(grep -rl --include='*_test.go' '^func Fuzz' pkg | xargs -n1 dirname | sort -u); do \
	  for target in $$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9]+' $$package | sed 's/func //' | sort -u); do \
	    echo "== $$package $$target"; $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) ./$$package; \
	  done; \
	done

.PHONY: compare
COMPAREFLAGS ?= -page ../docs/comparison.md
compare: $(BIN) ## Hold a GPU budget with Gatekeeper, Kyverno and ResourceQuota too, count what each admits, and write docs/comparison.md
	@cd bench && $(GO) run ./comparison $(COMPAREFLAGS)

.PHONY: resilience
RESILIENCEFLAGS ?= -page docs/resilience.md
resilience: $(BIN) tools ## Send 200 admissions a second while replicas, certificates, API server and etcd fail
	@$(GO) run ./test/resilience -binary $(BIN) $(RESILIENCEFLAGS)

.PHONY: bench
bench: $(BIN) tools ## Measure beside the peers and write docs/benchmarks.md; BENCHFLAGS="-count 2 -time 50ms" is short
	@cd bench && $(GO) run ./cmd/bench $(BENCHFLAGS)

.PHONY: bench-gate
bench-gate: ## Fail if a review allocates more than its limit, or costs too much in terms of Kubernetes' own policies
	@echo "== allocations and ratios"
	@cd bench && $(GO) test -count=1 -p 1 ./...

.PHONY: build
build: $(BIN) ## Build bin/kubetorch-webhook

$(BIN): $(SOURCES)
	@echo "== building $(BIN): a minute or two at first"
	@mkdir -p bin
	@$(GO) build -ldflags "$(LDFLAGS)" -o $(BIN) ./cmd/webhook

# What an image is made of: programs without symbols, for each platform, and the moment of the
# commit, so that the same commit gives the same bytes on every machine.
PLATFORMS    ?= linux/amd64 linux/arm64
IMAGE        ?= ghcr.io/kubetorch/kubetorch-webhook
IMAGES       := bin/image
COMMIT       := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
COMMITTED    := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),0)
IMAGELDFLAGS := -s -w $(LDFLAGS) -X github.com/kubetorch/webhook/pkg/version.commit=$(COMMIT)
ANNOTATIONS  := title=kubetorch-webhook licenses=Apache-2.0 vendor=kubetorch version=$(VERSION) revision=$(COMMIT) \
  url=https://github.com/kubetorch/webhook source=https://github.com/kubetorch/webhook \
  documentation=https://github.com/kubetorch/webhook/tree/main/docs created=$(shell date -u -d @$(COMMITTED) +%FT%TZ)

.PHONY: image
image: ## Build the image as an OCI layout in dist/image, without a container engine; its SBOM and licences in dist
	@echo "== building the image $(IMAGE):$(VERSION) for $(PLATFORMS): a minute or two for each platform at first"
	@for platform in $(PLATFORMS); do \
	  GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO) build -trimpath -buildvcs=false \
	    -ldflags "$(IMAGELDFLAGS)" -o $(IMAGES)/$$platform/kubetorch-webhook ./cmd/webhook; \
	done
	@mkdir -p dist
	@cd hack/release && $(GO) run ./cmd/image -reference $(IMAGE):$(VERSION) -layout $(abspath dist/image) -about $(abspath dist) -root $(abspath .) \
	  $(foreach a,$(ANNOTATIONS),-annotation org.opencontainers.image.$(a)) -created $(COMMITTED) \
	  $(foreach p,$(PLATFORMS),$(p)=$(abspath $(IMAGES)/$(p)/kubetorch-webhook))

RELEASEFLAGS := $(foreach a,$(ANNOTATIONS),-annotation org.opencontainers.image.$(a)) -created $(COMMITTED)

.PHONY: release
release: ## Write image, chart, install.yaml, SBOM and checksums of VERSION into dist/
	@case "$(VERSION)" in v[0-9]*.[0-9]*.[0-9]*) ;; *) echo "say which: make release VERSION=v0.1.0"; exit 1;; esac
	@rm -rf dist
	@$(MAKE) --no-print-directory image VERSION=$(VERSION)
	@cd hack/release && $(GO) run ./cmd/release -version $(VERSION) -root $(abspath .) -out $(abspath dist) $(RELEASEFLAGS) \
	  $(foreach p,$(PLATFORMS),$(p)=$(abspath $(IMAGES)/$(p)/kubetorch-webhook))

.PHONY: tools
tools: ## Build the local control plane's programs into .cache/
	@$(CONTROLPLANE) build

.PHONY: up
up: $(BIN) ## Start a local control plane in the background and print its KUBECONFIG; PODS=1 runs pods too (root)
	@$(if $(PODS),hack/pods-packages.sh)
	@$(CONTROLPLANE) up -hpa -webhook $(BIN) -manifests deploy $(if $(PODS),-pods -gpus 8)

.PHONY: down
down: ## Stop the control plane that make up started
	@$(CONTROLPLANE) down

GENTOOLS := $(CACHE)/gentools-$(shell cat hack/tools/go.mod hack/tools/go.sum | cksum | cut -d' ' -f1)

$(GENTOOLS)/%: hack/tools/go.mod hack/tools/go.sum
	@mkdir -p $(GENTOOLS)
	@echo "== building $*"
	@cd hack/tools && GOBIN=$(abspath $(GENTOOLS)) $(GO) install $$($(GO) list -f '{{.ImportPath}}' tool | grep "/$*$$")

GENERATED := pkg/apis deploy/crd deploy/base/validating.yaml deploy/base/webhooks pkg/registration/webhooks.json docs/parameters.md docs/metrics.md docs/api.md \
  charts/kubetorch-webhook/templates/generated charts/kubetorch-webhook/generated charts/kubetorch-webhook/values.schema.json

.PHONY: generate
generate: $(GENTOOLS)/controller-gen ## Write deepcopy functions, CRDs, the rules of operators' kinds and the references of API, parameters and metrics
	@$(GENTOOLS)/controller-gen object paths=./pkg/apis/...
	@$(GENTOOLS)/controller-gen crd paths=./pkg/apis/... output:crd:dir=deploy/crd
	@$(GO) run ./hack/docs docs/parameters.md docs/metrics.md docs/api.md $(sort $(wildcard deploy/crd/policy*.yaml))
	@$(GO) run ./hack/registration deploy/base deploy/base/webhooks pkg/registration/webhooks.json
	@$(GO) run ./hack/chart . charts/kubetorch-webhook

.PHONY: man
man: ## Write the manual pages of all commands into dist/man
	@$(GO) run ./hack/man dist/man

.PHONY: vulnerabilities
vulnerabilities: $(GENTOOLS)/govulncheck ## Look known vulnerabilities of what is built up, which needs a network
	@$(GENTOOLS)/govulncheck ./...

# All modules but those that pin other projects' programs, whose own tests' modules are not all
# to be had.
MODULES := $(filter-out bench/comparison/% bench/gatekeeper bench/kyverno test/controlplane/tools/certmanager,$(patsubst %/,%,$(dir $(shell git ls-files '*go.mod'))))

.PHONY: verify
verify: generate ## Fail if generated files, go.mod or formatting are out of date
	@git diff --exit-code -- $(GENERATED) || { echo "run make generate and commit the result"; exit 1; }
	@test -z "$$(git status --porcelain -- $(GENERATED))" || { git status --short -- $(GENERATED); echo "run make generate and commit the result"; exit 1; }
	@for module in $(MODULES); do (cd $$module && $(GO) mod tidy -diff) || { echo "run go mod tidy in $$module"; exit 1; }; done
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "not gofmt-ed: $$unformatted"; exit 1; }
	@echo "== generated files, go.mod and formatting are up to date"

LINTER := $(CACHE)/lint-$(shell cat hack/lint/go.mod hack/lint/go.sum | cksum | cut -d' ' -f1)/golangci-lint

$(LINTER): hack/lint/go.mod hack/lint/go.sum
	@mkdir -p $(@D)
	@echo "== building golangci-lint: a few minutes at first"
	@cd hack/lint && $(GO) build -o $(abspath $@) github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: lint
lint: $(LINTER) $(GENTOOLS)/actionlint ## Run go vet, golangci-lint (.golangci.yml) and, over the workflows, actionlint
	@$(GO) vet ./...
	@cd test/gitops && $(GO) vet ./...
	@cd test/monitoring && $(GO) vet ./...
	@cd test/quota && $(GO) vet ./...
	@cd test/controlplane/programs/gpus && $(GO) vet ./...
	@cd bench && $(GO) vet ./...
	@cd hack/release && $(GO) vet ./...
	@$(LINTER) run ./...
	@cd hack/release && $(abspath $(LINTER)) run ./...
	@cd bench && $(abspath $(LINTER)) run ./...
	@$(GENTOOLS)/actionlint -shellcheck= -pyflakes=
	@echo "== vet, golangci-lint and actionlint found nothing"

.PHONY: clean
clean: down ## Remove everything that was built
	@rm -rf bin $(CACHE)
