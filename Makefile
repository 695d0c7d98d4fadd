# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE := $(VENV)/.installed-base
DEV := $(VENV)/.installed-dev
BENCH := $(VENV)/.installed-bench
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile

.PHONY: demo test check bench bench-rd format clean

demo: $(BASE)
	$(BIN)/xvcomp demo --out demo-out

test: $(DEV)
	$(PYTEST)

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

bench: bench-rd

bench-rd: $(BENCH)
	mkdir -p out
	$(BIN)/python -m benchmarks.rate_distortion.run --out out/rd.json \
		--coders seed jpeg2000 sz3 xvcomp-fast xvcomp-balanced xvcomp-best
	$(BIN)/python -m benchmarks.rate_distortion.report out/rd.json \
		--markdown out/rd.md --plot out/rd.png

format: $(DEV)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo-out dist build

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip

$(BASE): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(BASE)

$(BENCH): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@ $(BASE)
