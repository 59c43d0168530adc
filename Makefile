# Everyday commands. `make` lists them. All of them work in .venv, which the first one creates.

VENV := .venv
BIN := $(VENV)/bin
MODULES := tests
BENCHMARK := receive

.DEFAULT_GOAL := help
.PHONY: help test lint format docs pictures changelog bench ci clean

help: ## List the targets.
	@sed -nE 's/^([a-z]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | column -t -s '|'

$(BIN)/trial: setup.cfg
	python3 -m venv $(VENV)
	$(BIN)/pip install -q -e '.[test]'
	@touch $@

$(BIN)/sphinx-build: setup.cfg $(BIN)/trial
	$(BIN)/pip install -q -e '.[docs]'
	@touch $@

test: $(BIN)/trial ## Run the tests; MODULES=tests.unit runs one kind.
	$(BIN)/trial $(MODULES)

lint: $(BIN)/trial ## Check style and types: ruff and mypy.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(BIN)/trial ## Rewrite the code in the style of the project.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BIN)/sphinx-build ## Build the documentation in build/docs; warnings are errors.
	$(BIN)/sphinx-build -W --keep-going -b html docs build/docs
	@echo "open build/docs/index.html"

pictures: $(BIN)/trial ## Draw the pictures of the documentation again.
	$(BIN)/python -m tests.pictures

changelog: $(BIN)/sphinx-build ## Show the changes of the next release.
	$(BIN)/towncrier build --draft --version next

bench: $(BIN)/trial ## Run one benchmark; BENCHMARK=pop3_retr chooses it.
	$(BIN)/python -m benchmarks.$(BENCHMARK)

ci: ## Run everything that CI runs, from a clean clone.
	.ci/run

clean: ## Remove what the other targets made, except the virtual environment.
	rm -rf build _trial_temp* .coverage .coverage.* .hypothesis .mypy_cache .ruff_cache
