# Two commands: `make demo` and `make test`. Each sets up everything that it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test sanitize check format soak harness bench board minutes docs web clean help

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

KERNELS := CMakeLists.txt $(wildcard src/sonho/native/*.cpp src/sonho/native/*.h)

$(READY): pyproject.toml constraints.txt $(KERNELS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sonho needs Python 3.11 or newer; set PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt 'torch==2.13.0'
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $(READY)

demo: $(READY)  ## train on tiny-shakespeare for about a minute, compare, generate
	$(BIN)/python examples/demo.py

test: $(READY)  ## run every test, with coverage
	tests/set_up.sh
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under=90

sanitize: $(READY)  ## run the native kernels under AddressSanitizer and UndefinedBehaviorSanitizer
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S . -B build/sanitize -G Ninja -DSONHO_SANITIZE=ON
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --build build/sanitize
	build/sanitize/driver
	build/sanitize/decode_driver

check: $(READY)  ## linters, types and the import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

soak: $(READY)  ## long proofs: 200 kills of the trainer, a text of 1 GB, 200 clients of the server
	$(BIN)/python -m pytest -m soak --override-ini addopts='-q --import-mode=importlib' tests

# The peers live in an environment of their own, so that this one stays what is tested.
PEERS := .venv-bench
$(PEERS)/.ready: benchmarks/requirements.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet -c constraints.txt -r benchmarks/requirements.txt
	touch $@

bench: $(READY) $(PEERS)/.ready  ## measure for half an hour; AG_NEWS=titles.csv.gz and QUICK=1 are options
	$(BIN)/python benchmarks/run.py $(if $(AG_NEWS),--ag-news '$(AG_NEWS)') $(if $(QUICK),--quick)

board: $(READY) $(PEERS)/.ready  ## the board of docs/board.md, hours; CORPORA=folder and ARGUMENTS='--budgets 10 60 --seeds 1' are options
	$(BIN)/python benchmarks/time_to_quality.py '$(CORPORA)' $(ARGUMENTS)

minutes: $(READY)  ## what `sonho train --minutes` gives and how long it takes, 45 minutes; CORPORA=folder
	for part in quality texts busy; do $(BIN)/python benchmarks/minutes.py '$(CORPORA)' $$part || exit 1; done

HARNESS := .venv-harness
$(HARNESS)/.ready:
	test -x $(HARNESS)/bin/python || $(PYTHON) -m venv $(HARNESS)
	$(HARNESS)/bin/python -m pip install --quiet -c constraints.txt 'lm-eval[api]==0.4.13'
	touch $@

harness: $(READY) $(HARNESS)/.ready  ## lm-evaluation-harness against `sonho serve`; MODEL=runs/my and TEXT=my.txt are options
	$(HARNESS)/bin/python benchmarks/harness.py $(BIN)/sonho $(or $(MODEL),runs/demo) $(or $(TEXT),examples/data/tinyshakespeare.txt)

docs: $(READY)  ## write docs/reference from --help and the settings
	$(BIN)/python docs/make_reference.py

web:  ## build the web page into the package (needs node)
	cd web && npm ci --no-audit --no-fund && npm run check && npm run build

clean:  ## remove the environment and caches
	rm -rf $(VENV) $(PEERS) $(HARNESS) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
