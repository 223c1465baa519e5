# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.PHONY: help setup demo test test-all lint unit fuzz integration matrix ee bench docs build clean

TOOLS = PATH="$(CURDIR)/.venv/tools/bin:$$PATH"
# twice, because it takes its temporary folder for a link if the folder's random name happens to end with an underscore
DOCS_LINT = antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all \
  --disallow-unknown-collection-refs --check-extra-docs-refs .

help:
	@echo "make demo         reach a simulated fleet and close it again"
	@echo "make test         lint, unit tests and end-to-end tests"
	@echo "make test-all     the same, and ansible-test sanity, on every ansible-core that is supported, with a table"
	@echo "make fuzz         ten thousand new answers of an API gone mad to every call, where make test has the same few"
	@echo "make matrix       test every way in which a run can end, and write the table into the page teardown"
	@echo "make ee           the execution environment: what it asks for, and a run with nothing but that"
	@echo "make build        the tarball in build/, checked as Galaxy does, installed elsewhere, and its demo"
	@echo "make bench        measure against the simulator, and write the results into docs/docsite/rst/performance.rst"
	@echo "make docs         build the documentation site into docs/build/html, and check it"
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
	@tests/setup.sh tools
	$(TOOLS) $(DOCS_LINT) || $(TOOLS) $(DOCS_LINT)
	$(TOOLS) antsibull-changelog lint
	$(TOOLS) reuse lint --lines
	$(TOOLS) shellcheck $$(git ls-files '*.sh') .ci/run

unit: setup
	@tests/setup.sh engines
	.venv/bin/python -m pytest tests/unit --numprocesses 2
	[ ! -d .venv/engines/2.16 ] || .venv/engines/2.16/bin/python -m pytest tests/unit --numprocesses 2

fuzz: setup
	REMOTEIT_FUZZ=10000 .venv/bin/python -m pytest tests/unit/plugins/robustness --numprocesses 4

integration: setup
	@tests/setup.sh engines
	.venv/bin/python -m pytest tests/integration --numprocesses 6 $(OPTIONS)

matrix: setup
	@tests/setup.sh engines
	TEST_PRODUCT=1 .venv/bin/python -m pytest tests/integration/test_ends.py --numprocesses 4 --matrix

ee: setup
	@tests/setup.sh tools
	.venv/bin/python -m pytest tests/integration/test_execution_environment.py -m 'network or not network'

bench: setup
	PYTHONPATH=tests .venv/bin/python -m benchmarks

docs: setup
	@tests/setup.sh docs
	docs/build.sh
	.venv/bin/python tests/check_site.py docs/build/html

build: setup
	@tests/setup.sh tools
	rm -rf build
	.venv/bin/ansible-galaxy collection build --output-path build
	tests/importer.sh build/*.tar.gz
	.venv/bin/python -m pytest tests/release

clean:
	rm -rf build docs/build .venv .ansible .mypy_cache .pytest_cache .ruff_cache tests/output
