# Everything a developer or CI runs. Needs Python 3.11+, make and a package index; nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.base: requirements/base.txt requirements/build.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Hark needs Python 3.11 or later; $(PYTHON) is older. Name another one: make PYTHON=python3.12 run"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/build.txt -r requirements/base.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.base requirements/dev.txt
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

install: $(VENV)/.base  ## make .venv with Hark and what it needs, and pull the default models
	@$(BIN)/hark pull --quiet

run: install  ## start the server, show a sample transcribed live, and go on serving
	@$(BIN)/hark serve --self-check

dev: $(VENV)/.dev install

check: $(VENV)/.dev  ## lint, formatting, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: dev  ## the tests
	$(BIN)/pytest

format: $(VENV)/.dev  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev  ## resolve the dependencies anew into requirements/*.txt (hashes, no addresses)
	$(PIP) install --quiet uv
	$(BIN)/python requirements/lock.py

accuracy: dev  ## word error rate of a folder with a manifest: make accuracy DIR=path [JSON=file]
	$(BIN)/python benchmarks/accuracy.py $(DIR) $(if $(JSON),--json $(JSON))

clean:  ## remove what make made here (pulled models stay in the user's cache)
	rm -rf $(VENV) .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: help install run dev check test format lock accuracy clean
