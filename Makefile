# The two commands are `make up` and `make test`; `make help` lists the rest.
CLIENT ?= demo
INFRA  ?= rec1
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help install install-dev up down status check test bench lock

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install:
	@scripts/install.sh runtime

install-dev:
	@scripts/install.sh dev
	@scripts/images.sh

up: install ## install what is missing, start the infra, deploy the sample site, wait until it answers
	@scripts/images.sh
	@scripts/up.sh $(CLIENT) $(INFRA)

down: ## stop all that was started; PURGE=1 removes the data too
	@scripts/down.sh $(CLIENT) $(INFRA) $(if $(PURGE),-purge)

status: ## what runs and what answers
	@$(BIN)/kokiris status

check: install-dev ## style, types, import contract
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: install-dev ## install what is missing and pass all tests, on ports and folders of their own
	@scripts/isolated.sh $(BIN)/pytest

bench: install-dev ## every figure, in one table
	@scripts/isolated.sh $(BIN)/python -m bench $(NAMES)

lock: install-dev ## compile the locks anew from requirements/*.in
	@scripts/lock.sh
