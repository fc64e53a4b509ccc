# Everything people do here. `make bench` and `make test` need nothing else to have been done first.
PYTHON ?= python3
export PYTHON
BIN := .venv/bin

.PHONY: help setup bench test lint unit integration e2e benchmarks format clean
help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## the virtual environment and the system packages
	@./setup.sh
	@$(BIN)/bench doctor --install --quiet

bench: setup  ## run the quick profile on all three generations and show the result
	@$(BIN)/bench run profiles/quick.yaml

test:  ## lint, unit, integration and end-to-end tests
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target lint unit
	@$(BIN)/bench doctor --install --quiet --for tests
	@$(BIN)/pytest tests/integration tests/e2e

lint: setup  ## ruff, mypy strict, import contracts
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

unit: setup  ## the tests that start nothing
	@$(BIN)/pytest tests/unit

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
