# Everything a checkout needs, by name. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Certificates of the system, as pip uses them.
UV := UV_SYSTEM_CERTS=1 $(BIN)/uv
REQUIREMENTS := pyproject.toml --group dev --group bench --no-header --no-annotate
LOCKED := --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links
# What builds the documentation, apart from everything else.
SITE := .venv-docs
PORT ?= 8000
# Two more than the cores of a small machine: many tests wait for other processes.
JOBS ?= 4
SIDE_BY_SIDE = --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install lock demo test test-newest test-lowest check lint types imports format bench image gpu-check soak faults docs docs-pages docs-serve clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

install: $(INSTALLED) ## Make .venv, with the versions of requirements.lock, and install hrdet into it

$(INSTALLED): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit("hrdet needs Python 3.11 or newer; run: make PYTHON=python3.11 install" if sys.version_info < (3, 11) else 0)'
	@echo 'Installing into $(VENV): packages of requirements.lock, torch with CUDA among them (3.2 GB to download, 6 GB on disk)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

lock: $(BIN)/uv ## Renew requirements.lock and requirements-docs.lock: the newest versions that pyproject.toml allows
	$(UV) pip compile --quiet $(REQUIREMENTS) $(LOCKED) --output-file $(VENV)/lock
	(echo '# What make install installs; make lock renews it.'; cat $(VENV)/lock) > requirements.lock
	$(UV) pip compile --quiet --group docs --no-header --no-annotate $(LOCKED) --output-file $(VENV)/lock-docs
	(echo '# What make docs installs into $(SITE); make lock renews it.'; cat $(VENV)/lock-docs) > requirements-docs.lock

$(BIN)/uv:
	$(MAKE) install

demo: $(INSTALLED) ## Train, evaluate and picture the small HRNet on built-in data (about four minutes)
	$(BIN)/hrdet inspect-batch --preset demo --out runs/demo-batches
	$(BIN)/hrdet train --preset demo --run-dir runs/demo --overwrite
	$(BIN)/hrdet eval runs/demo

test: $(INSTALLED) ## Run the tests, JOBS=4 at a time; TESTS=tests/unit for some of them
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

test-newest: $(INSTALLED) ## Run the tests in .venv-newest, with the newest versions there are
	$(call make_environment,.venv-newest,highest)
	.venv-newest/bin/python -m pytest $(SIDE_BY_SIDE) $(TESTS)

test-lowest: $(INSTALLED) ## Run the tests in .venv-lowest, with the lowest versions that pyproject.toml allows
	$(call make_environment,.venv-lowest,lowest-direct)
	.venv-lowest/bin/python -m pytest -W ignore::DeprecationWarning $(SIDE_BY_SIDE) $(TESTS)

# Arguments: folder, and which of all fitting versions uv is to choose. What it chose is in the folder.
define make_environment
	$(PYTHON) -m venv --without-pip $(1)
	$(UV) pip compile --quiet --python $(1)/bin/python $(REQUIREMENTS) --upgrade --resolution $(2) --no-build \
	    --output-file $(1)/requirements.txt
	$(UV) pip sync --quiet --compile-bytecode --python $(1)/bin/python $(1)/requirements.txt
	$(UV) pip install --quiet --python $(1)/bin/python --no-deps --no-build-isolation --editable .
endef

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
	$(BIN)/python -m tests.benchmarks.jitter_canvases
	$(BIN)/python -m tests.benchmarks.pixel_changes
	$(BIN)/python -m tests.benchmarks.augmented_path
	$(BIN)/python -m tests.benchmarks.loading
	$(BIN)/python -m tests.benchmarks.scoring
	$(BIN)/python -m tests.benchmarks.step_time
	$(BIN)/python -m tests.benchmarks.family_step
	$(BIN)/python -m tests.benchmarks.feature_layout
	$(BIN)/python -m tests.benchmarks.precision_step
	$(BIN)/python -m tests.benchmarks.step_memory
	$(BIN)/python -m tests.benchmarks.valid_statistics
	$(BIN)/python -m tests.benchmarks.checkpoint_cost
	$(BIN)/python -m tests.benchmarks.gradient_exchange
	$(BIN)/python -m tests.benchmarks.process_variables
	$(BIN)/hrdet benchmark-pad --preset demo --out runs/padding
	$(BIN)/hrdet benchmark-syncbn

image: ## Build the container image hrdet:VERSION, where docker is
	docker build --tag hrdet:$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) .

gpu-check: $(INSTALLED) ## Run the tests for GPUs and measure steps, waits and data on this machine's GPU (eight minutes)
	$(BIN)/python -m tests.gpu_check

soak: $(INSTALLED) ## Train 1,500 steps in two processes and fail if memory, descriptors, threads or shared memory grow
	$(BIN)/python -m tests.faults.soak

faults: $(INSTALLED) ## Break runs, files and input on purpose and count what is not stood (hours)
	$(BIN)/python -m tests.faults

docs: $(SITE)/.installed ## Build the documentation into site/, to be opened from there (its search needs docs-serve)
	$(SITE)/bin/zensical build --clean --strict

docs-serve: docs ## Build the documentation and show it at http://127.0.0.1:8000, with its search; PORT=8001 for another port
	$(SITE)/bin/python -m http.server --bind 127.0.0.1 --directory site $(PORT)

docs-pages: $(INSTALLED) ## Make the pages of docs/reference: commands, spec, presets, exit codes
	$(BIN)/python -m docs.generator

$(SITE)/.installed: requirements-docs.lock
	$(PYTHON) -m venv $(SITE)
	$(SITE)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-docs.lock
	touch $@

clean: ## Remove the environment, caches and demo runs
	rm -rf $(VENV) .venv-newest .venv-lowest $(SITE) site .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist runs/demo runs/demo-data runs/demo-batches runs/padding
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
