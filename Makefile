# make run      set up, prepare ListOps, train and score the Fourier Transformer, print the row
# make run ARGS="task=listops model=transformer seed=1"
# make test     the tests (minutes); make test-slow: those that take longer; make lint
# make test-gpu the tests that need a GPU

PYTHON ?= python3
VENV   ?= .venv
RUN    ?= $(VENV)/bin/python
ARGS   ?= task=listops model=fourier protocol=lite

# a model with pretrained weights, or a task of texts, needs the extra `bart`
EXTRA = $(if $(findstring bart,$(ARGS))$(findstring encoder,$(ARGS)),.bart)

.PHONY: setup run test test-slow test-gpu lint format

# --no-compile: Python compiles the few modules that are used at their first import, in seconds;
# pip would compile all of them for a minute and a half
INSTALL = $(VENV)/bin/python -m pip install --disable-pip-version-check --no-compile -e

setup: $(VENV)/.done

# what run.py needs
$(VENV)/.run: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11: install a newer one, or name it: make setup PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || \
	  { echo "error: $(PYTHON) has no venv module: install it (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	@echo "Installing into $(VENV): 90 packages, 1.6 GB with torch for CPUs, several GB more with CUDA. Only once."
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) .
	@touch $@

# what the tests and the linters need besides
$(VENV)/.done: $(VENV)/.run
	$(INSTALL) '.[dev]'
	@touch $@

$(VENV)/.bart: $(VENV)/.run
	$(INSTALL) '.[bart]'
	@touch $@

run: $(VENV)/.run $(EXTRA:%=$(VENV)/%)
	$(RUN) run.py $(ARGS)

test: $(VENV)/.done
	$(RUN) -m pytest -n 2 --dist worksteal -m "not slow and not gpu"

test-slow: $(VENV)/.done
	$(RUN) -m pytest -n 2 --dist worksteal -m "slow and not quiet and not gpu"
	$(RUN) -m pytest -m "slow and quiet"

# on a machine with a GPU: minutes
test-gpu: $(VENV)/.done
	$(RUN) -m pytest -m gpu

lint: $(VENV)/.done
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

format: $(VENV)/.done
	$(RUN) -m ruff format .
	$(RUN) -m ruff check --fix .
