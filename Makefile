# Needs python3 (3.11 or newer), make and bash. `make` prints the lines that begin with #:
#:
#: make demo     draw data, train and evaluate on it, offline
#: make test     ruff, mypy and the tests
#: make check    the slow tests, which `make test` leaves out
#: make lint     ruff alone
#: make types    mypy alone
#: make docs     write the schemas anew, and build the pages of docs/ into build/site
#: make install  what each of the above does first: fssbench and the packages it needs, into .venv
#: make oldest   install the oldest versions that pyproject.toml admits into .venv-oldest, and run the quick tests
#: make dist     build the wheel and the sdist into dist/
#: make clean    remove all of these again
#:
#: .venv takes 6.8 GB, about 3 GB of it to download, and two to five minutes. PyTorch's build for Linux accounts for most
#: of that: it brings 4.1 GB of CUDA and Triton. Without a GPU, first set PIP_EXTRA_INDEX_URL to PyTorch's package index
#: for CPUs; pip then prefers the build for CPUs, and .venv takes 1.9 GB.
SHELL := bash
PYTHON ?= python3
BIN := .venv/bin

PYTEST := pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: help demo test check lint types docs install oldest dist clean

help:
	@sed -n 's/^#: \{0,1\}//p' Makefile

demo: install
	$(BIN)/fssbench demo

test: lint types
	$(BIN)/$(PYTEST) -m "not slow"

check: install
	$(BIN)/$(PYTEST) -m slow

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install
	$(BIN)/mypy

docs: install
	$(BIN)/python docs/generate.py
	$(BIN)/python -m typer fssbench.cli utils docs --name fssbench --title Commands --output docs/reference/commands.md
	$(BIN)/python -m sphinx --quiet --fail-on-warning -c docs . build/site
	@echo "Open build/site/docs/index.html"

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(call install,.venv,constraints.txt)

# Old packages warn about new ones that they import; what is asked here is whether fssbench works with them.
oldest: .venv-oldest/installed
	.venv-oldest/bin/$(PYTEST) -m "not slow" -W default

.venv-oldest/installed: pyproject.toml tools/lower_bounds.py
	mkdir -p .venv-oldest
	$(PYTHON) tools/lower_bounds.py > .venv-oldest/constraints.txt
	$(call install,.venv-oldest,.venv-oldest/constraints.txt)

# Install fssbench into environment $(1) under the constraints $(2); pip's hundreds of lines shrink to one a large package.
define install
	@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
	@echo "Installing fssbench and the packages it needs into $(1); those over 1 MB are:"
	@set -o pipefail; $(1)/bin/python -m pip install --disable-pip-version-check --constraint $(2) --editable '.[dev]' \
	  | awk '/\([0-9.]+ [MG]B\)/ { sub(/-(cp|py)[0-9][^ ]* /, " "); print; fflush() } \
	         /^Installing/ { print "  Installing " NF - 3 " packages"; fflush() }'
	@du -sh $(1)
	@touch $(1)/installed
endef

dist: install
	$(BIN)/python -m build --outdir dist

clean:
	rm -rf .venv .venv-oldest build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
