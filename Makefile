.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
PYTHON ?= python3
RUN := .venv/bin
STAMP := .venv/.installed
MEMBERS := libs/common $(sort $(wildcard services/*)) deploy/standalone
PYPROJECTS := pyproject.toml $(MEMBERS:%=%/pyproject.toml)
# The machine's own certificates, as pip uses: an office that inspects traffic has its root there.
UV := UV_NO_PROGRESS=1 UV_SYSTEM_CERTS=1 $(RUN)/uv
# Where pip was told of a mirror, uv asks the same one.
INDEX = $$(url=$$($(RUN)/pip config get global.index-url 2>/dev/null || printf %s "$$PIP_INDEX_URL"); [ -z "$$url" ] || printf -- '--default-index %s' "$$url")
CHECKS := check-format check-lint check-types check-imports check-dependencies check-lock check-secrets check-ledger check-api

.PHONY: help setup run demo test test-kafka test-faults test-compose check bench chaos chaos-full features api-docs lock fmt clean $(CHECKS)

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP)  ## Make .venv and install everything from the lock (needs Python 3.11 with venv, nothing else)
	@echo "setup: .venv is ready"

run: $(STAMP)  ## Start a country on this machine and stay in the foreground; Ctrl-C ends it. ARGS="--country RS --empty"
	@exec $(RUN)/prag up $(ARGS)

demo: $(STAMP)  ## Tell the story of two countries and a hub step by step and check each step
	@exec $(RUN)/prag demo $(ARGS)

test: $(STAMP)  ## All tests that need no Java; ARGS="-k accept" narrows them
	@$(RUN)/pytest $(ARGS); code=$$?; \
	echo "Left out: the tests on a real Kafka broker and a real Keycloak (make test-kafka), those for minutes on cut wires and full disks (make test-faults). Skipped tests, if any, are listed above with their reason."; \
	exit $$code

test-kafka: $(STAMP) build/kafka.jsa build/keycloak  ## The tests on a real Kafka broker and a real Keycloak (needs Java 17 and Maven)
	@exec $(RUN)/pytest -m "(kafka or keycloak) and not faults" $(ARGS)

test-faults: $(STAMP) build/kafka.jsa  ## More wires cut and disks filled under load, for minutes (Kafka as above; Linux, root)
	@exec $(RUN)/pytest -m faults $(ARGS)

build/kafka:
	@command -v java > /dev/null && command -v mvn > /dev/null || { \
	  echo "make test-kafka needs Java 17 and Maven. On Debian and Ubuntu: apt install openjdk-17-jre-headless maven" >&2; exit 2; }
	@echo "test-kafka: fetching the broker"
	@$(RUN)/python -c 'from tests.kafka import fetch_jars; fetch_jars()'

build/kafka.jsa: | build/kafka
	@echo "test-kafka: keeping what the broker loads at its start"
	@$(RUN)/python -c 'from tests.kafka import keep_classes; keep_classes()'

build/keycloak: | build/kafka
	@echo "test-kafka: fetching Keycloak"
	@$(RUN)/python -c 'from tests.keycloak import fetch; fetch()'

test-compose: $(STAMP)  ## docker-compose.yml really built and run in containers by podman (needs Linux, root, Debian's packages)
	@exec $(RUN)/pytest -s -o faulthandler_timeout=1200 tests/compose $(ARGS)

check: $(STAMP) $(CHECKS)  ## Format, lint, types, import rules, dependencies, lock, secrets, ledger, API files
	@echo "check: all passed"

bench: $(STAMP)  ## The benchmark beside its reference implementations; writes bench/latest.json. ARGS="--only create --rounds 2" for a part
	@exec $(RUN)/python -m bench $(ARGS)

chaos: $(STAMP) build/kafka.jsa  ## Two countries and a hub on Kafka and PostgreSQL, killed 60 times during handovers. ARGS="--seed 7 --rounds 4"
	@exec $(RUN)/python -m tests.chaos $(ARGS)

chaos-full: $(STAMP) build/kafka.jsa  ## The same with 240 kills, and a hub that is away while 50,000 letters wait
	@$(RUN)/python -m tests.chaos --rounds 80 $(ARGS)
	@exec $(RUN)/pytest tests/system/test_cut_hub.py --letters 50000

features: $(STAMP)  ## Write docs/features.md and the README's list from docs/ledger.json and the tests' row markers
	@$(RUN)/python -m tests.ledger --write

api-docs: $(STAMP)  ## Write docs/api/ from the services' code
	@$(RUN)/python -m tests.contracts.openapi --write

lock: $(STAMP)  ## Compile requirements.lock anew (asks the package index). ARGS="--upgrade" takes newer versions
	@echo "lock: compiling requirements.lock"
	@$(UV) pip compile -q --generate-hashes --universal --no-emit-index-url --no-emit-find-links \
	  --no-header --no-annotate --python-version 3.11 $(INDEX) \
	  $(foreach name,common intake referral reintegration analytics standalone,--no-emit-package prag-$(name)) \
	  --group dev $(ARGS) pyproject.toml -o requirements.lock

fmt: $(STAMP)  ## Format the code and mend what the linter can mend
	@$(RUN)/ruff format
	@$(RUN)/ruff check --fix

clean:  ## Remove .venv, build/ and caches; data in .prag/ stay
	rm -rf .venv build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find libs services deploy tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# A venv that was left half made, or whose Python is gone, is made anew; otherwise only what changed is installed.
$(STAMP): requirements.lock $(PYPROJECTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Prag needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1). Name another: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "'$(PYTHON)' has no venv module. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(RUN)/python -c '' 2>/dev/null && test -x $(RUN)/uv || { echo "setup: making .venv with $$($(PYTHON) --version)"; $(PYTHON) -m venv --clear .venv && \
	  awk '/^uv==/ {on = 1; print; next} on && /^ / {print; next} {on = 0}' requirements.lock > .venv/uv.txt && \
	  $(RUN)/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r .venv/uv.txt; }
	@echo "setup: installing $$(grep -c == requirements.lock) packages from requirements.lock"
	@$(UV) pip install -q --python $(RUN)/python $(INDEX) --compile-bytecode --require-hashes -r requirements.lock
	@echo "setup: installing $(words $(MEMBERS)) members from this checkout"
	@$(UV) pip install -q --python $(RUN)/python --offline --no-deps --no-build-isolation $(MEMBERS:%=-e %)
	@$(RUN)/python -m compileall -q $(MEMBERS:%=%/src)
	@touch $@

check-format: $(STAMP)
	@echo "check: format"
	@$(RUN)/ruff format --check --quiet --output-format concise

check-lint: $(STAMP)
	@echo "check: lint"
	@$(RUN)/ruff check --quiet

check-types: $(STAMP)
	@echo "check: types"
	@$(RUN)/mypy --no-error-summary

check-imports: $(STAMP)
	@echo "check: import rules"
	@mkdir -p build && $(RUN)/lint-imports > build/imports.txt 2>&1 || { cat build/imports.txt; exit 1; }

check-dependencies: $(STAMP)
	@echo "check: dependencies"
	@mkdir -p build; for member in $(MEMBERS); do (cd $$member && "$(CURDIR)/$(RUN)/deptry" src --no-ansi > "$(CURDIR)/build/deptry.txt" 2>&1) \
	  || { echo "$$member:"; cat build/deptry.txt; failed=1; }; done; exit $${failed:-0}
	@$(UV) pip check -q --python $(RUN)/python || $(UV) pip check --python $(RUN)/python

check-lock: $(STAMP)
	@echo "check: lock"
	@$(RUN)/python -m tests.lock

# Named by git, so that data folders and environments are never read; a fixture's secret is marked in its own line.
check-secrets: $(STAMP)
	@echo "check: secrets"
	@if git rev-parse --git-dir > /dev/null 2>&1; then \
	  git ls-files -z --cached --others --exclude-standard | xargs -0 $(RUN)/detect-secrets-hook --no-verify --exclude-files '^(requirements\.lock|tests/contracts/releases/.*)$$'; \
	  else echo "  left out: this is no git checkout"; fi

check-ledger: $(STAMP)
	@echo "check: ledger"
	@$(RUN)/python -m tests.ledger --check $(ARGS)
	@test -f build/ledger-run.json || echo "  left out: whether a test of each row ran (make test has not run yet)"

check-api: $(STAMP)
	@echo "check: API files"
	@if test -f tests/contracts/openapi.py; then $(RUN)/python -m tests.contracts.openapi --check; \
	  else echo "  left out: tests/contracts/openapi.py does not exist yet"; fi
