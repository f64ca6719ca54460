# Zonetide's two commands are `make demo` and `make test`; the rest are their parts, and CI's steps.
# What is built around the project stays in $(ZONETIDE_CACHE), outside of the checkout.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Where images are named to be. With a cluster of your own: a registry that it pulls from.
IMAGES ?= docker.io/zonetide
TAG ?= dev

export ZONETIDE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/zonetide
# What the demo tells a person to type has to work with the PATH that the person has.
CALLERS_PATH := $(PATH)
# helm, kubectl, cargo-nextest, cargo-deny and cargo-fuzz as built by `make tools`.
export PATH := $(ZONETIDE_CACHE)/bin:$(PATH)

CLUSTER := e2e/cluster/cluster.sh
TOOLS   := e2e/cluster/tools.sh
STEP    := e2e/cluster/step.sh

.PHONY: help
help: ## Show this
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "With ZONETIDE_KUBECONFIG=FILE the cluster of FILE is used, and IMAGES=REGISTRY names where it pulls from."

##### The two commands

.PHONY: demo
demo: ## Bring up a cluster and the example DnsCluster, and show it answering
	@$(STEP) "tools" $(TOOLS) demo
	@$(MAKE) --no-print-directory install
	@$(STEP) "demo" $(MAKE) --no-print-directory run-demo

.PHONY: test
test: ## Run every check and every test of what is on by default, the cluster's included
	@e2e/cluster/test.sh

.PHONY: demo-down
demo-down: ## Take the demo and its cluster away; what was built stays in the cache
	@e2e/cluster/install.sh remove
	@$(CLUSTER) down --wipe

##### Parts of them

.PHONY: tools
tools: ## Install and build what the project needs around it
	@$(STEP) "tools" $(TOOLS) all

.PHONY: check
check: check-rust check-deps check-generated check-chart check-scripts ## Formatting, lints, dependencies, generated files, chart

.PHONY: unit
unit: ## All tests but the cluster's
	@$(TOOLS) nextest garage minio powerdns faketime emulators
	@$(STEP) "unit tests" cargo nextest run --workspace --exclude zonetide-e2e

.PHONY: e2e
e2e: e2e-tools install test-images run-e2e ## The tests on the cluster, which is brought up and given this checkout's images

# Before the images are loaded, of which MinIO's is one where it cannot be pulled.
.PHONY: e2e-tools
e2e-tools:
	@$(TOOLS) minio

.PHONY: images
images: ## Build this checkout's images and load them into the cluster
	@$(STEP) "images" e2e/cluster/images.sh build $(IMAGES) $(TAG)
	@$(STEP) "loading images" e2e/cluster/images.sh load $(IMAGES) $(TAG)

.PHONY: test-images
test-images: ## Build and load the images of PowerDNS that only tests run
	@$(STEP) "test images" e2e/cluster/images.sh test $(IMAGES) $(TAG)

.PHONY: cluster-up
cluster-up: ## Bring up the cluster that tests and demo run on
	@$(STEP) "cluster" $(CLUSTER) up

.PHONY: cluster-down
cluster-down: ## Stop that cluster; `e2e/cluster/cluster.sh down --wipe` deletes it
	@$(CLUSTER) down

.PHONY: install
install: cluster-up images install-only ## Install this checkout's chart and images into the cluster

.PHONY: install-only
install-only:
	@$(TOOLS) helm
	@$(STEP) "chart" e2e/cluster/install.sh install $(IMAGES) $(TAG)

.PHONY: generate
generate: ## Write the CRD's YAML from the Rust types
	@cargo run --quiet --package zonetide-crds --bin crdgen

# BENCH_SIZES="10000 100000 1000000", BENCH_ZONES="1000 100000 1000000", BENCH_SERVERS="2 4 7" (- for none of these), BENCH_QUICK=1 for shorter phases, BENCH_OUT=DIR for the figures and the plot,
# BENCH_DOCS=1 to put them into docs/performance.md.
.PHONY: bench
bench: ## Measure what one changed record costs, by the size of the database, a new zone, and a change on 7 servers (half an hour, on an idle machine)
	@$(TOOLS) garage powerdns
	@$(STEP) "bench" cargo bench --locked --package zonetide-agent --bench change

.PHONY: bench-servers
bench-servers: ## Of that only when all of 2, 4 and 7 servers answer a change; BENCH_SERVERS="2 7", BENCH_QUICK=1 (two minutes)
	@BENCH_SIZES=- BENCH_ZONES=- $(MAKE) --no-print-directory bench

.PHONY: bench-fleet
bench-fleet: ## Measure what servers cost each other: 50 on one store in memory (some minutes)
	@$(STEP) "bench of a fleet" cargo bench --locked --package zonetide-agent --bench fleet

.PHONY: bench-history
bench-history: ## Measure what history costs: a change a second for 30 days by a simulated clock, and reading it (some minutes); HISTORY_RECORDS, HISTORY_DAYS
	@$(STEP) "bench of history" cargo bench --locked --package zonetide-agent --bench history

# FAULTS="STOP drain" for those whose names contain one of these words, FAULTS_OUT=FILE for the table alone.
.PHONY: faults
faults: install ## Measure what each fault costs: lost queries, the longest gap in API writes (half an hour, on a cluster)
	@ZONETIDE_E2E_KUBECONFIG=$$($(CLUSTER) kubeconfig) cargo run --locked --quiet --package zonetide-e2e --bin faults -- \
	  $(FAULTS) $(if $(FAULTS_OUT),--out $(FAULTS_OUT))

.PHONY: audit
audit: ## Look for security advisories against our dependencies (needs the network)
	@$(TOOLS) deny
	@cargo deny check advisories

# Of each target, one after the other.
FUZZ_SECONDS ?= 600

.PHONY: fuzz
fuzz: ## Fuzz what the agent reads, FUZZ_SECONDS (600) for each of four targets
	@$(TOOLS) fuzz
	@$(STEP) "fuzzing" agent/fuzz/fuzz.sh $(FUZZ_SECONDS)

.PHONY: fmt
fmt: ## Format the code
	@cargo fmt --all

##### Steps of `check`, and the last steps of `demo` and `e2e`

.PHONY: check-rust check-deps check-generated check-chart check-scripts run-demo run-e2e
check-rust:
	@$(STEP) "rustfmt" cargo fmt --all --check
	@$(STEP) "clippy" cargo clippy --workspace --all-targets --locked -- -D warnings

check-deps:
	@$(TOOLS) deny
	@$(STEP) "cargo deny" cargo deny --all-features check --hide-inclusion-graph bans licenses sources

check-generated:
	@$(STEP) "generated files" e2e/cluster/check-generated.sh

check-chart:
	@$(TOOLS) helm
	@$(STEP) "helm lint" helm lint --strict --quiet charts/zonetide
	@$(STEP) "helm template" e2e/cluster/check-chart.sh

check-scripts:
	@if command -v shellcheck >/dev/null; then $(STEP) "shellcheck" shellcheck -x -P SCRIPTDIR e2e/cluster/*.sh agent/fuzz/*.sh .ci/run; \
	else echo "shellcheck is not installed: scripts are not checked"; fi

run-demo:
	@PATH="$(CALLERS_PATH)" ZONETIDE_E2E_KUBECONFIG=$$($(CLUSTER) kubeconfig) cargo run --locked --package zonetide-e2e --bin demo

run-e2e:
	@$(TOOLS) nextest powerdns ingress
	@ZONETIDE_E2E_KUBECONFIG=$$($(CLUSTER) kubeconfig) $(STEP) "cluster tests" cargo nextest run --package zonetide-e2e
