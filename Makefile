# `make help` explains every target.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS   += --no-builtin-rules

VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 10m
ONCE     ?=
# Flags of the benchmark: bin/bench -help lists them.
BENCH    ?=
# How many deliveries `make faults` makes, and from which seed it draws its faults (empty: another each time).
DELIVERIES  ?= 12000
FAULTS_SEED ?=

# The race detector needs a C compiler; without one the tests run without it, and say so.
RACE := $(shell command -v "$$(go env CC)" >/dev/null && echo -race || echo "no C compiler: tests run without the race detector" >&2)

# The same source gives the same bytes, with git or without, wherever it lies: `make verify-reproducible`.
GO_BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"

# The packages whose tests take longest are begun first: none of them is left to run alone at the end.
LONGEST := ./test/faults ./test/e2e ./internal/ledger ./internal/platform/platformtest

# What a release holds: the manager, and each command under cmd/.
SHIPPED   := manager $(notdir $(wildcard cmd/*))
PLATFORMS := linux/amd64 linux/arm64

CONTROLLER_GEN := bin/tools/controller-gen
CRD_REF_DOCS   := bin/tools/crd-ref-docs
GOLANGCI_LINT  := bin/tools/golangci-lint
GOVULNCHECK    := bin/tools/govulncheck
ACTIONLINT     := bin/tools/actionlint
BOM            := bin/tools/bom

# What `make generate` writes.
GENERATED := api/v1alpha1/zz_generated.deepcopy.go api/v1alpha1/applyconfiguration config/crd/bases config/rbac/role.yaml docs/reference

.DEFAULT_GOAL := help
.PHONY: FORCE

##@ Use

.PHONY: help
help: ## Explain the targets
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: bin/manager bin/kubectl-channel bin/controlplane bin/platformsim ## Build bin/manager, bin/kubectl-channel, bin/controlplane and bin/platformsim

.PHONY: run
run: build k8s bin/run ## Run it all here: API server, fake platforms, manager, samples, pushes (ONCE=1: stop when all is Ready)
	@ONCE="$(ONCE)" exec bin/run

.PHONY: k8s
k8s: bin/controlplane ## Make bin/k8s (etcd, kube-apiserver, kubectl) if it is missing: about 7 minutes, once
	@bin/controlplane assets

##@ Develop

.PHONY: check
check: verify-generate lint licences vuln test fuzz-short ## Everything CI checks: generated files, lint, licences, vulnerabilities, tests, a second of each fuzz target

.PHONY: test
test: k8s ## Run all tests, with the race detector, against a real API server
	go test $(RACE) -p 3 -timeout 20m $(LONGEST) ./...
	go test -run Budget ./internal/ledger
	cd hack/tools/supply && go test ./...

.PHONY: faults
faults: k8s ## Break manager, API server and disk for a quarter of an hour, and look for what is lost (DELIVERIES=12000, FAULTS_SEED=n)
	FAULTS_DELIVERIES=$(DELIVERIES) FAULTS_SEED=$(FAULTS_SEED) go test $(RACE) -count=1 -v -timeout 60m ./test/faults/...
	go test -count=1 -timeout 60m ./internal/journal -journal.long
	go test -count=1 -timeout 60m ./internal/accounts -run 'TestTokensProperty|TestCopyHoldsWhatWasWritten' -rapid.checks 300

.PHONY: bench
bench: build k8s bin/bench ## Measure it beside a plain client, and write docs/benchmarks: 20 minutes (BENCH="-quick", "-sections 2,3 -out DIR", …)
	bin/bench $(BENCH)

.PHONY: generate
generate: $(CONTROLLER_GEN) $(CRD_REF_DOCS) ## Write deepcopy, apply configurations, CRDs, the RBAC role and the API reference
	$(CONTROLLER_GEN) paths=./api/... \
		object:headerFile=hack/boilerplate.go.txt \
		applyconfiguration:headerFile=hack/boilerplate.go.txt \
		crd output:crd:dir=config/crd/bases
	$(CONTROLLER_GEN) paths=./controllers/... rbac:roleName=manager-role output:rbac:dir=config/rbac
	mkdir -p docs/reference
	$(CRD_REF_DOCS) --log-level WARN --config hack/tools/crd-ref-docs.yaml --renderer markdown \
		--source-path api/v1alpha1 --output-path docs/reference/api.md

.PHONY: verify-generate
verify-generate: generate ## Fail if a generated file is not as `make generate` leaves it
	@if ! git --no-pager diff --exit-code -- $(GENERATED) || git ls-files --others --exclude-standard -- $(GENERATED) | grep .; then \
		echo "Generated files are not what is committed or staged. 'make generate' has just written them: git add them."; \
		exit 1; \
	fi

.PHONY: lint
lint: $(GOLANGCI_LINT) $(ACTIONLINT) ## Lint Go code, the API's conventions, the rooms' import rules and the workflows
	$(GOLANGCI_LINT) run ./...
	cd hack/tools/supply && ../../../$(GOLANGCI_LINT) run ./...
	$(ACTIONLINT) -shellcheck= -pyflakes= .github/workflows/*.yml

.PHONY: fmt
fmt: $(GOLANGCI_LINT) ## Format Go code and order its imports
	$(GOLANGCI_LINT) fmt ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 10m), FUZZJOBS of them (default: one a core) side by side
	FUZZTIME=$(FUZZTIME) FUZZJOBS=$(FUZZJOBS) hack/fuzz.sh

.PHONY: fuzz-short
fuzz-short: ## Run every fuzz target for a second, from its seeds
	hack/fuzz.sh short

##@ Release

.PHONY: vuln
vuln: $(GOVULNCHECK) ## Look for known vulnerabilities (GOVULNDB=URL of a database, REQUIRE_VULN=1: fail without one)
	@hack/vuln.sh $(GOVULNCHECK) ./...

.PHONY: licences
licences: $(BOM) $(addprefix bin/,$(SHIPPED)) ## Check the licence of every module in what is shipped
	@$(BOM) $(addprefix bin/,$(SHIPPED))

.PHONY: sbom
sbom: $(BOM) $(addprefix bin/,$(SHIPPED)) ## Write bin/*.cdx.json, a CycloneDX bill of materials of each binary that is shipped
	@$(BOM) -write -version $(VERSION) $(addprefix bin/,$(SHIPPED))

.PHONY: verify-reproducible
verify-reproducible: ## Build what is shipped again elsewhere, from nothing, and compare the bytes: some minutes
	VERSION=$(VERSION) hack/reproducible.sh $(addprefix bin/,$(SHIPPED))

.PHONY: release
release: $(BOM) ## Write bin/release: the binaries for each platform, their bills of materials, SHA256SUMS
	rm -rf bin/release
	@for name in $(SHIPPED); do for platform in $(PLATFORMS); do \
		source=./cmd/$$name; if [ $$name = manager ]; then source=.; fi; \
		echo "building $$name for $$platform"; \
		GOOS=$${platform%/*} GOARCH=$${platform#*/} $(GO_BUILD) -o bin/release/$$name-$${platform/\//-} $$source; \
	done; done
	@$(BOM) -write -version $(VERSION) bin/release/*
	@cd bin/release && sha256sum -- * >SHA256SUMS && cat SHA256SUMS

##@ Clean

.PHONY: clean
clean: ## Remove what was built, except bin/k8s
	rm -rf bin/manager bin/kubectl-channel bin/controlplane bin/platformsim bin/run bin/bench bin/tools bin/release bin/*.cdx.json

.PHONY: clean-all
clean-all: clean ## Remove bin/k8s too; making it again takes minutes
	rm -rf bin/k8s

# The go command knows best whether there is anything to do.

bin/manager: FORCE
	@$(GO_BUILD) -o $@ .

bin/kubectl-channel: FORCE
	@$(GO_BUILD) -o $@ ./cmd/kubectl-channel

bin/controlplane bin/platformsim bin/run bin/bench: bin/%: FORCE
	@$(GO_BUILD) -o $@ ./hack/$*

# Tools have modules of their own, so that the product's go.mod holds only what it uses.

$(CONTROLLER_GEN): hack/tools/go.mod hack/tools/go.sum
	cd hack/tools && go build -o ../../$@ sigs.k8s.io/controller-tools/cmd/controller-gen

$(CRD_REF_DOCS): hack/tools/go.mod hack/tools/go.sum
	cd hack/tools && go build -o ../../$@ github.com/elastic/crd-ref-docs

$(GOVULNCHECK): hack/tools/supply/go.mod hack/tools/supply/go.sum
	cd hack/tools/supply && go build -o ../../../$@ golang.org/x/vuln/cmd/govulncheck

$(ACTIONLINT): hack/tools/supply/go.mod hack/tools/supply/go.sum
	cd hack/tools/supply && go build -o ../../../$@ github.com/rhysd/actionlint/cmd/actionlint

$(BOM): FORCE
	@cd hack/tools/supply && go build -o ../../../$@ ./bom

$(GOLANGCI_LINT): hack/tools/lint/go.mod hack/tools/lint/go.sum
	@echo "building golangci-lint with the Kubernetes API linter, once"
	cd hack/tools/lint && go build -o ../../../$@ sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter
