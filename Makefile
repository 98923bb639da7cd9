# Two commands do everything: `make demo` and `make test`. Needs Python ≥ 3.11, git and make.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SECONDS ?= 0

.PHONY: help demo test check format lock vectors types bench campaign clean
help: ## Show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Tocsin needs Python 3.11 or newer; none was found on the PATH." >&2; exit 1; }
	@echo "Setting up $(VENV): a minute or so, this once"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## Three countries, three Kafka clusters, real incidents; SECONDS=60 ends by itself
	@$(BIN)/python -m deploy.demo --seconds $(SECONDS)

test: $(READY) ## Every test, on real Apache Kafka and PostgreSQL
	$(BIN)/python -m pytest

check: $(READY) ## Formatting, lint, types, import contracts, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python schemas/generate_types.py --check

format: $(READY) ## Format and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(READY) ## Generate the typed classes from the schema
	$(BIN)/python schemas/generate_types.py

vectors: $(READY) ## Write the conformance vectors anew from their fixed inputs
	$(BIN)/python -m schemas.vectors.generate
	$(BIN)/python -m schemas.vectors.generate_policy

bench: $(READY) ## Benchmarks against the libraries' own limits, as table and JSON
	$(BIN)/python -m tests.bench

campaign: $(READY) ## The slow campaigns: many kills, many examples
	TOCSIN_CAMPAIGN=1 $(BIN)/python -m pytest -m "slow or not slow" --timeout 3600

lock: ## Pin every dependency with its hashes (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate --all-extras --python-version 3.11 \
		pyproject.toml -o requirements.lock --quiet

clean: ## Remove what these targets made, but not downloaded jars
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
