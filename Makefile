# The two commands of the README, and what they stand on. Every step leaves a stamp, so that a second run is quick.
#
#   make demo    install what the demo needs, build both pages on the embedded models, serve them
#   make test    install everything, check, run the whole suite
#   make check   lint, types, fast tests
#   make soak    the proofs that take long: an hour of captions, thousands of photos, hundreds of requests
#   make full-size   export, quantize and verify published architectures at full size: minutes, 10 GB of memory

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test check lint fast-tests full-size soak clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$name"; break; }; done)
# npm and what it starts, tsc among it, run on the Node of the virtual environment: the machine may have none.
NPM = $(abspath $(BIN)/python) $(abspath .ci/npm.py)
PACKAGE := pyproject.toml hatch_build.py web_template/package.json web_template/package-lock.json

# What to pass on: make demo DEMO='--port 8100 --no-open', make test PYTEST='-k preview'
DEMO ?=
PYTEST ?=
# How many tests run at a time. A file's tests stay together: they share what is slow to make.
WORKERS ?= 2

demo: $(VENV)/.base $(VENV)/.any-browser
	@$(BIN)/webgpu-demo demo $(DEMO)

test: lint $(VENV)/.chromium $(VENV)/.other-browsers
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(PYTEST)

check: lint fast-tests

lint: $(VENV)/.all web_template/node_modules/.package-lock.json
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(NPM) --prefix web_template run --silent check

fast-tests: $(VENV)/.all
	@$(BIN)/python -m pytest -m "not browser and not slow and not soak and not full_size" $(PYTEST)

full-size: $(VENV)/.all
	@$(BIN)/python -m pytest -m full_size tests/full_size $(PYTEST)

soak: $(VENV)/.all $(VENV)/.chromium $(VENV)/.other-browsers
	@$(BIN)/python -m pytest -m soak $(PYTEST)

clean:
	rm -rf $(VENV) web_template/node_modules web_template/runtime build dist .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.venv:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed: install it, or name it with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) cannot make a virtual environment: on Debian and Ubuntu, apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.base: $(VENV)/.venv $(PACKAGE)
	@echo "installing webgpu-demo-builder"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.all: $(VENV)/.venv $(PACKAGE)
	@echo "installing webgpu-demo-builder with everything the tests need (several minutes, several GB)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[all]'
	@touch $(VENV)/.base $@

web_template/node_modules/.package-lock.json: $(VENV)/.all web_template/package-lock.json
	@echo "installing the development tools of web_template"
	@$(NPM) --prefix web_template ci --ignore-scripts --no-audit --no-fund
	@touch $@

# A browser to look at the demo with: any will do.
$(VENV)/.any-browser: $(VENV)/.base
	@.ci/browser any $(BIN)/python
	@touch $@

# A browser to test with: a Chromium, because only there does WebGPU run without a GPU.
$(VENV)/.chromium: $(VENV)/.all
	@.ci/browser chromium $(BIN)/python
	@touch $@

# What further tests use where a package manager has it; without it they are skipped, and say so.
$(VENV)/.other-browsers: $(VENV)/.all
	@.ci/other-browsers
	@touch $@
