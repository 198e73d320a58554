# Two commands on a fresh machine: `make demo` and `make test`. Both set up everything they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests wait for programs that they start, so three at once keep two cores busy.
# Python's warnings are told where tests run and nowhere else: pip would print hundreds of its own.
TESTS := PYTHONWARNINGS=$${PYTHONWARNINGS:-default} $(BIN)/python -m pytest
# Modules are compiled once, whatever the shell says: tests and studies start many processes, and compiling takes each as
# long as the smallest proxies train.
export PYTHONDONTWRITEBYTECODE :=
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow check docs reference corpora clean

help:
	@echo "make demo     the whole flow on the embedded corpus; ends with the path of report.html"
	@echo "make test     all tests          make check   lint, types, import arrows"
	@echo "make setup    the environment    make corpora Debian man pages in many languages under .cache/"
	@echo "make docs     the documentation site under .cache/site; make reference   its pages on study files and commands"

$(VENV)/.installed: pyproject.toml constraints.txt scripts/setup.sh
	PYTHON=$(PYTHON) bash scripts/setup.sh
	@touch $@

setup: $(VENV)/.installed

demo: setup
	$(BIN)/glotmix run recipes/quickstart.yaml --out out/quickstart

test: setup
	bash scripts/packages.sh
	$(TESTS) -n 3 --dist worksteal

test-slow: setup
	bash scripts/packages.sh
	$(TESTS) -m slow --timeout=3600

check: setup
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir .cache/site

reference: setup
	$(BIN)/glotmix fields --markdown > docs/study-file.md
	$(BIN)/python -m typer glotmix.cli utils docs --name glotmix --output docs/command-line.md

corpora:
	bash scripts/manpages.sh .cache/manpages

clean:
	rm -rf $(VENV) out .cache
