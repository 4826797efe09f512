# make demo   track the built-in arena live, with a subscriber, a report and a picture
# make test   run the tests
# make fast   run those that start no process and no pipeline, for every change
# make coverage   run the tests and print the share of lines that they run; less than before is a failure
# make lint   linters and type checker
# make docs   build the documentation site into the folder site; warnings are errors
# make bench  measure speed and memory, side by side (minutes; leave the machine alone meanwhile)
# make soak   track for ten minutes, publish for five under load, and print what grows; MINUTES=60 for six times as long
# Each makes the environment it needs in .venv; PYTHON=python3.12 chooses another Python.
# Windows has no make: python scripts/make.py demo, or test.

PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test fast coverage lint docs bench soak clean

demo: .venv/.run
	$(BIN)/cropzoom demo

# Linux counts its cores with nproc, macOS with sysctl.
CORES := $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
# Two workers a core, as many tests wait; no more than 16, because each of them reads all the tests.
WORKERS ?= $(shell echo $$(($(CORES) < 8 ? 2 * $(CORES) : 16)))

# Without bytecode each of the many processes would compile the package again, and each worker all tests. It is there
# before they begin: a test whose files may not grow, as on a full disk, would leave half of it for all others.
test fast coverage: export PYTHONDONTWRITEBYTECODE =
COMPILED = $(BIN)/python -m compileall -q realtime_cropzoom scripts tests

test: .venv/.dev
	$(COMPILED)
	$(BIN)/python -m pytest -n $(WORKERS)

fast: .venv/.dev
	$(COMPILED)
	$(BIN)/python -m pytest -n $(CORES) --hypothesis-profile fast -m 'not whole and not slow'

# Without the tests in which no file may grow: there coverage cannot write either.
coverage: .venv/.dev
	$(COMPILED)
	$(BIN)/python -m pytest -n $(WORKERS) --cov --cov-report=term --cov-report=xml \
	  -k 'not full_disk and not disk_is_full and not dropped_lines'

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy realtime_cropzoom scripts tests .ci/report.py
	$(BIN)/lint-imports --no-logo

# The variable silences an advertisement of the theme. Nothing is loaded from the network.
docs: .venv/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

bench: .venv/.dev
	$(BIN)/python scripts/bench.py

MINUTES ?= 10

soak: .venv/.dev
	$(BIN)/python scripts/soak.py --minutes $(MINUTES)

# An environment that cannot be this folder's (the folder was moved, or its Python is gone) is made again.
MADE_FOR := $(shell sed -n 's/^command = .* -m venv //p' .venv/pyvenv.cfg 2>/dev/null)
ifneq ($(wildcard .venv),)
STALE := $(shell .venv/bin/python -c pass 2>/dev/null && [ -z "$(MADE_FOR)" -o "$(MADE_FOR)" = "$(CURDIR)/.venv" ] || echo yes)
endif
ifeq ($(STALE),yes)
.PHONY: .venv/.python
endif

# Each check says in one line what is missing, and what to do.
.venv/.python:
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo "There is no $(PYTHON) here. Install Python 3.11 or newer, or name yours: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$$("$(PYTHON)" --version 2>&1) is too old, 3.11 or newer is needed. Name another: make PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv. Install it (Debian, Ubuntu: sudo apt install python3-venv) and try again" >&2; exit 1; }
	@[ -z "$(STALE)" ] || { echo "The environment in .venv was made in another place: it is made again"; rm -rf .venv; }
	"$(PYTHON)" -m venv .venv
	touch $@

.venv/.run: pyproject.toml .venv/.python
	@echo "Installing the package and what it needs into .venv: this takes some minutes, once"
	$(BIN)/python -m pip install --quiet --editable '.[cpu,plots,view]'
	touch $@

.venv/.dev: pyproject.toml .venv/.run
	$(BIN)/python -m pip install --quiet --editable '.[cpu,dev]'
	touch $@

.venv/.docs: pyproject.toml .venv/.dev
	$(BIN)/python -m pip install --quiet --editable '.[cpu,dev,docs]'
	touch $@

clean:
	rm -rf .venv build dist site
