# The only entry point, for people and for CI. Everything sets itself up: Rust, Go and Python 3 must be there, and root or sudo.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=PATH,HOME,XDG_CACHE_HOME,ALEMBIC_OPERATOR_CACHE,KUBECONFIG,CI)
CARGO := cargo
BINARY := target/release/alembic-operator
PYTEST := tests/python -m pytest -p no:cacheprovider
# Tests wait for pods and processes more than they work: more of them at once than there are cores.
SIDE_BY_SIDE := -n 4 --dist worksteal

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## Show the main job on a real local cluster (or on yours: see README)
	@if [ -z "$${OPERATOR_IMAGE:-}" ]; then $(MAKE) --no-print-directory $(BINARY); fi
	@$(SUDO) tests/demo

.PHONY: demo-fleet
demo-fleet: $(BINARY) ## Show 200 tenants on the local cluster: a canary that fails, a mended image, all waves
	@$(SUDO) tests/python tests/demo-fleet

.PHONY: test
test: toolchain ## Run every test, and tell what each step took
	@tests/all

.PHONY: test-unit
test-unit: toolchain ## Test the Rust code (no cluster)
	$(CARGO) test --locked --lib --bins --test golden --test oracle --test hostile --test lint

.PHONY: test-faults
test-faults: toolchain ## Sweep every write of every scenario with every fault, in memory (FAULTS=part of a name, SEED=of an earlier sweep)
	$(CARGO) test --locked --test faults

.PHONY: soak
soak: toolchain ## Try 2,000 releases over 20 objects, and a new image for 1,000 objects at once, in memory (no part of make test)
	SOAK=1 $(CARGO) test --locked --test faults

.PHONY: oracle
oracle: toolchain ## Replay FILE, Alembic's own answers, through the planner (see shared/oracle)
	@ORACLE_FILE="$(FILE)" $(CARGO) test --locked --quiet --test oracle

.PHONY: test-runner
test-runner: ## Test the Python runner against real Alembic releases and PostgreSQL
	$(SUDO) $(PYTEST) tests/runner -q $(SIDE_BY_SIDE)

.PHONY: test-gitops
test-gitops: toolchain ## Test what Argo CD, Flux and Kustomize make of every state, with their own libraries (UPDATE=1 writes docs/argocd)
	STATES=$(CURDIR)/target/states.json $(CARGO) test --locked --quiet --test faults
	STATES=$(CURDIR)/target/states.json tests/gitops/run

.PHONY: test-flux
test-flux: $(BINARY) ## Test with Flux's own kustomize-controller and helm-controller on the local cluster (no part of make test: compiling them takes minutes)
	$(SUDO) $(PYTEST) tests/flux -v

.PHONY: test-catalog
test-catalog: $(BINARY) ## Test what a fingerprint finds, on PostgreSQL and MariaDB
	$(SUDO) $(PYTEST) tests/catalog -q $(SIDE_BY_SIDE)

.PHONY: test-chart
test-chart: ## Test what the chart renders and refuses
	$(SUDO) tests/python -m pip install --quiet --disable-pip-version-check pyyaml==6.0.3
	$(SUDO) $(PYTEST) tests/chart -q

.PHONY: test-page
test-page: $(BINARY) ## Test the page of the kubectl plugin in a real Chromium (UPDATE=1 takes the book's pictures anew)
	$(SUDO) $(PYTEST) tests/page -q

.PHONY: test-e2e
test-e2e: $(BINARY) ## Test on a real cluster, which is started and taken down
	status=0; $(MAKE) --no-print-directory prepare e2e-side-by-side e2e-one-by-one || status=$$?; $(SUDO) tests/cluster/down; exit $$status

.PHONY: e2e-side-by-side
e2e-side-by-side: # Those that disturb nobody
	$(SUDO) $(PYTEST) tests/e2e -v --durations=10 -m "not serial" $(SIDE_BY_SIDE)

.PHONY: e2e-one-by-one
e2e-one-by-one: # Those that kill or change what all of them share
	$(SUDO) $(PYTEST) tests/e2e -v --durations=10 -m serial

.PHONY: prepare
prepare: # What needs no Rust
	$(SUDO) tests/python tests/prepare.py

.PHONY: release
release: $(BINARY)

.PHONY: release-dry-run
release-dry-run: toolchain ## Make every file of a release in dist/, and publish nothing (ARCH="amd64 arm64")
	$(SUDO) packaging/release.py $(if $(ARCH),--zig --arch $(ARCH)) $(if $(IMAGE),--image $(IMAGE)) $(if $(URL),--url $(URL)) \
	  $(if $(PLUGINS),--plugins $(PLUGINS))

.PHONY: docs
docs: toolchain ## Build the documentation into target/book
	$(CARGO) install --quiet --locked --root target/tools --no-default-features --features search mdbook@0.5.4
	target/tools/bin/mdbook build docs

.PHONY: lint
lint: toolchain ## Check style, the chart, the book, and the dependencies' licences, sources and advisories
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(SUDO) tests/cluster/helm lint --strict charts/alembic-operator
	$(MAKE) --no-print-directory docs
	$(SUDO) tests/python -m pip install --quiet --disable-pip-version-check ruff==0.17.6 mypy==2.4.1
	$(SUDO) tests/python -m ruff check --no-cache src/runner
	$(SUDO) tests/python -m mypy --config-file src/runner/pyproject.toml --cache-dir target/mypy src/runner
	$(CARGO) install --quiet --locked --root target/tools cargo-deny@0.20.2
	target/tools/bin/cargo-deny check bans licenses sources
	@if target/tools/bin/cargo-deny fetch db 2> /dev/null; then target/tools/bin/cargo-deny --offline check advisories; \
	 else echo "The advisories are not checked: their database can't be reached from here"; fi

.PHONY: bench
bench: $(BINARY) ## Measure against what a user would pick instead
	$(SUDO) tests/cluster/up
	$(SUDO) tests/python tests/bench/bench.py

.PHONY: bench-scale
bench-scale: toolchain ## Measure what 10,000 objects and their runs cost in memory
	$(CARGO) bench --locked --quiet --bench stores

.PHONY: crds
crds: toolchain ## Generate the CRD, the reference pages and the chart's README
	UPDATE=1 $(CARGO) test --locked --test golden

.PHONY: image
image: $(BINARY) ## Build the operator's image and push it to the local cluster's registry
	$(SUDO) tests/cluster/up
	$(SUDO) tests/cluster/build-operator-image $(BINARY)

.PHONY: cluster
cluster: ## Start the local cluster and leave it running
	$(SUDO) tests/cluster/up

.PHONY: cluster-down
cluster-down: ## Take the local cluster down
	$(SUDO) tests/cluster/down

.PHONY: toolchain
toolchain:
	@command -v $(CARGO) > /dev/null || { echo "Rust 1.95 or newer is needed: cargo is not on the PATH"; exit 1; }
	@command -v cc > /dev/null || { $(SUDO) apt-get update -q && $(SUDO) apt-get install -qy --no-install-recommends gcc libc6-dev; }

# cargo knows best whether anything changed.
.PHONY: $(BINARY)
$(BINARY): toolchain
	$(CARGO) build --release --locked
