# Everything a checkout needs, by name. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test check lint types imports format bench faults clean

help: ## Show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 18

install: $(INSTALLED) ## Make .venv and install hrdet and its tools into it

$(INSTALLED): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("hrdet needs Python 3.11 or newer; run: make PYTHON=python3.11 install" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev --group bench
	touch $@

demo: $(INSTALLED) ## Train, evaluate and picture the small HRNet on built-in data (about five minutes)
	$(BIN)/hrdet inspect-batch --preset demo --out runs/demo-batches
	$(BIN)/hrdet train --preset demo --run-dir runs/demo --overwrite
	$(BIN)/hrdet eval runs/demo

test: $(INSTALLED) ## Run the tests
	$(BIN)/python -m pytest

check: lint types imports test ## Everything that has to pass: lint, types, imports, tests

lint: $(INSTALLED) ## Check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## Check types, strictly
	$(BIN)/mypy

imports: $(INSTALLED) ## Check which layer imports which
	$(BIN)/lint-imports

format: $(INSTALLED) ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED) ## Measure data path, training step, memory, norms and padding (many minutes)
	$(BIN)/python -m tests.benchmarks.data_path
	$(BIN)/python -m tests.benchmarks.decoders
	$(BIN)/python -m tests.benchmarks.loading
	$(BIN)/python -m tests.benchmarks.step_time
	$(BIN)/python -m tests.benchmarks.step_memory
	$(BIN)/python -m tests.benchmarks.valid_statistics
	$(BIN)/hrdet benchmark-pad --preset demo --out runs/padding
	$(BIN)/hrdet benchmark-syncbn

faults: $(INSTALLED) ## Break runs, files and input on purpose and count what is not stood (hours)
	$(BIN)/python -m tests.faults

clean: ## Remove the environment, caches and demo runs
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist runs/demo runs/demo-data runs/demo-batches runs/padding
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
