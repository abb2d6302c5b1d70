# Two commands matter: `make demo` and `make test`. Each sets up everything it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_SECONDS ?= 60
SEED ?= 900007

.PHONY: setup demo test check bench clean

setup: $(STAMP)

# torch comes first and by itself: asked for exactly, so that nothing else pulls in another build of it.
$(STAMP): pyproject.toml constraints.txt scripts/warm_up.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pip setuptools wheel
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python scripts/warm_up.py
	touch $@

demo: setup
	$(BIN)/ov2 demo --seconds $(DEMO_SECONDS) --seed $(SEED) --report demo-report.json

test: setup
	./scripts/system_packages.sh
	$(BIN)/python -m pytest -n auto --dist loadfile

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: setup
	$(BIN)/ov2 bench all

clean:
	rm -rf $(VENV) build *.egg-info runs demo-out demo-report.json
