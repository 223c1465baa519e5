# Copyright: (c) 2026, remoteit.fleet contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

.PHONY: help setup demo test test-all lint lint-docs unit fuzz integration matrix ee bench bench-scale docs build clean

# make 3.81, the one of macOS, has no such option
OUTPUT_SYNC = $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
TOOLS = PATH="$(CURDIR)/.venv/tools/bin:$$PATH"
# runs a second time after a failure: the first one fails if its random temporary directory ends with an underscore
DOCS_LINT = antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs all \
  --disallow-unknown-collection-refs --check-extra-docs-refs .

help:
	@echo "make setup        prepare .venv; the other targets do this when they need it"
	@echo "make demo         reach simulated devices over SSH, and close all connections"
	@echo "make lint         check style, types, wording, spelling and licenses"
	@echo "make unit         run the unit tests"
	@echo "make integration  run the end-to-end tests"
	@echo "make test         run lint, unit and integration"
	@echo "make test-all     run the tests and ansible-test sanity on every supported ansible-core, and print a table"
	@echo "make fuzz         fuzz every API call with 10,000 random responses"
	@echo "make matrix       test all ways a run can end, and write the table on the teardown page"
	@echo "make ee           test the execution environment: its definition, and a run with only its dependencies"
	@echo "make bench        measure against the simulator, and write the results on the performance page"
	@echo "make bench-scale  the same for fleets of up to 5,000 hosts, and for opening them by tasks of uri"
	@echo "make docs         build the documentation site into docs/build/html, and check it"
	@echo "make build        build the tarball in build/, check it as Galaxy does, install it, and run the demo with it"
	@echo "make clean        remove everything that the other targets created"

setup:
	@tests/setup.sh

demo: setup
	@.venv/bin/python tests/demo

test: setup
	@tests/setup.sh engines tools
	@$(MAKE) --jobs 2 $(OUTPUT_SYNC) lint unit
	@$(MAKE) integration

test-all: lint
	@tests/every_engine.sh

lint: setup
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/yamllint --strict .
	.venv/bin/python tests/prose.py
	git ls-files -z -- ':!COPYING' ':!LICENSES' | xargs -0 .venv/bin/codespell
	tests/mypy.sh
	tests/ansible-lint.sh
	@tests/setup.sh tools
	@$(MAKE) lint-docs
	$(TOOLS) antsibull-changelog lint
	$(TOOLS) reuse lint --lines
	$(TOOLS) shellcheck $$(git ls-files '*.sh') .ci/run

lint-docs:
	$(TOOLS) $(DOCS_LINT) || $(TOOLS) $(DOCS_LINT)

unit: setup
	@tests/setup.sh engines
	.venv/bin/python -m pytest tests/unit --numprocesses 2 --cov --cov-report=term
	[ ! -d .venv/engines/2.16 ] || .venv/engines/2.16/bin/python -m pytest tests/unit --numprocesses 2

fuzz: setup
	REMOTEIT_FUZZ=10000 .venv/bin/python -m pytest tests/unit/plugins/fuzz --numprocesses 4

integration: setup
	@tests/setup.sh engines
	.venv/bin/python -m pytest tests/integration --numprocesses 6 $(OPTIONS)

matrix: setup
	@tests/setup.sh engines
	TEST_PRODUCT=1 .venv/bin/python -m pytest tests/integration/test_termination.py --numprocesses 4 --matrix

ee: setup
	@tests/setup.sh tools
	.venv/bin/python -m pytest tests/integration/test_execution_environment.py -m 'network or not network'

bench: setup
	@tests/setup.sh engines
	PYTHONPATH=tests .venv/bin/python -m benchmarks

bench-scale: setup
	PYTHONPATH=tests .venv/bin/python -m benchmarks uri scale

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
	rm -rf build docs/build .venv .ansible .hypothesis .mypy_cache .pytest_cache .ruff_cache tests/output
