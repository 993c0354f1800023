# hostpulse: every intent of a developer is one target. `make` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Compiled tests are kept: each worker of pytest compiles all of them otherwise.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what is missing: system packages (Debian, root), uv, the Python environment
	@scripts/bootstrap

.PHONY: test
test: ## setup, engines, dist, lint, unit, integration, coverage, molecule, with a summary: what must pass before a change lands
	@scripts/test

.PHONY: lint
lint: setup ## ruff, mypy, import-linter, yamllint, ansible-lint
	ruff format --check
	ruff check
	mypy
	lint-imports --no-logo
	yamllint --strict .
	ansible-lint

.PHONY: engines
engines: setup ## the servers that tests run against: influxd, built where its vendor does not answer; a Grafana, if one is had
	@testbed/get influxdb
	@grafana=$$(testbed/get --optional grafana) && \
	  echo "$${grafana:-no Grafana is had: tests that need a real one are not run; name an archive in HOSTPULSE_GRAFANA_ARCHIVE}"

.PHONY: dashboards
dashboards: setup ## write grafana/dashboards anew from their generator
	python -m tools.dashboards

# What unit tests need, and anybody may install.
.PHONY: environment
environment:
	@scripts/bootstrap environment

# With COVERAGE=1 unit begins a measurement, integration adds to it, and coverage judges it.
MEASURED = $(if $(COVERAGE),--cov --cov-report= --cov-fail-under=0)

.PHONY: unit
unit: environment ## the tests that need neither root nor a server nor the network, in about a minute
	scripts/unit $(MEASURED)

.PHONY: integration
integration: engines ## the other tests: real servers, whole processes, crashes, mounts, Ansible, builds (root)
	pytest --numprocesses=3 --dist=worksteal -m integration $(MEASURED) $(if $(COVERAGE),--cov-append)

.PHONY: coverage
coverage: environment ## the coverage gate over both: make unit integration coverage COVERAGE=1
	coverage report

.PHONY: dist
dist: setup ## build the payloads (wheels, hashes, the backup program) that the roles carry
	ansible-playbook playbooks/build.yml

.PHONY: molecule
molecule: dist engines ## every molecule scenario on systemd hosts; SCENARIOS="stack …" for some
	@scripts/molecule $(SCENARIOS)

.PHONY: chaos
chaos: dist engines ## the failures of stack, api, store and alerts, and random histories, in their long form
	HOSTPULSE_TRIALS=long pytest tests/e2e/test_store_outage.py tests/e2e/test_sigkill_store.py tests/e2e/test_sigkill_api.py
	HOSTPULSE_TRIALS=long pytest --numprocesses=2 tests/e2e/test_sigkill_alerts.py \
	  app/tests/evaluation/test_reference.py app/tests/evaluation/test_restart.py \
	  app/tests/evaluation/test_convergence.py
	@HOSTPULSE_TRIALS=long scripts/molecule stack

.PHONY: demo
demo: ## a server and two monitored hosts on this machine, with live values; STORE=influxdb for production's store, FULL=1 for Grafana, too
	@scripts/demo up "$(STORE)" "$(FULL)"

.PHONY: demo-down
demo-down: ## remove hosts, network and key of the demo; images and payload stay, make clean removes them
	@scripts/demo down

.PHONY: bench
bench: bench-agent bench-ingest bench-store bench-alerts bench-dashboards ## every figure, beside its peers

.PHONY: bench-agent
bench-agent: setup ## memory and CPU of the agent beside prometheus-node-exporter
	python -m bench.agent

.PHONY: bench-ingest
bench-ingest: setup ## durable ingest rate beside the same app without a journal
	python -m bench.ingest

.PHONY: bench-store
bench-store: engines ## the shipper into InfluxDB beside its bare client, query times, bytes on disk
	python -m bench.store

.PHONY: bench-alerts
bench-alerts: setup ## from a sample to its alert beside vmalert and Alertmanager; what rules cost a sample; backtests
	python -m bench.rules
	python -m bench.backtest
	python -m bench.alerts

.PHONY: bench-dashboards
bench-dashboards: engines ## how long every query of every dashboard takes, cold
	python -m bench.dashboards --markdown docs/performance.md

.PHONY: clean
clean: demo-down ## remove the test hosts, their images, the payloads and the environment
	testbed/systemd-host/hosts.py clean
	rm -rf roles/*/files/payload .cache .venv .coverage* .mypy_cache .ruff_cache .pytest_cache
