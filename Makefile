# Everything people do here. `make bench` and `make test` need nothing else to have been done first.
PYTHON ?= python3
export PYTHON
BIN := .venv/bin

# What measures has the machine to itself. What runs `bench` beside other tests does so one after the other: it
# clears what killed runs left in the Docker engine, as some are there to see.
ALONE := tests/integration/test_calibrate.py tests/integration/test_capacity.py tests/integration/test_sweep.py tests/e2e
ASIDE := $(wildcard tests/integration/test_compose*.py) tests/integration/test_namespaces.py tests/e2e/test_command_line.py

.PHONY: help setup bench test servers serving lint unit aside integration e2e benchmarks format clean
help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## the virtual environment and the system packages
	@./setup.sh
	@$(BIN)/bench doctor --install --quiet

bench: setup  ## run the quick profile on all three generations and show the result
	@$(BIN)/bench run profiles/quick.yaml

test: setup  ## lint, unit, integration and end-to-end tests
	@$(BIN)/bench doctor --install --quiet --for tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target servers lint unit aside
	@$(BIN)/pytest $(ALONE) $(ASIDE:%=--ignore=%)

# The longest of those: its lines are let through as they come, and the others take turns beside it.
servers: setup
	@$(MAKE) --no-print-directory --output-sync=none serving

serving:
	@$(BIN)/pytest tests/integration $(patsubst %,--ignore=%,$(ALONE) $(ASIDE))

lint: setup  ## ruff, mypy strict, import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

unit: setup  ## the tests that start nothing
	@$(BIN)/pytest tests/unit

aside: setup
	@$(BIN)/pytest $(ASIDE)

integration: setup  ## the tests against real servers, one part at a time
	@$(BIN)/pytest tests/integration

e2e: setup  ## the whole river
	@$(BIN)/pytest tests/e2e

benchmarks: setup  ## beside Locust, k6, wrk and Tsung: speed, error, memory (PART=throughput: one part; ROUNDS, SECONDS, MINUTES)
	@$(BIN)/bench doctor --install --quiet --for benchmarks
	@$(BIN)/python -m tests.benchmarks $(PART) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(MINUTES),--minutes $(MINUTES))

format: setup  ## let ruff mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

clean:  ## remove the virtual environment and caches (never results)
	rm -rf .venv .hypothesis .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .grimp_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
