# Needs Python 3.11, 3.12 or 3.13, make and, the first time, the network. Everything else goes into .venv.
# Another interpreter: make PYTHON=/path/to/python3.12 test

SHELL := /bin/sh
.DEFAULT_GOAL := help

# Tests start hundreds of processes: without its compiled files Python reads every module anew each time.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?=
PY := .venv/bin/python
INSTALLED := .venv/installed
PIP := -m pip --disable-pip-version-check --quiet

# Prints the first interpreter that runs, is new enough and can make a virtual environment. Each is run, not only
# looked for: a version manager's python3.12 can be a stub that only says that there is none.
define find_python
	for python in $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3 python); do \
	    "$$python" -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	        >/dev/null 2>&1 && echo "$$python" && exit 0; \
	done; \
	echo "LiveDesk needs Python 3.11, 3.12 or 3.13 with its venv module, found: $(or $(PYTHON),$$(python3 --version 2>&1))." >&2; \
	echo "Install one (on Debian also its python3-venv package), or name it: make PYTHON=/path/to/python3.12 ..." >&2; \
	exit 1
endef

.PHONY: help demo test quick check manifests audit contract bench chaos lock clean

help:
	@echo "make demo      customers, agents and an AI agent on the whole pipeline, on a Kafka of its own, counted and checked"
	@echo "make test      all tests, those against a real Kafka included"
	@echo "make quick     the tests that need no Kafka, in parallel: under a minute"
	@echo "make check     linter, security rules, formatting, types, import rules, make manifests and make audit"
	@echo "make manifests  container and Kubernetes files, by hadolint, docker-compose and kubernetes-validate"
	@echo "make audit     known vulnerabilities of the locked packages, by pip-audit; says so where it can't look"
	@echo "make contract  write the models' JSON Schemas, AsyncAPI and OpenAPI documents to schemas/generated"
	@echo "make bench     measure on this machine, beside what people would use instead; a quarter of an hour"
	@echo "               make bench BENCH=--help, BENCH='idle restore --full' (docs/performance.md)"
	@echo "make chaos     break the running system at random moments, then check that nothing is lost or doubled:"
	@echo "               make chaos SEED=2 MINUTES=30 (docs/reliability.md)"
	@echo "make lock      resolve the dependencies of pyproject.toml anew into requirements.lock"
	@echo "make clean     delete the virtual environment and all caches"

demo: $(INSTALLED)
	@$(PY) -m cli.main demo

# By file, as the tests of a file share what is slow to start. Those that need Kafka are collected first, and wait much:
# three at once keep two cores busy.
test: $(INSTALLED)
	@$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

quick: $(INSTALLED)
	@$(PY) -m pytest -n auto tests/unit tests/scenarios tests/contract

check: $(INSTALLED)
	@echo "ruff check";          $(PY) -m ruff check .
	@echo "ruff format --check"; $(PY) -m ruff format --check .
	@echo "mypy";                $(PY) -m mypy
	@echo "lint-imports";        .venv/bin/lint-imports
	@$(MAKE) --no-print-directory manifests audit

# What can be said of the container files without a container engine or a cluster.
manifests: $(INSTALLED)
	@echo "hadolint";            .venv/bin/hadolint deploy/Dockerfile
	@echo "docker-compose";      .venv/bin/docker-compose -f docker-compose.kafka.yml --profile '*' config --quiet
	@if command -v kubectl >/dev/null; then \
	    echo "kubernetes-validate"; mkdir -p build/kubernetes; \
	    for overlay in small large; do \
	        kubectl kustomize deploy/kubernetes/overlays/$$overlay >build/kubernetes/$$overlay.yaml && \
	        .venv/bin/kubernetes-validate --strict --quiet --no-warn build/kubernetes/$$overlay.yaml || exit 1; \
	    done; \
	else \
	    echo "!!! SKIPPED: there is no kubectl, which builds the overlays of deploy/kubernetes. !!!"; \
	fi

REACHES_ADVISORIES := import http.client; http.client.HTTPSConnection("api.osv.dev", timeout=10).request("HEAD", "/")

# In an environment of its own: it is a tool, and its packages are none of ours.
audit: $(INSTALLED)
	@if $(PY) -c '$(REACHES_ADVISORIES)' 2>/dev/null; then \
	    $(PY) -m venv build/audit && build/audit/bin/python $(PIP) install pip-audit && \
	    build/audit/bin/pip-audit --vulnerability-service osv --disable-pip --require-hashes -r requirements.lock; \
	else \
	    echo "pip-audit"; \
	    echo "!!! SKIPPED: api.osv.dev can't be reached. Nobody has looked for known vulnerabilities of the packages. !!!"; \
	fi

contract: $(INSTALLED)
	@$(PY) -m deploy.contract

BENCH ?=

bench: $(INSTALLED)
	@$(PY) -m tests.bench $(BENCH)

SEED ?= 1
MINUTES ?= 5

chaos: $(INSTALLED)
	@$(PY) -m tests.chaos --seed $(SEED) --minutes $(MINUTES)

# A newer lock or pyproject.toml installs again; otherwise nothing here needs the network.
$(INSTALLED): requirements.lock pyproject.toml
	@if ! $(PY) -c 'import sys, pip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then \
	    python=$$($(find_python)) || exit 1; \
	    echo "Creating .venv with $$("$$python" --version)"; \
	    "$$python" -m venv --clear .venv || exit 1; \
	fi
	@echo "Installing the packages of requirements.lock"
	@$(PY) $(PIP) install --require-hashes --no-deps -r requirements.lock
	@$(PY) $(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

# uv, because pip can't lock for all systems and Python versions at once. Versions stay unless pyproject.toml asks
# for others; to take newer ones delete requirements.lock first.
lock:
	@python=$$($(find_python)) && "$$python" -m venv build/uv
	@build/uv/bin/python $(PIP) install uv
	@build/uv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-annotate --group dev pyproject.toml -o requirements.lock \
	    --custom-compile-command "make lock"

clean:
	@rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
