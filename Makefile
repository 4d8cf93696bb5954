# make run and make test need Python 3.11, make and git; all else is set up here, in this folder.
SHELL := /bin/sh
PIPELINE ?= chicago_taxi
TABLE ?= whole_pipeline
PYTHON ?= python3.11
UV_VERSION := 0.13.9  # reads the locks as they were written; `build-backend = "uv_build"` in it needs no download
export UV := $(CURDIR)/.tools/bin/uv
export UV_PYTHON := $(shell command -v $(PYTHON) 2>/dev/null)
PIPEYARD := .venv/bin/pipeyard
# Environments have bytecode of what was imported once; without it, each process that imports TensorFlow compiles for 20 s.
unexport PYTHONDONTWRITEBYTECODE

# One more than cores: suites with engines and registries wait half their time.
JOBS ?= $(shell expr $$(nproc) + 1)
# A suite a folder that has tests; each runs in the environment of what it tests. Long ones first, by CPU time: what is
# short fills the cores at the end. What isn't named comes last.
LONG_FIRST := test/pipelines test/engine test/toolchain test/scale_out test/component/transform test/delivery \
	test/component/evaluate test/component/train lint
SUITES := test/engine test/delivery test/pipelines test/scale_out test/serving test/contracts $(patsubst components/%,test/component/%,$(wildcard components/*)) \
	$(patsubst libs/%,test/library/%,$(wildcard libs/*)) $(patsubst services/%/tests,test/service/%,$(wildcard services/*/tests)) test/toolchain lint
SUITES := $(filter $(SUITES),$(LONG_FIRST)) $(filter-out $(LONG_FIRST),$(SUITES))

# Environments are made before the suites: a suite that waited for them would let all others go first.
ENVS := $(if $(PREPARED),,envs)

# Those that need no engine and no whole run. Of `lint`, what needs the components' environments is one of them: CI
# servers run the rest of it beside them, without.
UNIT_SUITES := $(filter test/component/% test/library/% test/service/% test/toolchain test/contracts,$(SUITES)) types

.DEFAULT_GOAL := help

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: setup data  ## Run a whole pipeline here, from data to a served model and a report (PIPELINE=chicago_taxi, chicago_taxi_trees, flights, flight_delays, penguins, trivia; ARGS=--no-cache ...; SERVE=no).
	@$(PIPEYARD) run $(PIPELINE) $(ARGS)
	@case " $(ARGS) $(SERVE) " in *" --env "*|*" --env="*|*" no "*) ;; *) $(PIPEYARD) serve start ;; esac

test: setup envs  ## Lint, check what is generated, and run every test, as many suites at a time as there are cores (SINCE=REV: only what changes since REV reach).
	@suites="$(SUITES)"; if [ -n "$(SINCE)" ]; then suites=$$($(PIPEYARD) affected --since "$(SINCE)" --suites) || exit 1; fi; \
	[ -z "$$suites" ] || $(MAKE) --no-print-directory --jobs=$(JOBS) --keep-going --output-sync=target PREPARED=1 LINT_JOBS=1 $$suites

unit: setup envs  ## The unit tests of components, libraries and the toolchain alone (SINCE=REV: only what changes since REV reach).
	@suites="$(UNIT_SUITES)"; if [ -n "$(SINCE)" ]; then reached=$$($(PIPEYARD) affected --since "$(SINCE)" --suites) || exit 1; \
	reached=$$(echo "$$reached" | sed 's/^lint$$/types/'); \
	suites=$$(for each in $$suites; do echo "$$reached" | grep -Fx "$$each" || :; done); fi; \
	[ -z "$$suites" ] || $(MAKE) --no-print-directory --jobs=$(JOBS) --keep-going --output-sync=target PREPARED=1 $$suites

data: setup  ## Fetch the data of PIPELINE, where it isn't in the repository.
	@if [ -x pipelines/$(PIPELINE)/fetch-data ]; then pipelines/$(PIPELINE)/fetch-data; fi

setup: .venv/.lock-digest  ## Set up the toolchain.

envs: setup  ## Make every component's environment (otherwise made when first used).
	@$(PIPEYARD) sync

test/component/%: setup
	@echo "== components/$*"; components/$*/.venv/bin/python -m pytest components/$*

test/library/%: setup
	@echo "== libs/$*"; build/sync-env libs/$* --all-extras && libs/$*/.venv/bin/python -m pytest libs/$*

test/toolchain: setup
	@echo "== toolchain"; .venv/bin/python -m pytest tests/unit tests/conformance

test/service/%: setup
	@echo "== services/$*"; build/sync-env services/$* && services/$*/.venv/bin/python -m pytest services/$*

test/pipelines: setup $(ENVS)
	@echo "== pipelines"; .venv/bin/python -m pytest tests/pipelines

test/engine: setup $(ENVS)
	@echo "== engine"; .venv/bin/python -m pytest tests/engine

test/delivery: setup
	@echo "== delivery"; .venv/bin/python -m pytest tests/delivery

test/whole-delivery: setup  # of this very commit: images, package, version, run, model; half an hour, so not part of `test`
	@echo "== whole delivery"; .venv/bin/python -m pytest tests/delivery -m whole_delivery

test/serving: setup
	@echo "== serving"; .venv/bin/python -m pytest tests/serving

test/scale_out: setup $(ENVS)
	@echo "== scale-out"; .venv/bin/python -m pytest tests/scale_out

test/contracts: setup $(ENVS)
	@echo "== contracts"; $(PIPEYARD) check

types: setup $(ENVS)  # mypy alone; every component in its environment
	@echo "== types"; build/types --every

lint: setup  ## Ruff, pylint, mypy, the order of rooms, and what CI servers read.
	@echo "== lint"; LINT_JOBS=$(LINT_JOBS) build/lint && $(PIPEYARD) ci lint && $(PIPEYARD) readme

fix: setup  ## Format, and rewrite what is generated.
	@.venv/bin/ruff check --fix --quiet . ; .venv/bin/ruff format --quiet . ; $(PIPEYARD) readme --fix; $(PIPEYARD) settings --schema

benchmark: setup  ## Measure a table of benchmarks/ (TABLE=whole_pipeline, statistics, ...; ARGS=--quick ...).
	@.venv/bin/python -m benchmarks $(TABLE) $(ARGS)

lock: setup  ## Lock every environment anew.
	@$(PIPEYARD) lock

clean:  ## Stop what is served; remove environments, runs, pushed models.
	@[ ! -d serving/.serve ] || [ ! -x $(PIPEYARD) ] || $(PIPEYARD) serve stop
	rm -rf .venv .tools components/*/.venv libs/*/.venv services/*/.venv tests/*/.venv benchmarks/.venv benchmarks/peers/*/.venv \
		benchmarks/.data runs serving registry dist

.tools/bin/uv:
	@test -n "$(UV_PYTHON)" || { echo "Python 3.11 was not found: install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "setting up uv $(UV_VERSION)"
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "$(PYTHON) can't make environments: install its venv module (Debian: apt-get install python3.11-venv)" >&2; exit 1; }
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install --quiet --disable-pip-version-check "uv==$(strip $(UV_VERSION))"

.venv/.lock-digest: uv.lock pyproject.toml | .tools/bin/uv
	@echo "setting up the toolchain"
	@build/sync-env .

.PHONY: help run test unit data setup envs lint types fix benchmark lock clean test/engine test/delivery test/whole-delivery test/pipelines test/scale_out test/serving test/toolchain test/contracts
