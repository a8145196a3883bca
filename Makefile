# Everything one does to this project, by name; `make` alone lists it.
# All of it runs in .venv, built from the hashed files in requirements/.

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000
# `make test ARGS="-k throttle"`; in bench and soak likewise.
ARGS ?=

BIN := $(VENV)/bin
READY := $(VENV)/.ready
PROGRAMS := $(VENV)/.programs
LOCKED := requirements/dev.txt requirements/uv.txt
UV := $(BIN)/uv
PIP_COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url
EXAMPLES := $(sort $(dir $(wildcard examples/*/*.py)))
# Where it is set, each test process would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE
QUICK_NOT := not soak and not pg and not browser and not foreign

##@ Try it

.PHONY: help
help: ## List these targets
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z0-9-]*:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo

.PHONY: demo
demo: $(READY) ## Serve a sign-in system with demo data on http://localhost:8000 (PORT=… to change)
	@PORT=$(PORT) $(BIN)/passgate demo

# Each in its folder, with a Makefile of its own, which also knows the port.
.PHONY: example
example: ## List the examples: programs that use Passgate, each served by its own make example-N
	@ls -d examples/*/ | sed 's,examples/\([0-9]*\)-\(.*\)/,  make example-\1  \2,'

example-%: $(READY)
	@test -f examples/$*-*/Makefile || { echo "There is no example $*" >&2; exit 1; }
	@exec $(MAKE) -C examples/$*-* run

##@ Trust it

.PHONY: test
test: $(READY) $(PROGRAMS) ## Run every test, on SQLite, on a real PostgreSQL, in a real browser (ARGS=… for pytest)
	@$(BIN)/python -m pytest -q -n 2 --durations=10 -m "not soak" $(ARGS)

.PHONY: test-quick
test-quick: $(READY) ## Run the tests that need no database server, browser or proxy
	@$(BIN)/python -m pytest -q -n 2 -m "$(QUICK_NOT)" $(ARGS)

.PHONY: check
check: $(READY) ## Check format, lint, types and who imports whom
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@for folder in $(EXAMPLES); do \
	  (cd $$folder && $(abspath $(BIN))/mypy --strict --no-error-summary --config-file= --cache-dir $(CURDIR)/.mypy_cache/$$folder .) || exit 1; \
	done
	@$(BIN)/lint-imports --no-logo

.PHONY: bench
bench: $(READY) ## Measure, and compare with the recorded figures
	@$(BIN)/python -m bench $(ARGS)

.PHONY: soak
soak: $(READY) $(PROGRAMS) ## Run the long tests: races, restarts, fuzzing; the stopwatch first, with nothing beside it
	@$(if $(ARGS),,$(BIN)/python -m pytest -q -m soak tests/soak/test_timing.py)
	@$(BIN)/python -m pytest -q -n 2 --durations=10 -m soak $(or $(ARGS),--ignore=tests/soak/test_timing.py)

##@ Work on it

.PHONY: fmt
fmt: $(READY) ## Format the code and apply the safe fixes
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

.PHONY: reference
reference: $(READY) ## Write docs/reference and the types of the twins anew from the code
	@$(BIN)/python -m tests.architecture.reference
	@$(BIN)/python -m tests.architecture.twins_file

.PHONY: setup
setup: $(READY) ## Build .venv (the other targets do it when needed)

# The present pins are kept where they still fit; `make lock ARGS=--upgrade` moves them all.
.PHONY: lock
lock: $(READY) ## Work out requirements/*.txt anew from pyproject.toml (needs the network)
	@$(PIP_COMPILE) $(ARGS) pyproject.toml --all-extras --group dev --group bench -o requirements/dev.txt >/dev/null
	@$(PIP_COMPILE) pyproject.toml --extra postgres -c requirements/dev.txt -o requirements/run.txt >/dev/null

.PHONY: clean
clean: ## Remove the environments and caches, never .passgate/
	@rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist

# pip is used once, to fetch a hashed uv; from there on uv installs exactly what is locked and removes the rest.
# Byte-code is compiled here and not at the first start, which would take more than twice as long, and every start would
# where nothing may be written (PYTHONDONTWRITEBYTECODE, a read-only file system).
$(READY): $(LOCKED) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Passgate needs Python 3.11 or newer: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { echo "No venv module here; on Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/uv.txt
	@$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes $(LOCKED)
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q src
	@touch $@

# Browser, proxies and clients are the distribution's own: with its security updates, and nothing fetched from anybody
# else. Chromium's shell without windows does the same work in half the time; where a distribution has none, the whole
# browser will do. Installing a server does not start it (RUNLEVEL). A package may have another name than its program;
# javac, because a Java without its compiler is not enough.
FOREIGN := nginx haproxy caddy curl sqlite3 pgbouncer javac node
PACKAGES := chromium-headless-shell nginx haproxy caddy curl sqlite3 pgbouncer default-jdk-headless nodejs
$(PROGRAMS): Makefile | $(READY)
	@export PATH="$$PATH:/usr/sbin"; have() { for program; do command -v "$$program" || return 1; done >/dev/null; }; \
	  have chromium-headless-shell $(FOREIGN) \
	  || { test "$$(id -u)" = 0 && have apt-get && apt-get update -qq \
	       && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; } \
	  || { { have chromium-headless-shell || have chromium; } && have $(FOREIGN); } \
	  || { echo "The tests need chromium and $(FOREIGN) on PATH; on Debian: apt install $(PACKAGES)" >&2; exit 1; }
	@touch $@
