# Copyright: tradeops contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every target installs what it needs into .venv first. PYTHON=python3.12 chooses the interpreter, VENV=folder the place.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

export VENV ?= $(CURDIR)/.venv
export PYTHON
export PATH := $(VENV)/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# What is large and made once on a machine, such as the environment of the real freqtrade.
export TRADEOPS_CACHE_DIR ?= $(CURDIR)/.cache
# The tests run some hundred playbooks, and each would compile the collections anew.
unexport PYTHONDONTWRITEBYTECODE

REQUIREMENTS := requirements.txt requirements-lab.txt requirements-alone.txt
COLLECTIONS := collections/ansible_collections/tradeops
LAB := PYTHONPATH="$(CURDIR)/$(COLLECTIONS)/lab/package" python -m tradeops_lab
# WITHOUT=kubernetes starts the practice ground without its cluster.
WITHOUT :=
# How much data a site of the practice ground is to hold, and which.
SIZE := 50MB
SITE := ai-trading-primary
# The drill has a lab of its own, so that it never touches one that somebody works with.
DRILL_LAB := TRADEOPS_LAB_DIR="$${TMPDIR:-/var/tmp}/tradeops-lab-$$(id -u)/drill"
PYTHON_CODE := $(COLLECTIONS) tests tools

.PHONY: help setup run-environment test-environment kubernetes prometheus lab-up lab-down lab-data drill test lint sanity unit bench report changelog clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: test-environment ## Install everything into .venv (the other targets do it when needed)

run-environment:
	@tools/environment.sh $(REQUIREMENTS)

test-environment:
	@tools/environment.sh $(REQUIREMENTS) requirements-dev.txt

kubernetes: run-environment ## Compile the Kubernetes of the practice ground, once on a machine: some minutes
	@PYTHONPATH="$(CURDIR)/$(COLLECTIONS)/lab/package" python -m tradeops_lab.kubernetes

prometheus: run-environment ## Get Debian's Prometheus and Alertmanager for the practice ground, where none are installed
	@PYTHONPATH="$(CURDIR)/$(COLLECTIONS)/lab/package" python -m tradeops_lab.prometheus

lab-up: run-environment ## Start the practice ground: PostgreSQL, Redis, S3, Kubernetes and two sites of each platform
	@$(LAB) up --without "$(WITHOUT)"

lab-down: run-environment ## Stop the practice ground and remove what it stored
	@$(LAB) down --purge

lab-data: run-environment ## Fill a site of the practice ground: SIZE=1GB SITE=ai-trading-primary
	@$(LAB) data --size "$(SIZE)" --site "$(SITE)"

drill: run-environment ## Emergency stop and gated resume over the lab, with an HTML page that proves what happened
	@export $(DRILL_LAB); trap "$(LAB) down --purge" EXIT; \
	$(LAB) up --without "$(WITHOUT)"; \
	python tools/drill.py

test: test-environment ## Everything that has to be true before a change is accepted
	@failed=""; \
	$(MAKE) --jobs=2 --keep-going --output-sync=target lint sanity || failed+=" lint or sanity"; \
	$(MAKE) kubernetes || failed+=" kubernetes"; \
	$(MAKE) prometheus || failed+=" prometheus"; \
	pytest --numprocesses auto --dist loadfile --no-loadscope-reorder || failed+=" pytest"; \
	[[ -z $$failed ]] || { echo "make test: failed:$$failed" >&2; exit 1; }

# Without a lab that runs, imported playbooks load only with an inventory that needs none.
lint: export ANSIBLE_INVENTORY := $(CURDIR)/inventories/example
lint: test-environment ## ruff, mypy, yamllint and ansible-lint (production profile)
	@failed=0; check() { echo "$$*"; "$$@" || failed=1; }; \
	check ruff check .; \
	check ruff format --check .; \
	check mypy $(PYTHON_CODE); \
	check yamllint --strict .; \
	check ansible-lint --profile production --offline --strict; \
	exit $$failed

sanity: test-environment ## ansible-test sanity for both collections
	@python tools/sanity.py core lab

unit: test-environment ## Only the unit tests of the collections
	@pytest $(wildcard $(COLLECTIONS)/*/tests/unit)

bench: test-environment ## How fast sites are stopped, backed up and restored, as ratios of one run
	@python tests/bench/bench.py
	@PYTHONPATH="$(CURDIR)/$(COLLECTIONS)/lab/package" python tests/bench/scaling.py
	@python tests/bench/catalogue.py
	@python tests/bench/backup.py

report: run-environment ## Make the evidence page of the latest operation
	@ansible-playbook playbooks/evidence_report.yml

changelog: test-environment ## Write the changelogs of a release from their fragments
	@for collection in core lab; do (cd $(COLLECTIONS)/$$collection; antsibull-changelog release); done

clean: ## Remove everything that make made, except journals and evidence
	@if [[ -x $(VENV)/bin/python ]]; then $(LAB) down; fi
	rm -rf .venv .venv.lock .ansible .cache .mypy_cache .pytest_cache .ruff_cache $(COLLECTIONS)/*/tests/output
	find . -name __pycache__ -prune -exec rm -rf {} +
