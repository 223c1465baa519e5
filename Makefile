# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.PHONY: help setup demo test test-all lint unit integration matrix bench clean

help:
	@echo "make demo         reach a simulated fleet and close it again"
	@echo "make test         lint, unit tests and end-to-end tests"
	@echo "make test-all     the same, and ansible-test sanity, on every ansible-core that is supported, with a table"
	@echo "make matrix       test every way in which a run can end, and write the table into docs/teardown.md"
	@echo "make bench        measure, against the simulator"
	@echo "make setup        prepare .venv, which the others do by themselves"
	@echo "make clean        remove what they made"

setup:
	@tests/setup.sh

demo: setup
	@.venv/bin/python tests/demo

test: lint unit integration

test-all: lint
	@tests/every_engine.sh

lint: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/yamllint --strict .
	tests/mypy.sh
	tests/ansible-lint.sh

unit: setup
	.venv/bin/python -m pytest tests/unit

integration: setup
	@tests/setup.sh engines
	.venv/bin/python -m pytest tests/integration --numprocesses 4 $(OPTIONS)

matrix: setup
	@tests/setup.sh engines
	.venv/bin/python -m pytest tests/integration/test_ends.py --numprocesses 4 --matrix

bench: setup
	PYTHONPATH=tests .venv/bin/python -m benchmarks

clean:
	rm -rf .venv .ansible .mypy_cache .pytest_cache .ruff_cache tests/output
