.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
export UV_PYTHON_DOWNLOADS := never
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv

# What builds tpm2-pytss, and the software TPM with the tools that tests compare it with.
TPM_PACKAGES := build-essential gnutls-bin libtss2-dev pkg-config python3-dev swtpm swtpm-tools tpm2-tools

BENCHES ?= onboarding provisioning

.PHONY: help setup demo demo-enrolment test check bench fmt proto clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: .venv/.complete ## make .venv with the locked dependencies, so that .venv/bin/admit is the command

demo: setup ## the main job on this machine: server, maker, premises, phone and two devices as processes
	.venv/bin/admit demo onboarding

demo-enrolment: .venv/.complete-tpm ## devices with software TPMs, second factors, reset and transfer
	.venv/bin/admit demo enrolment

test: .venv/.complete-tpm ## every test, with the servers that they need
	scripts/debian-packages postgresql
	.venv/bin/pytest $(ARGS)

check: setup ## format, lint, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/.complete-tpm ## measure; BENCHES names which
	for name in $(BENCHES); do .venv/bin/python -m bench $$name; done

fmt: setup ## format and mend what can be mended
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

proto: setup ## generate the protobuf modules from their .proto files
	cd src && ../.venv/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. admittance/wire/protocomm/*.proto

clean: ## remove what the other targets made
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.complete: pyproject.toml uv.lock $(UV)
	if [ -e $@-tpm ]; then $(UV) sync --locked --all-extras --all-groups; \
	else $(UV) sync --locked --all-extras --no-extra tpm --all-groups; fi
	touch $@

.venv/.complete-tpm: .venv/.complete
	scripts/debian-packages $(TPM_PACKAGES)
	$(UV) sync --locked --all-extras --all-groups
	touch $@

$(UV):
	scripts/install-uv $(UV_VERSION) .tools/uv
