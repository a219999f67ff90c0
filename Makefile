# Everything a contributor needs. `make run` and `make test` set themselves up on a machine that has Python 3.11 and make.

.DEFAULT_GOAL := help
.PHONY: help run test test-real backends backends-stop conformance bench bench-real check gen lock clean

help:                    ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1	\2/p' Makefile | expand -t 20

run: .venv/.runtime      ## serve everything from one process; needs nothing else on this machine
	@exec .venv/bin/stonechat serve

test: .venv/.dev         ## every test that needs no external back end
	@.venv/bin/pytest -m "not real"

test-real: .venv/.dev    ## every test on the real back ends, which `make backends` starts
	@.venv/bin/pytest -m real

backends:                ## start real Kafka, Cassandra, MariaDB, Redis, ZooKeeper here: no docker, loopback only, as root
	@backends/run start kafka cassandra mariadb redis zookeeper
	@backends/run status
	@echo 'To test on them: make test-real'
	@echo 'To serve on them: README.md, "Real back ends"'
	@echo 'To end them: make backends-stop. What else there is: backends/run help'

backends-stop:           ## end them; what they have stored stays
	@backends/run stop

conformance: .venv/.dev  ## check every promise on every surface; writes the table in README.md
	@.venv/bin/python -m tools.conformance

bench: .venv/.dev        ## measure the embedded default, in under five minutes
	@.venv/bin/python -m bench all

bench-real: .venv/.dev   ## measure it on real back ends of its own, in one process and in three; about ten minutes
	@tools/bench_real.sh

check: .venv/.dev        ## style, types, floors, contracts, generated code
	@echo "== Style: ruff"
	@.venv/bin/ruff check --quiet --output-format concise .
	@.venv/bin/ruff format --check --quiet .
	@echo "== Types: mypy"
	@.venv/bin/mypy
	@echo "== Floors: import-linter"
	@.venv/bin/lint-imports --no-logo
	@echo "== Contracts: buf lint, buf breaking"
	@.venv/bin/python -m tools.check_protos
	@echo "== Generated code is fresh"
	@.venv/bin/python -m tools.gen --check

gen: .venv/.dev          ## write gen/ anew from protos/
	@.venv/bin/python -m tools.gen

# Pins stay where pyproject.toml lets them; `make lock UPGRADE=--upgrade` moves them all to the newest.
LOCK = .venv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-header --quiet $(UPGRADE)
lock: .venv/.dev         ## pin what pyproject.toml asks for in requirements*.txt
	@$(LOCK) --group build --output-file requirements.txt
	@$(LOCK) --group build --group dev --constraint requirements.txt --output-file requirements-dev.txt

clean:                   ## remove .venv and what the tools have cached
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One .venv for both sets: requirements-dev.txt holds all of requirements.txt at the same versions.

.venv/bin/python:
	@sh tools/venv.sh

.venv/.runtime: requirements.txt pyproject.toml | .venv/bin/python
	@echo "Setting up .venv to run Stonechat (about 20 s, once) …"
	@.venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.txt
	@.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements-dev.txt pyproject.toml | .venv/bin/python
	@echo "Setting up .venv to work on Stonechat (about 40 s, once) …"
	@.venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements-dev.txt
	@.venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch .venv/.runtime $@
