# Every target creates .venv and installs what it needs; the second time that takes no time.
# Override on the command line: make test PYTHON=python3.12 ARGS="-k khot"

PYTHON ?= python3
VENV ?= .venv
OUT ?= build/demo
ARGS ?=
# Tests run in as many processes, one thread each: most of their time is spent in C++ compilers. Each
# process gets a run of neighbours, so that few fixtures of a module are made twice, and takes over
# what another has left at the end. What Python compiles is kept: else each of them, and each program
# that a test starts, compiles all again.
WORKERS ?= 2

BIN := $(VENV)/bin
PYTEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=worksteal
PINS := pyproject.toml constraints.txt
DEMO_READY := $(VENV)/.installed-hls4ml
ALL_READY := $(VENV)/.installed-all

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test test-slow site lint format install clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(DEMO_READY) ## Train, export and prove every bit; writes build/demo/report.html
	$(BIN)/python -m qfx_plugin.cli demo --out $(OUT) $(ARGS)

test: $(ALL_READY) ## The tests, without the slow ones
	$(PYTEST) -m "not slow" $(ARGS)

test-slow: $(ALL_READY) ## The tests that take more than 10 seconds each
	$(PYTEST) -m slow $(ARGS)

site: $(ALL_READY) ## The documentation with executed notebooks; writes build/site/index.html
	$(BIN)/python docs/_site/run_notebooks.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

lint: $(ALL_READY) ## Style, imports and types
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(ALL_READY) ## Put the style right
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

install: $(ALL_READY) ## Everything into .venv, for development

clean: ## Remove what was built; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv*' -type d -prune -exec rm -rf {} +

distclean: clean ## Remove .venv too
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "QFX needs Python 3.11 or later, not " + sys.version.split()[0] + \
	    ": try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The install is editable: only a change of the pins makes it stale.
$(DEMO_READY): $(PINS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[hls4ml]"
	@touch $@

$(ALL_READY): $(PINS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]"
	@touch $(DEMO_READY) $@
