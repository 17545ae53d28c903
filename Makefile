# What people type. Needs Python and pip; `make test` also takes a JDK, Maven, Chromium and PostgreSQL, and installs them where it may.
PYTHON ?= python3
VENV := .venv
DEMO_VENV := .venv-demo
ENGINE ?= embedded
# Spark's packages are large and need Java: the demo takes the tests' environment for them, and stays small without.
DEMO := $(if $(filter spark,$(ENGINE)),$(VENV),$(DEMO_VENV))
BIN := $(VENV)/bin
PIP := -m pip --disable-pip-version-check --quiet
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n $(WORKERS)
# Both kinds of session in one run, so that they share a JVM.
SPARK := --engine=spark --engine=connect

.DEFAULT_GOAL := help
.PHONY: help audit demo test test-fast test-all test-minimums lint format docs lock bench clean servers

help:  ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(DEMO)/.installed  ## The shop example, from PostgreSQL to a star schema; on Spark with ENGINE=spark. Ctrl-C stops its servers too
	$(DEMO)/bin/python examples/shop/shop.py --engine $(ENGINE)

test: $(VENV)/.installed .venv-airflow/.installed servers lint docs  ## What must pass before a merge: lint, docs, doctests, all tests but the slow ones
	$(PYTEST) $(PARALLEL) -m "not spark and not slow" --doctest-modules src tests
	$(PYTEST) $(PARALLEL) $(SPARK) -m "spark and not slow"

test-fast: $(VENV)/.installed  ## Unit tests and doctests: no servers, under a minute
	$(PYTEST) $(PARALLEL) -m "not server and not spark and not slow" --hypothesis-profile=fast --doctest-modules src tests/unit

test-all: $(VENV)/.installed .venv-airflow/.installed .venv-orchestrators/.installed servers lint docs  ## Everything, the slow tests too, and twenty times the examples of the property tests
	$(PYTEST) $(PARALLEL) -m "not spark" --hypothesis-profile=thorough --doctest-modules src tests
	$(PYTEST) $(PARALLEL) $(SPARK) -m spark --hypothesis-profile=thorough
	$(MAKE) test-minimums

test-minimums: servers .venv-spark-3.5/.installed .venv-spark-4.0/.installed  ## The contract on the oldest Spark there is, and a sample of it on the next
	.venv-spark-3.5/bin/python -m pytest $(PARALLEL) --engine=spark -m spark tests/contract
	.venv-spark-4.0/bin/python -m pytest $(PARALLEL) --engine=connect -m "spark and not slow" tests/contract

lint: $(VENV)/.installed  ## ruff, pyright, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed  ## Let ruff format and fix what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: $(VENV)/.installed  ## The documentation, into site/; a broken link is an error
	$(BIN)/zensical build --strict --clean

audit: $(VENV)/.installed  ## Known vulnerabilities of what is pinned. Asks the package index's advisories
	$(BIN)/uv tool run pip-audit --requirement requirements/dev.txt --no-deps --disable-pip

bench: $(VENV)/.installed  ## The benchmarks
	$(BIN)/python -m benchmarks

lock: $(VENV)/.installed  ## Pin the newest versions that pyproject.toml allows
	$(call compile,requirements/dev.txt,--extra all --group dev)
	$(call compile,requirements/demo.txt,--extra postgres --extra mongo --extra kafka --group demo --constraint requirements/dev.txt)
	$(call compile,requirements/airflow.txt,--extra postgres --extra mongo --extra kafka --group airflow)
	$(call compile,requirements/orchestrators.txt,--extra postgres --group orchestrators)

clean:  ## Remove everything that the other commands made
	rm -rf $(VENV) $(DEMO_VENV) .venv-airflow .venv-orchestrators .venv-spark-* site build dist .cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# For every Python at once, and without addresses: where packages come from is the business of whoever installs them.
define compile
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-emit-index-url --no-annotate \
	  --custom-compile-command "make lock" pyproject.toml $(2) --output-file $(1)
endef

$(VENV)/.installed: requirements/dev.txt pyproject.toml
	$(call install,$(VENV),$<)

$(DEMO_VENV)/.installed: requirements/demo.txt pyproject.toml
	$(call install,$(DEMO_VENV),$<)

.venv-airflow/.installed: requirements/airflow.txt pyproject.toml
	$(call install,.venv-airflow,$<)

.venv-orchestrators/.installed: requirements/orchestrators.txt pyproject.toml
	$(call install,.venv-orchestrators,$<)

# Everything as pinned, but Spark.
.venv-spark-%/.installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv-spark-$*
	grep -v -e '^pyspark' -e '^py4j' requirements/dev.txt >.venv-spark-$*/requirements.txt
	.venv-spark-$*/bin/python $(PIP) install uv
	.venv-spark-$*/bin/python -m uv pip install --quiet --python .venv-spark-$*/bin/python --requirement .venv-spark-$*/requirements.txt 'pyspark==$*.*'
	.venv-spark-$*/bin/python -m uv pip install --quiet --python .venv-spark-$*/bin/python --no-deps --editable .
	@touch $@

# By uv, which pip installs: pip itself takes five times as long.
define install
	$(PYTHON) -m venv $(1)
	$(1)/bin/python $(PIP) install uv
	$(1)/bin/python -m uv pip install --quiet --python $(1)/bin/python --requirement $(2)
	$(1)/bin/python -m uv pip install --quiet --python $(1)/bin/python --no-deps --editable .
	@touch $@
endef

# What the tests start. As root on Debian it installs what is missing, without a running server: each test process has its own.
servers:
	@missing=; \
	command -v java >/dev/null || missing="$$missing default-jdk-headless"; \
	command -v mvn >/dev/null || missing="$$missing maven"; \
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || missing="$$missing chromium"; \
	root_on_debian=; if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then root_on_debian=yes; fi; \
	if [ "$$root_on_debian" ] && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then missing="$$missing postgresql"; fi; \
	if [ "$$missing" ] && [ ! "$$root_on_debian" ]; then \
	  echo "The tests on Spark, Kafka, MongoDB and a REST catalog need a JDK (17 or 21) and Maven, those of the report Chromium: install them, or run 'make test-fast'." >&2; exit 1; \
	fi; \
	if [ "$$missing" ]; then \
	  mkdir -p /etc/postgresql-common && touch /etc/postgresql-common/createcluster.conf; \
	  grep -q '^create_main_cluster' /etc/postgresql-common/createcluster.conf || echo 'create_main_cluster = false' >>/etc/postgresql-common/createcluster.conf; \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; } || \
	  { [ "$$missing" = " postgresql" ] && echo "Going on with the PostgreSQL that came by pip." >&2; }; \
	fi
