# Needs python3 (3.11 or newer) and make; everything else is installed into .venv.
PYTHON ?= python3
BIN := .venv/bin

PYTEST := $(BIN)/pytest --numprocesses auto --dist loadfile

.PHONY: demo test check install lint types docs clean

demo: install
	$(BIN)/fssbench demo

test: lint types
	$(PYTEST) -m "not slow"

# What `make test` leaves out.
check: install
	$(PYTEST) -m slow

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: install
	$(BIN)/mypy

docs: install
	$(BIN)/python docs/generate.py

install: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
