# Everything a developer does, by name. `make` lists it.
PYTHON ?= python3
BIN := .venv/bin
BOOTSTRAP := $(PYTHON) deploy/bootstrap.py
PATHS := swarm tests tools deploy examples bench
# The order of the tests: one that everybody sees. `make test SEED=7` has another.
SEED := 1
PYTEST := $(BIN)/python -m pytest --randomly-seed=$(SEED)
# Files in the order of tests/integration/conftest.py, three at a time: they wait more than half of the time.
INTEGRATION := $(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder tests/integration

# Tests start thousands of interpreters: without compiled files each of them would compile half of swarm.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down install test check unit simulate fuzz integration cgroup2 farm man proto bench clean
.PHONY: wheel deb vagrant-e2e

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing to develop: .venv, and as root programs of the system
	@$(BOOTSTRAP) test

demo: ## start a cluster on this machine and run a service on it
	@$(BOOTSTRAP) run
	@sh deploy/demo.sh

demo-down: ## remove the cluster of `make demo`
	@$(BIN)/swarmctl dev down

install: ## install swarm on this machine, as a service (root)
	@$(BOOTSTRAP) install

test: check ## run every check and every test
	@sh tests/all.sh '$(PYTEST)' '$(INTEGRATION)'

check: setup ## lint, formatting, types, import rules, generated code, size of files and functions
	$(BIN)/python -m ruff check $(PATHS)
	$(BIN)/python -m ruff format --check $(PATHS)
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/gen_proto.py --check
	$(BIN)/python -m pytest -q tests/unit/test_tidy.py

unit: setup ## run the tests that need nothing but Python
	@$(PYTEST) -n auto tests/unit

simulate: setup ## run the simulations
	@$(PYTEST) -n auto tests/simulation

fuzz: setup ## feed damage to Raft, and to what reads images and other bytes of strangers, ten minutes each
	@SWARM_EXPLORE=1 SWARM_FUZZ_SECONDS=600 $(BIN)/python -m pytest --timeout=1200 tests/unit/raft/test_fuzz.py
	@$(BIN)/python -m pip install -q --group fuzz
	@$(BIN)/python -m tests.fuzz --seconds 55

integration: setup ## run the tests with real daemons, containers and networks (root)
	@$(INTEGRATION) -m 'not alone'
	@$(PYTEST) -m alone tests/integration

cgroup2: setup ## run the tests of the runtime in a guest with cgroup version 2 (root; 20 min without KVM)
	@$(BOOTSTRAP) guest
	@$(BIN)/python tools/cgroup2/guest.py

farm: setup ## make a cluster of ten machines, reboot each, upgrade one and go back (root; 15 min, 4 GiB of memory)
	@$(BIN)/python -m tools.farm

man: setup ## write the manual pages of swarmctl to build/man
	@$(BIN)/python -m swarm.cli.man_pages build/man

wheel: setup ## build the wheel, into dist/
	@$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist .

deb: setup ## build the Debian package for this machine's Python and processor, into dist/
	@$(BIN)/python -m tools.deb dist

vagrant-e2e: setup ## bring up machines of the Vagrantfile, in a box made here (root; half an hour without KVM)
	@$(BOOTSTRAP) vagrant
	@$(BIN)/python tools/vagrant_e2e/run.py

proto: setup ## generate swarm/api/v1 from proto/
	$(BIN)/python tools/gen_proto.py

bench: setup ## run the benchmarks
	@$(BIN)/python -m bench.side_by_side

clean: ## remove what can be made again, .venv included
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
