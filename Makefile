# What a change is checked with (CONTRIBUTING.md, "The loop"). `.ci/run` and .github use the same targets.
#
#   make unit ARGS="-k roster"       more words for pytest
#   make unit VENV=/some/venv        an environment that is there; `.venv` is made if it is missing
#   make device PATIENCE=3           three times as long for whatever is waited for, on a slow or busy machine

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PYTEST = $(BIN)/pytest $(ARGS)
# Tests with whole services wait more than they compute: three for two cores.
CORES = $(shell $(PYTHON) -c 'import os; print(os.cpu_count() or 1)')
WAITING = -n $(shell expr \( $(CORES) \* 3 + 1 \) / 2)

.PHONY: check style types unit device agents e2e bench docs demo

check: style types unit

style: $(BIN)/ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(BIN)/ruff
	$(BIN)/mypy

unit: $(BIN)/ruff
	$(PYTEST) -n auto -m unit

device: $(BIN)/ruff
	$(PYTEST) $(WAITING) -m device

agents: $(BIN)/ruff
	$(PYTEST) $(WAITING) -m agents

# Both kinds in one run, as .ci/run does: each run waits for its last test.
e2e: $(BIN)/ruff
	$(PYTEST) $(WAITING) -m e2e

docs: $(BIN)/ruff
	$(PYTEST) tests/test_docs.py tests/contracts/test_backend_example.py

# One after the other: each wants the machine for itself. Those that miss a target end with status 1.
bench: $(BIN)/ruff
	@failed=; for each in tests/bench/bench_*.py; do \
		name=$$(basename $$each .py); echo "== $$name"; $(BIN)/python -m tests.bench.$$name || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "missed:$$failed"; exit 1; }

demo: $(BIN)/ruff
	$(BIN)/agent demo

$(BIN)/ruff:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[dev]'
