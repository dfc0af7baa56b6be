# Two commands for everyone: `make run` and `make test`. Everything they need, they install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install -qq --disable-pip-version-check

# `make run DRIVE="1.mf4 2.mf4" DBC="a.dbc b.dbc"` plays your own recording instead of the demo of VEHICLES vehicles.
DRIVE ?=
DBC ?=
VEHICLES ?= 25

DASHBOARD := dashboard
SOURCES := $(shell find $(DASHBOARD)/src $(DASHBOARD)/index.html $(DASHBOARD)/vite.config.ts 2>/dev/null)

.DEFAULT_GOAL := run
.PHONY: run test test-arm64 lint bench picture setup dashboard requirements

run: setup dashboard
	@exec $(BIN)/fleetwire up $(if $(DRIVE),$(DRIVE:%=--drive %) $(DBC:%=--dbc %),--demo --vehicles $(VEHICLES))

test: lint dashboard
	@deploy/ensure-packages chromium mmdebstrap bubblewrap
	cd $(DASHBOARD) && npm run --silent check
	$(BIN)/pytest -n 3 --dist loadgroup

# The agent in Debian for arm64, under an emulator; takes minutes.
test-arm64: setup
	@deploy/ensure-packages qemu-user-static mmdebstrap bubblewrap
	FLEETWIRE_TEST_ARM64=1 $(BIN)/pytest -rs --durations=0 tests/acceptance/test_arm64.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup dashboard
	$(BIN)/python -m bench

# The pictures of the README, taken from the running system.
picture: setup dashboard
	@deploy/ensure-packages chromium
	$(BIN)/python docs/pictures/take.py

setup: $(VENV)/.ready

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Fleetwire needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@echo "==> Python environment in $(VENV), once: about a minute"
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "The venv module is missing: apt-get install python3-venv"; exit 1; }
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

dashboard: $(DASHBOARD)/dist/index.html

$(DASHBOARD)/dist/index.html: $(DASHBOARD)/node_modules/.ready $(DASHBOARD)/public/world.pmtiles $(SOURCES)
	@echo "==> Dashboard"
	@cd $(DASHBOARD) && npm run --silent build -- --logLevel warn
	@touch $@

$(DASHBOARD)/public/world.pmtiles: $(DASHBOARD)/node_modules/.ready $(DASHBOARD)/tools/basemap.mjs | setup
	@echo "==> World map, once: about ten seconds"
	@cd $(DASHBOARD) && npm run --silent basemap
	@touch $@

$(DASHBOARD)/node_modules/.ready: $(DASHBOARD)/package-lock.json
	@node -e 'process.exit(Number(process.versions.node.split(".")[0] < 20))' || { echo "The dashboard needs Node 20 or newer."; exit 1; }
	@echo "==> Dashboard's packages, once: about half a minute"
	@cd $(DASHBOARD) && npm ci --silent --no-audit --no-fund
	@touch $@

# Needs uv. The result names no index.
requirements:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make requirements" --extra dev pyproject.toml -o requirements/dev.txt
