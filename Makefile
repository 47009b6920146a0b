# `make demo` and `make test` do all the set-up; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UI_STAMP := $(VENV)/.ui-installed
DIST_STAMP := $(VENV)/.dist-installed
DOCS_STAMP := $(VENV)/.docs-installed
MUTANTS_STAMP := $(VENV)/.mutants-installed
# What each environment has.
GROUPS := --group test --group lint --group interop

.DEFAULT_GOAL := help
.PHONY: help demo test lint format fuzz mutants e2e compose-env compose-down test-compose test-ui screenshots reliability bench bench-quick dist release-check docs matrix matrix-pins constraints clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(STAMP): pyproject.toml constraints.txt
	@echo "== setting up $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 …") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt $(GROUPS) --editable .
	@touch $@

$(UI_STAMP): $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt $(GROUPS) --group ui --editable .
	@touch $@

$(DIST_STAMP): $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt $(GROUPS) --group dist --editable .
	@touch $@

$(DOCS_STAMP): $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt $(GROUPS) --group ui --group docs --editable .
	@touch $@

$(MUTANTS_STAMP): $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt $(GROUPS) --group mutants --editable .
	@touch $@

demo: $(STAMP)  ## run the example DAGs on a real Airflow against the local org
	@$(BIN)/python -m demo

lint: $(STAMP)  ## ruff, mypy, and which module may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(STAMP)  ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: lint  ## lint, then the unit, integration and interoperation tests with branch coverage
	@$(BIN)/python -m pytest --numprocesses auto --cov

fuzz: $(STAMP)  ## the property tests, with 1,500 examples each
	@$(BIN)/python -m pytest tests/unit -k test_any_ --hypothesis-profile=thorough

mutants: $(MUTANTS_STAMP)  ## mutation tests of what decides about retries, hosts and tokens (15 to 30 minutes)
	@$(BIN)/python -m tests.mutants

e2e: $(STAMP)  ## the tests that take a whole Airflow
	@$(BIN)/python -m pytest tests/e2e

test-ui: $(UI_STAMP)  ## the connection form, the extra link and the local org's page in a real Chromium
	@if $(BIN)/python -m tests.ui.chromium; then $(BIN)/python -m pytest tests/ui; fi

screenshots: $(UI_STAMP)  ## the same, and keep the screenshots for the docs
	@$(BIN)/python -m tests.ui.chromium
	@$(BIN)/python -m pytest tests/ui --screenshots docs/images

compose-env:  ## write .env for docker compose, with fresh random keys and free ports
	@$(PYTHON) compose/environment.py

compose-down:  ## take down what docker compose has started, with all that it has kept, and its image
	@docker compose --file docker-compose.yaml --file docker-compose.celery.yaml down --volumes --remove-orphans
	@docker image rm --force airflow-okta-workflows:3.3.2

test-compose: $(STAMP)  ## both stacks of docker compose, up, used and down again; needs a Docker engine
	@$(BIN)/python -m pytest tests/compose

reliability: $(STAMP)  ## play every fault and all that happens to tasks, and write the tables in docs/reliability.md
	@$(BIN)/python -m docs.tables.tries docs/reliability.md
	@$(BIN)/python -m docs.tables.status_tries docs/reliability.md
	@$(BIN)/python -m docs.tables.faults docs/reliability.md

bench: $(STAMP)  ## measure this provider beside its peers, and write docs/performance.md (about 30 minutes)
	@$(BIN)/python -m benchmarks

bench-quick: $(STAMP)  ## the same in a small form, which shows only that every row works
	@$(BIN)/python -m benchmarks --quick

# The files bear the date of the last commit, or without git always the same one: the same sources give the same bytes.
dist: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1580601600)
dist: $(DIST_STAMP)  ## build sdist and wheel into dist/, check them, and use the wheel beside Airflow alone
	@rm -rf dist
	@$(BIN)/uv build --quiet --python $(BIN)/python --build-constraints constraints.txt
	@$(BIN)/python -m pytest tests/distribution

release-check: $(DIST_STAMP)  ## check that the last commit can be released: version, changelog, builds, SBOM, licenses
	@$(BIN)/python -m release

docs: $(DOCS_STAMP)  ## build the documentation as a site into site/, follow each of its links, and read it in Chromium
	@$(BIN)/properdocs build --strict --config-file mkdocs.yml
	@$(BIN)/python -m tests.ui.chromium || true
	@$(BIN)/python -m pytest tests/docs_site

matrix: $(STAMP)  ## the suite against the wheel on each supported Airflow and Python; writes docs/compatibility.md
	@$(BIN)/python -m tests.matrix

matrix-pins: $(STAMP)  ## resolve the versions that each environment of the matrix installs
	@$(BIN)/python -m tests.matrix --pins

constraints: $(STAMP)  ## take the newest releases of all that the tests need into constraints.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate $(GROUPS) --group ui --group dist --group docs --group mutants \
		--upgrade --output-file constraints.txt pyproject.toml
	@$(BIN)/uv pip freeze --python $(BIN)/python | grep '^uv==' >> constraints.txt

clean:  ## remove what the targets have made
	rm -rf $(VENV) .matrix .bench .demo .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build site mutants
