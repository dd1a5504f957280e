# Everything runs from .venv, made from the hash-locked requirements.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
LOCK := infra/bootstrap.lock requirements.lock pyproject.toml

.PHONY: demo test check bench scale faults soak atlas lock clean

demo: .venv/ready  ## train, compare and export on the default data; ORIGIN=shapes needs no npm registry
	@$(BIN)/graft run $(if $(ORIGIN),--set data.source.origin.name=$(ORIGIN) --set data.target.origin.name=$(ORIGIN))

test: .venv/ready  ## the tests
	@$(BIN)/python -m pytest

check: .venv/ready  ## format, lint, types, tests: what CI runs
	@infra/browser.sh
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

bench: .venv/ready  ## speed of the default data, data gate, store, DVC remote, spread comparisons, streaming, exported files, their rounding, training and a run's overhead; is the scratch net undertrained (after `make demo`; long)
	$(BIN)/python -m benchmarks.glyphs
	$(BIN)/python -m benchmarks.gate
	$(BIN)/python -m benchmarks.s3
	$(BIN)/python -m benchmarks.remote
	$(BIN)/python -m benchmarks.predict
	$(BIN)/python -m benchmarks.files
	$(BIN)/python -m benchmarks.rounding .
	$(BIN)/python -m benchmarks.overhead
	$(BIN)/python -m benchmarks.spread
	$(BIN)/python -m benchmarks.streaming
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.budget

scale: .venv/ready  ## ingest, validate and extract at 1,000 to 1,000,000 pictures: hours and 35 GB of disk; killed, it goes on
	@$(BIN)/python -m benchmarks.scale

faults: .venv/ready  ## the long part of the fault tests: a kill at every stage and more; written to benchmarks/results/faults.json
	@$(BIN)/python -m pytest -m sweep --junitxml=.graft/faults.xml; \
	  status=$$?; $(BIN)/python -m benchmarks.faults .graft/faults.xml > /dev/null && exit $$status

soak: .venv/ready  ## twenty scheduled runs with a random kill -9 in each: about 40 minutes
	@$(BIN)/python -m benchmarks.soak

atlas: .venv/ready  ## eight sources on eight targets, each target then foretold from the others: hours; killed, it goes on
	@test -d .graft/benchmarks/atlas || git clone --quiet . .graft/benchmarks/atlas
	@$(BIN)/python -m benchmarks.atlas .graft/benchmarks/atlas

lock: .venv/ready  ## pin every dependency anew; no registry's host name is written
	$(BIN)/uv pip compile pyproject.toml --all-extras --python-version 3.11 --upgrade --no-strip-extras \
	  --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet --output-file requirements.lock

.venv/ready: $(LOCK)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "graft needs Python 3.11; here is " + sys.version.split()[0] + "; name one with: make PYTHON=/path/to/python3.11")'
	@echo "Installing into .venv (about 4 GB; once)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r infra/bootstrap.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

clean:  ## remove the environment and every artefact of this clone; downloads stay cached
	rm -rf .venv .graft data features models reports
