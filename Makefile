# One word for each thing a contributor does. PYTHON names another interpreter: make test PYTHON=…
PYTHON ?= .venv/bin/python
# Tests that start other programs add nothing to the branches of the pure core.
SLOW = test_real_claude test_real_codex test_real_terminals test_cap_over_sockets test_sdks \
	test_testing test_architecture test_work test_real_run test_journal_crash test_service \
	test_pricing_differential

.PHONY: help venv clients test trial cover lint format types check bench ci

help:
	@echo "make venv     an environment in .venv with all tools"
	@echo "make clients  the real claude and codex from npm, outside the repository"
	@echo "make test     all tests; those whose program is missing skip and say why"
	@echo "make trial    the Twisted tests under trial"
	@echo "make cover    every branch of the pure core, or it fails"
	@echo "make lint     ruff; make format lets it write"
	@echo "make types    mypy --strict"
	@echo "make check    lint, types, test"
	@echo "make bench    the benchmarks, short form"
	@echo "make ci       what the machine runs, from a clean clone"

venv:
	python3 -m venv .venv
	.venv/bin/pip install -e '.[dev]'

clients:
	$(PYTHON) -m abg.test.clients.programs

test:
	$(PYTHON) -m pytest

trial:
	$(PYTHON) -m twisted.trial abg

# By explicit examples only: a branch that a lucky draw reaches is not covered. A property without
# an example is skipped here, and runs in full in "make test".
cover:
	$(PYTHON) -m coverage erase
	ABG_TEST_REQUIRE_ALL= ABG_TEST_NO_CHANCE=1 $(PYTHON) -m coverage run --branch -m pytest -q -n 0 \
		$(foreach name,$(SLOW),--ignore=abg/test/$(name).py)
	$(PYTHON) -m coverage report --skip-covered --show-missing --fail-under=100 \
		--include="$$($(PYTHON) -m abg.test.test_architecture)"

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format:
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

types:
	$(PYTHON) -m mypy abg

check: lint types test

bench:
	$(PYTHON) benchmarks/bench.py --quick

ci:
	.ci/run
