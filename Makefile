# sampan: `make run` to see it work, `make test` to prove it. Both do all of their set-up, as root, on Debian 12 or
# Ubuntu with Python 3.11 or newer.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -name '*.py' 2>/dev/null)
PYTEST := $(BIN)/python -m pytest
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Byte-code is part of the product: without it every start of the daemon compiles 20,000 lines.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run install stop test check unit kernel compat machine bench clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: install ## install into .venv, start a container from an image, say what to try next
	@tools/first-run $(BIN)

install: $(VENV)/.installed ## make .venv with the commands sampan, sampand, sampan-runtime

$(VENV)/.installed: pyproject.toml $(SOURCES)
	@PYTHON="$(PYTHON)" tools/make-venv $(VENV) .
	@touch $@

$(VENV)/.tests: pyproject.toml tests/debian-packages.txt $(VENV)/.installed
	@tools/debian-packages tests/debian-packages.txt
	@PYTHON="$(PYTHON)" tools/make-venv $(VENV) '.[test]'
	@touch $@

stop: ## end the daemon that `make run` started (containers go on)
	@tools/stop-daemon

test: $(VENV)/.tests ## install what the tests need and run all of them
	@$(MAKE) --no-print-directory check
	$(PYTEST) tests/kernel tests/compat tests/machine/test_cgroup_v2.py tests/machine/test_vm.py

check: $(VENV)/.tests ## lint, types, layering, unit and contract tests (no root needed, minutes)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -n 2 tests/unit tests/contract

kernel: $(VENV)/.tests ## tests that need root: namespaces, mounts, cgroups, links
	$(PYTEST) tests/kernel

compat: $(VENV)/.tests ## the real docker command and sampan against live daemons, dockerd beside them
	$(PYTEST) tests/compat

machine: $(VENV)/.tests ## all of the virtual machine with nothing but cgroup v2: also the kernel tests again, in there
	$(PYTEST) tests/machine

bench: $(VENV)/.tests ## measure beside dockerd, podman and runc where installed
	@$(BIN)/python -m bench.bench
	@$(BIN)/python -m bench.runtime_command
	@$(BIN)/python -m bench.registry
	@$(BIN)/python -m bench.images
	@$(BIN)/python -m bench.networks
	@$(BIN)/python -m bench.many

clean: ## remove .venv and caches
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -prune -exec rm -rf {} +
