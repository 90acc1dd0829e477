# make run    everything on this machine, servers included (PORT=9000 for another port)
# make test   the checks and the tests          (PYTEST_ARGS='-k name' to choose)
# make bench  the benchmarks, beside what others do       (QUICK=1 for a rougher minute)
# make chaos  real processes under random faults, compared with what was accepted (SECONDS=1800 SEED=7)
# make hosts  the same over several machines, in network namespaces; needs root (SECONDS=600 SEED=7)
# make lock   write the versions of this .venv to requirements.lock
# make clean  remove what was built and installed; the data in var/ stay

PYTHON ?= python3
PYTEST_ARGS ?= -n 2
SECONDS ?= 60
SEED ?= 1
VENV := .venv
BIN := $(VENV)/bin

ifdef PORT
export PORT
endif

.DEFAULT_GOAL := run
.DELETE_ON_ERROR:
.PHONY: run test bench chaos hosts lock clean

run: $(VENV)/.installed-local
	@exec $(BIN)/dispatchlog up

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(PYTEST_ARGS)

bench: $(VENV)/.installed-bench
	@exec $(BIN)/python -m bench

chaos: $(VENV)/.installed-dev
	@exec $(BIN)/python -m chaos --seconds $(SECONDS) --seed $(SEED)

hosts: $(VENV)/.installed-dev
	@exec $(BIN)/python -m chaos.hosts --seconds $(SECONDS) --seed $(SEED)

lock: $(VENV)/.installed-bench
	@{ echo "# Exact versions of everything in a development environment; write it anew with: make lock"; \
	   $(BIN)/python -m pip freeze --exclude-editable | LC_ALL=C sort -f; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as old as the last installation, so a change of either file installs again.
$(VENV)/.installed-local: EXTRA := local
$(VENV)/.installed-dev: EXTRA := dev
$(VENV)/.installed-bench: EXTRA := bench
$(VENV)/.installed-local $(VENV)/.installed-dev $(VENV)/.installed-bench: pyproject.toml requirements.lock | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[$(EXTRA)]'
	@touch $@

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "dispatchlog needs Python 3.11 or newer; name one with: make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
