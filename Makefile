# `make` alone lists what there is. Every target sets up what it needs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Replayed files and the generated market are two markets: they never share a directory.
DEMO ?= $(if $(DATA),demo-files,demo)
SCALE ?= 5
ROUNDS ?= 7

.PHONY: help run test soak lint fmt types imports proto crash bench wheel clean

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(BIN)/tsstore: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]'
	@touch $@

$(VENV)/.dev: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'  # all, and more
	@touch $(BIN)/tsstore $@

run: $(BIN)/tsstore  ## the whole thing, live: simulator, server, worker (DATA=folder replays files)
	@$(BIN)/tsstore demo --dir $(DEMO) $(if $(DATA),--data $(DATA))

test: $(VENV)/.dev  ## all tests
	$(BIN)/python -m pytest -q -n 3 --dist worksteal

soak: $(VENV)/.dev  ## ROUNDS=7 of eight hours of market in eight minutes, with all that can go wrong
	TSSTORE_SOAK_S=480 TSSTORE_SOAK_ROUNDS=$(ROUNDS) $(BIN)/python -m pytest -q tests/massive/test_soak.py

crash: $(VENV)/.dev  ## the tests of crashes and damage alone, five times as many (SCALE=50: hours)
	TSSTORE_TEST_SCALE=$(SCALE) $(BIN)/python -m pytest -q -n 3 --dist worksteal tests/crash tests/stateful

lint: $(VENV)/.dev  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fmt: $(VENV)/.dev  ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev  ## types
	$(BIN)/mypy

imports: $(VENV)/.dev  ## direction of imports
	$(BIN)/lint-imports

proto: $(VENV)/.dev  ## the messages of gRPC, from their .proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. tsstore/server/grpc/marketstore.proto

bench: $(VENV)/.dev  ## against five peers, as ratios; then a server with many clients
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.serving

wheel: $(VENV)/.dev  ## build the wheel
	$(BIN)/python -m pip wheel --quiet --no-deps -w dist .

clean:  ## remove what the targets made, data of the demonstration included
	rm -rf $(VENV) .venv-* dist demo demo-files .hypothesis .pytest_cache .mypy_cache .ruff_cache
