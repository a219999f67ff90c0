# Everything a contributor needs. `make run` and `make test` set themselves up on a machine that has Python 3.11 and make.

.DEFAULT_GOAL := help
.PHONY: help run test check gen lock clean

help:                        ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' Makefile | expand -t 16

run: .venv/.runtime          ## start everything in one process, with nothing else installed
	@exec .venv/bin/stonechat serve

test: .venv/.dev             ## every test that needs nothing from outside
	.venv/bin/pytest

gen: .venv/.dev              ## generate gen/ from protos/
	.venv/bin/python -m tools.gen

clean:                       ## remove .venv and what tools have cached
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One .venv for both sets: requirements-dev.txt holds all of requirements.txt at the same versions.

.venv/bin/python:
	@sh tools/venv.sh

.venv/.runtime: requirements.txt pyproject.toml | .venv/bin/python
	@echo "Setting up .venv to run (about 20 s, once) …"
	@.venv/bin/pip install --quiet --no-deps --require-hashes --requirement requirements.txt
	@.venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements-dev.txt pyproject.toml | .venv/bin/python
	@echo "Setting up .venv to develop (about 40 s, once) …"
	@.venv/bin/pip install --quiet --no-deps --require-hashes --requirement requirements-dev.txt
	@.venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch .venv/.runtime $@
