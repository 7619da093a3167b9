# Everything runs in .venv, which the first target that needs it makes from constraints.txt.

PYTHON ?= $(firstword $(foreach name,python3 python python3.13 python3.12 python3.11 python3.14,\
	$(shell $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/pytest -n auto --maxprocesses=4

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench captures truth verdicts notebooks soak fuzz

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## Say what is wrong in a recorded capture of a small site
	$(BIN)/tcpstates analyze pcaps/demo.pcap

test: $(INSTALLED) ## Run the tests compiled, then the fast ones again as plain Python
	$(PYTEST)
	NUMBA_DISABLE_JIT=1 $(PYTEST) -m "not slow_without_jit"

lint: $(INSTALLED) ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED) ## Time the analysis of captures of 1 and 2 GB, beside other tools if they are installed
	$(BIN)/python benchmarks/bench.py

captures: $(INSTALLED) ## Record pcaps/ again from real kernel sockets (root, Linux, some minutes)
	$(BIN)/python pcaps/record.py

truth: $(INSTALLED) ## Say how far the inferred states are those of the kernels, recording by recording
	$(BIN)/python pcaps/score.py --imperfect

verdicts: $(INSTALLED) ## Say how far the verdicts on the recordings are what was really done
	$(BIN)/python pcaps/judge.py

notebooks: $(INSTALLED) ## Run the notebooks again, so that they say what the package says now
	$(BIN)/python notebooks/run.py

# Once is enough
HOUR := tests/test_live_load.py::test_memory_is_flat_while_200_connections_a_second_come[3600]

soak: $(INSTALLED) ## Run what takes longer than a test may: many more examples, bounds checked
	HYPOTHESIS_PROFILE=soak $(PYTEST)
	NUMBA_BOUNDSCHECK=1 HYPOTHESIS_PROFILE=soak $(PYTEST) --deselect "$(HOUR)"

fuzz: $(INSTALLED) ## Fuzz the reading of captures, guided by coverage, until Ctrl-C
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[fuzz]'
	mkdir -p $(VENV)/corpus
	$(BIN)/python tests/fuzz.py $(VENV)/corpus

# What users need, and with it what the tests need
$(READY): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "tcpstates needs Python 3.11 or later: install it, or say where it is (make PYTHON=...)" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(INSTALLED): $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@
