# Everything runs in .venv, made by plain pip from the ordinary package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SPREAD := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-all lint format docs bench clean

help:
	@echo "make setup     make $(VENV) and install ganshift with its development tools"
	@echo "make demo      train both methods on bundled images and write runs/demo/report.html"
	@echo "make test      run the first ring of tests: offline, in minutes, with nothing but Python"
	@echo "make test-all  run both rings; the second needs Chromium, npm and curl, and takes longer"
	@echo "make lint      check formatting, style, types and documents"
	@echo "make docs      build the documents into build/docs, as pages to open in a browser"
	@echo "make format    put the code in the shape that lint wants"
	@echo "make bench     time and weigh training iterations beside the literal baseline"
	@echo "make clean     remove $(VENV) and the tools' caches, not your runs"

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "ganshift needs Python 3.11 or newer; try make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "installing into $(VENV): some gigabytes, a few minutes"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup
	$(BIN)/ganshift demo --out runs/demo

# The tests of a file run in one process, which makes what they share once. Shapes and types of all calls are checked by
# test-all alone: that takes a fifth of the time.
test: setup
	JAXTYPING_DISABLE=1 $(BIN)/pytest $(SPREAD) -m "not ring_two"

test-all: setup
	$(BIN)/pytest $(SPREAD)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup
	$(BIN)/python -m benchmarks.compare

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
