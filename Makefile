# Every target makes what it needs; a second run starts at once.
VENV ?= .venv
CONFIG ?= config/quickstart.yaml
ARGS ?=
BIN := $(VENV)/bin
export VENV PYTHON

.PHONY: help serve run install test lint fmt bench sim lock models image
help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

serve: $(VENV)/.runtime ## serve the two models of the quickstart on 127.0.0.1:8000
	$(BIN)/infergate serve -c config/quickstart.yaml $(ARGS)

run: $(VENV)/.runtime ## serve a configuration of your own: make run CONFIG=path.yaml
	$(BIN)/infergate serve -c $(CONFIG) $(ARGS)

install: $(VENV)/.dev ## make the development environment and nothing else

test: $(VENV)/.dev ## run the tests: make test ARGS="tests/unit -k retry"
	scripts/system-packages test
	$(BIN)/pytest $(ARGS)

lint: $(VENV)/.dev ## style, formatting, types, floors and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

fmt: $(VENV)/.dev ## format, and mend what can be mended by rule
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/.bench ## measure the gateway beside its peers
	scripts/system-packages bench
	$(BIN)/python -m benchmarks $(ARGS)

sim: $(VENV)/.dev ## what each policy does with a pool: make sim ARGS="--endpoints 8 --slow 1"
	$(BIN)/python -m benchmarks.sim $(ARGS)

lock: ## write the lock files anew: make lock ARGS=--upgrade
	scripts/lock $(ARGS)

models: $(VENV)/.dev ## train the models of the quickstart again
	$(BIN)/python models/train.py

image: ## build the container image
	docker build --tag infergate .

$(VENV)/.runtime $(VENV)/.dev $(VENV)/.bench: pyproject.toml requirements/*.txt scripts/install
	scripts/install $(@F:.%=%)
