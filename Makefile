# make demo: install, start the embedded stack, run the main job.
# make test: install, run all tests against the embedded stack.
# Needs Python 3.11 or newer and nothing else; uses uv where it is installed.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
UV     := $(shell command -v uv 2>/dev/null)

ifeq ($(UV),)
MAKE_VENV = $(PYTHON) -m venv $(VENV)
INSTALL   = $(BIN)/python -m pip install -qq --disable-pip-version-check
else
MAKE_VENV = $(UV) venv --quiet --seed --allow-existing --python $(PYTHON) $(VENV)
INSTALL   = $(UV) pip install --quiet --python $(BIN)/python
endif

# pip before 25.1 does not know dependency groups: they go through a file.
define install_group
	@echo "Installing what 'make $(1)' needs into $(VENV) ..."
	@$(BIN)/python scripts/requirements_of.py $(1) > $(VENV)/$(1).txt
	@$(INSTALL) --editable '.[embedded,examples]' --requirement $(VENV)/$(1).txt
	@touch $@
endef

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
	$(BIN)/python -m pytest -m "not chaos" --cov --cov-branch --cov-report=
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
	$(BIN)/python -m pytest -m chaos tests/chaos

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
	@$(MAKE_VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	@echo "Installing what 'make demo' needs into $(VENV) ..."
	@$(INSTALL) --editable '.[embedded,examples]'
	@touch $@

$(VENV)/.test: $(VENV)/.python pyproject.toml scripts/requirements_of.py
	$(call install_group,test)

$(VENV)/.lint: $(VENV)/.python pyproject.toml scripts/requirements_of.py
	$(call install_group,lint)

$(VENV)/.bench: $(VENV)/.python pyproject.toml scripts/requirements_of.py
	$(call install_group,bench)
