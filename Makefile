.PHONY: run authors lint check test soak conformance format bench openapi

PYTHON ?= python3

run: .venv/bin/chengma
	.venv/bin/chengma demo $(ARGS)

authors: .venv/bin/chengma
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-authors.lock

lint: .venv/.tests
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/basedpyright
	.venv/bin/lint-imports

check: lint
	.venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal --fast

test: lint
	.venv/bin/python -m pytest --numprocesses 3 --dist loadfile --ignore tests/city/under_load
	.venv/bin/python -m pytest tests/city/under_load  # runs alone, because it measures the city under load

soak: .venv/.tests
	.venv/bin/python -m tests.soak

conformance: .venv/.tests
	.venv/bin/python -m tests.foreign_samples $(FOLDER)

bench: .venv/.tests
	.venv/bin/python -m tests.bench

openapi: .venv/bin/chengma
	.venv/bin/chengma openapi > openapi/openapi.yaml

format: .venv/.tests
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

.venv/.runtime: requirements.lock
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'Chengma needs Python 3.11 or later'"
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

.venv/bin/chengma: .venv/.runtime
	@printf '#!/bin/sh\nPYTHONPATH="%s" exec "%s/.venv/bin/python" -m backend "$$@"\n' "$(CURDIR)" "$(CURDIR)" > $@
	@chmod +x $@

.venv/.tests: .venv/.runtime requirements-test.lock
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@
