# Everything a developer or CI runs. Needs Python 3.11+, make and a package index; test-clients and test-browser also npm.
PYTHON ?= python3
WORKERS ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
NODE   := tests/clients/node
LIVEKIT := tests/clients/livekit
AXE    := tests/browser/node
# An environment for each lock of a Python client.
PYCLIENTS := $(patsubst tests/clients/python/%.txt,.clients/python/%/.made,$(wildcard tests/clients/python/*.txt))
PEERS  := $(patsubst benchmarks/peers/%.txt,.clients/peers/%/.made,$(wildcard benchmarks/peers/*.txt))
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

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

# Most tests wait for audio that is played in real time; so two of them at once take half as long, on two cores too.
test: dev  ## the tests, two at a time; WORKERS=N for more
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

# Each kind of client has an environment of its own. Node itself comes with this one, for the SDK wants a newer one than
# most machines have; npm runs no package's scripts, and keeps what it fetched in .clients/.
$(NODE)/node_modules/.made $(LIVEKIT)/node_modules/.made: %/node_modules/.made: %/package.json %/package-lock.json
	@command -v npm >/dev/null || { echo "make test-clients needs npm, which fetches Node and the clients for it: install npm (Debian: apt install npm)."; exit 1; }
	npm --prefix $* ci --loglevel=error --cache "$(CURDIR)/.clients/npm"
	@touch $@

# Each Python client has its own too, out of its lock: they want versions that others do not, and Hark needs none of them.
.clients/python/%/.made: tests/clients/python/%.txt tests/clients/python/environment.py | $(VENV)/.base
	$(BIN)/python tests/clients/python/environment.py $< $(@D)

test-clients: dev $(NODE)/node_modules/.made $(LIVEKIT)/node_modules/.made $(PYCLIENTS)  ## published clients, unmodified, against a server process (needs npm)
	$(BIN)/pytest tests/clients

test-faults: dev  ## faults done to real servers while real speech streams (installs Debian's faketime if there is none)
	@tests/faults/need-faketime
	$(BIN)/pytest tests/faults

# OVER=tests/edge for all that are served; these are the ones in which somebody is transcribed.
OVER ?= tests/published tests/speech $(patsubst %,tests/edge/test_%.py,transcriptions resume life call_life calls diarization recording drain journal bad_input official_answers fields_sent)
test-workers: dev  ## the conversations again, with engines on workers over gRPC
	$(BIN)/python tests/over_workers.py $(BIN)/pytest -n $(WORKERS) --dist worksteal $(OVER)

# The cluster's processes have an environment of their own, with Hark in it; what does the violence runs in .venv.
.clients/ray/.made: requirements/ray.txt requirements/build.txt pyproject.toml | $(VENV)/.base
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/build.txt -r requirements/ray.txt
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

test-ray: dev .clients/ray/.made  ## faults done to a Ray cluster on this machine (Linux; installs Debian's redis-server if there is none)
	@tests/ray/need-redis
	$(BIN)/pytest tests/ray
	$(BIN)/pytest -n $(WORKERS) tests/auth tests/edge tests/cli -k "redis or nodes"

$(VENV)/.browser: $(VENV)/.dev requirements/browser.txt
	$(PIP) install --quiet --require-hashes --no-deps -r requirements/browser.txt
	@touch $@

$(AXE)/node_modules/.made: $(AXE)/package.json $(AXE)/package-lock.json
	@command -v npm >/dev/null || { echo "make test-browser needs Node 18 or later and npm: install npm (Debian: apt install npm)."; exit 1; }
	npm --prefix $(AXE) ci --loglevel=error --cache "$(CURDIR)/.clients/npm"
	@touch $@

test-browser: dev $(VENV)/.browser $(AXE)/node_modules/.made  ## the page and WebRTC clients, in headless Chromium (needs npm; installs Debian's chromium if there is none)
	@tests/browser/need-chromium
	$(BIN)/pytest tests/browser

# What audits has an environment of its own, out of its lock.
.clients/audit/.made: requirements/audit.txt tests/clients/python/environment.py | $(VENV)/.base
	$(BIN)/python tests/clients/python/environment.py $< $(@D)

audit-code: .clients/audit/.made  ## bandit over src/ and zizmor over .github/, offline
	.clients/audit/bin/python requirements/audit.py code

audit: .clients/audit/.made  ## that, and every lock against the databases of known flaws; UNREACHED=--unreached-ok where there are none
	.clients/audit/bin/python requirements/audit.py all $(UNREACHED)

test-deploy: dev  ## the image of deploy/Dockerfile, built and run without Docker (needs root and debootstrap)
	$(BIN)/pytest tests/deploy/image

# atheris has wheels for Linux on x64 alone, so nothing else needs it. It has the environment of the tests beside it.
.clients/fuzz/.made: requirements/fuzz.txt requirements/dev.txt requirements/base.txt | $(VENV)/.base
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/build.txt -r requirements/base.txt -r requirements/dev.txt -r requirements/fuzz.txt
	$(@D)/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

MINUTES ?= 10
fuzz: install .clients/fuzz/.made  ## input that nobody would think of: make fuzz [MINUTES=10] [TARGET="frames wire-ga"]
	.clients/fuzz/bin/python -m fuzz.run $(MINUTES) $(TARGET)

format: $(VENV)/.dev  ## put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/.dev  ## resolve the dependencies anew into requirements/*.txt (hashes, no addresses)
	$(PIP) install --quiet uv
	$(BIN)/python requirements/lock.py

accuracy: dev  ## word error rate of a folder with a manifest: make accuracy DIR=path [JSON=file]
	$(BIN)/python benchmarks/accuracy.py $(DIR) $(if $(JSON),--json $(JSON))

denoise: dev  ## what noise reduction does to words and false starts: make denoise DIR=path [JSON=file]
	$(BIN)/python benchmarks/denoise.py $(DIR) $(if $(JSON),--json $(JSON))

turns: dev  ## where turns end, over a folder with a manifest: make turns DIR=path [JSON=file]
	$(BIN)/python benchmarks/turns.py $(DIR) $(if $(JSON),--json $(JSON))

# What Hark is measured beside, out of their locks.
.clients/peers/%/.made: benchmarks/peers/%.txt tests/clients/python/environment.py | $(VENV)/.base
	$(BIN)/python tests/clients/python/environment.py $< $(@D)

bench: dev $(PEERS)  ## latency and capacity beside other software, a quarter of an hour: make bench [DIR=path] [JSON=file]
	$(BIN)/python benchmarks/capacity.py $(DIR) $(if $(JSON),--json $(JSON))

soak: dev  ## sessions of random life, and what they lose or leave: make soak [MINUTES=30] [SESSIONS=50] [DIR=path] [JSON=file] [ARGS="--workers 2"]
	$(BIN)/python benchmarks/soak.py $(DIR) --minutes $(or $(MINUTES),30) --sessions $(or $(SESSIONS),50) --faults $(if $(JSON),--json $(JSON)) $(ARGS)

bench-ray: dev .clients/ray/.made  ## what Ray costs, into docs/scaling.md, ten minutes (Linux; as test-ray): make bench-ray [DIR=path] [JSON=file]
	@tests/ray/need-redis
	$(BIN)/python benchmarks/ray_cost.py $(DIR) --write $(if $(JSON),--json $(JSON))

bench-page: $(VENV)/.base  ## write the tables of docs/performance.md from a run: make bench-page JSON=file
	$(BIN)/python -m hark.bench.page docs/performance.md $(JSON)

fleet: $(VENV)/.base  ## the plan of docs/scaling.md and a simulated day of it, a quarter of an hour: make fleet [JSON=file] [FROM=file]
	$(BIN)/python benchmarks/fleet.py page docs/scaling.md $(if $(JSON),--json $(JSON)) $(if $(FROM),--from $(FROM))

api-table: $(VENV)/.base  ## write docs/api.md from the rows in src/hark/protocol/ and the engines' own words
	$(BIN)/python -c "from pathlib import Path; from hark.models import catalog, honours; from hark.protocol.api_page import page; Path('docs/api.md').write_text(page(honours.section(catalog.installed())), 'utf-8')"

clean:  ## remove what make made here (pulled models stay in the user's cache)
	rm -rf $(VENV) .clients $(NODE)/node_modules $(LIVEKIT)/node_modules $(AXE)/node_modules .mypy_cache .ruff_cache .import_linter_cache .hypothesis .fuzz

.PHONY: help install run dev check audit-code audit test test-clients test-browser test-faults test-workers test-ray test-deploy format lock accuracy denoise turns bench soak bench-ray bench-page fleet api-table clean fuzz
