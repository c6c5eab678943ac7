# Two commands carry everything: `make run` and `make test`. Each makes .venv itself, when it is not there or the lock
# file has changed, so that a fresh clone needs nothing but Python (3.11 or newer), git and make.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run test check mutants lint fmt lock clean layers

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
# Test processes: `make test N=4`, N=0 runs all in one process.
N ?= 2
# Further arguments of pytest: `make test ARGS="-k admission"`.
ARGS ?=

# The user's own pip settings (mirror, certificates, proxy) stay; those that would install elsewhere, or break a locked
# installation, do not.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_CONSTRAINT PIP_REQUIRE_HASHES PIP_REQUIREMENT PIP_NO_BINARY
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' Makefile

run: $(BIN)/.made ## start headgate here (PORT=8080 unless set); Ctrl-C ends it
	@exec $(BIN)/headgate up

test: lint layers ## everything: format, lint, types, imports, all tests, coverage at least 90 %
	@$(BIN)/pytest -n $(N) --dist loadfile --cov $(ARGS)

check: lint ## the quick part of `test`: linters, and the tests of core and flow
	@$(BIN)/pytest -q tests/core tests/flow $(ARGS)

mutants: $(BIN)/.made ## small deliberate bugs, each of which a suite must catch (ARGS=NAME: that one)
	@$(BIN)/python -m tests.mutants $(ARGS)

lint: $(BIN)/.made
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

fmt: $(BIN)/.made ## put code into its format, mend what ruff can mend
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

lock: $(BIN)/.made ## renew requirements.lock from pyproject.toml (UPGRADE=1: everything to its newest version)
	@$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    $(if $(UPGRADE),--upgrade) --quiet --output-file requirements.lock

clean: ## remove what can be made again (.venv, caches, builds); .headgate, the data of `make run`, stays
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*
	find services tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Which layers of the tests can run on this machine; the others are skipped, and say so (or fail, where CI is set).
layers:
	@echo "Layers of tests on this machine (core, flow, contract on SQLite, services: always):"; \
	layer() { what=$$1; shift; for it; do found=$$(command -v "$$it") && break; done; \
	    echo "  $$what: $${found:-absent, skipped}"; }; \
	layer "java (emulators)" java; layer "gcloud (emulators)" gcloud; layer "tofu (infra)" tofu; \
	layer "chromium (browser)" chromium chromium-browser google-chrome; layer "bubblewrap (sandbox)" bwrap; \
	layer "promtool (alerts)" promtool

# The stamp is written last: an installation that was cut off is taken up again.
$(BIN)/.made: requirements.lock pyproject.toml
	@python=''; seen=''; \
	for name in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11); do \
	    "$$name" -c '' 2>/dev/null || continue; \
	    version=$$("$$name" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	    if ! "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then seen="$$seen $$name is $$version."; \
	    elif ! "$$name" -c 'import ensurepip, venv' 2>/dev/null; then \
	        seen="$$seen $$name ($$version) lacks the venv module (Debian, Ubuntu: apt install python$$version-venv)."; \
	    else python=$$name; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	    echo "headgate needs Python 3.11 or newer with its venv module.$${seen:- No $(or $(PYTHON),python3) was found.}" >&2; \
	    echo "Install one, or name it: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; fi; \
	command -v git >/dev/null || { echo "headgate needs git: the git kind clones with it, the tests list files with it." >&2; exit 1; }; \
	if ! $(BIN)/python -c 'import pip' 2>/dev/null; then \
	    echo "Making $(VENV) with $$python"; "$$python" -m venv --clear $(VENV) || exit 1; fi; \
	echo "Installing the locked packages"; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-user --require-hashes -r requirements.lock \
	&& $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-user --no-deps --no-build-isolation -e . \
	|| { echo "pip could not install the packages of requirements.lock: its words stand above." \
	    "It must reach a package index; a mirror is set with PIP_INDEX_URL." >&2; exit 1; }
	@touch $@
