# make run    everything on this machine, servers included (PORT=9000 for another port)
# make test   the checks and the tests          (PYTEST_ARGS='-k name' to choose)
# make sast   bandit, and semgrep with the rules of security/semgrep; needs no network
# make audit  known vulnerabilities of the locked packages; says so where their database cannot be reached
# make sbom   what is installed, as CycloneDX, to build/sbom.json
# make fuzz   the API against its own description, longer than make test does  (EXAMPLES=500 SEED=7)
# make scan   the running dashboard as a web scanner sees it, signed in as staff
# make bench  the benchmarks, beside what others do       (QUICK=1 for a rougher minute)
# make chaos  real processes under random faults, compared with what was accepted (SECONDS=1800 SEED=7)
# make hosts  the same over several machines, in network namespaces; needs root (SECONDS=600 SEED=7)
# make lock   write the versions of this .venv to requirements.lock, and the scanners' to security/
# make clean  remove what was built and installed; the data in var/ stay

PYTHON ?= python3
PYTEST_ARGS ?= -n 2
SECONDS ?= 60
SEED ?= 1
EXAMPLES ?= 200
VENV := .venv
BIN := $(VENV)/bin
# They need older versions of what the product uses, so they have environments of their own.
SCANNERS := .scanners
WEBSCANNER := .webscanner
CODE := dispatchlog dashboard tasks migrations bench chaos models.py scheduler.py
SEMGREP := $(SCANNERS)/bin/semgrep scan --metrics=off --disable-version-check

ifdef PORT
export PORT
endif

.DEFAULT_GOAL := run
.DELETE_ON_ERROR:
.PHONY: run test sast audit sbom fuzz scan bench chaos hosts lock clean

run: $(VENV)/.installed-local
	@exec $(BIN)/dispatchlog up

test: $(VENV)/.installed-dev sast audit sbom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest $(PYTEST_ARGS)

sast: $(SCANNERS)/.installed
	PATH="$(CURDIR)/$(SCANNERS)/bin:$$PATH" $(SCANNERS)/bin/bandit --quiet --configfile pyproject.toml --severity-level medium --recursive $(CODE)
	PATH="$(CURDIR)/$(SCANNERS)/bin:$$PATH" $(SEMGREP) --test security/semgrep
	PATH="$(CURDIR)/$(SCANNERS)/bin:$$PATH" $(SEMGREP) --error --config security/semgrep $(CODE)

audit: $(SCANNERS)/.installed
	@$(SCANNERS)/bin/python security/audit.py

sbom: $(SCANNERS)/.installed
	@$(SCANNERS)/bin/python security/sbom.py

fuzz: $(VENV)/.installed-dev $(SCANNERS)/.installed
	$(BIN)/python -m tests.security.fuzzing --examples $(EXAMPLES) --seed $(SEED)

scan: $(VENV)/.installed-dev $(WEBSCANNER)/.installed
	$(BIN)/python -m tests.security.web_scan

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
	@$(MAKE) --no-print-directory security/scanners.lock.new security/webscanner.lock.new
	@mv security/scanners.lock.new security/scanners.lock
	@mv security/webscanner.lock.new security/webscanner.lock

security/%.lock.new: .%/.installed
	@{ echo "# Exact versions of what security/$*.in names; write it anew with: make lock"; \
	   .$*/bin/python -m pip freeze | LC_ALL=C sort -f; } > $@

clean:
	rm -rf $(VENV) $(SCANNERS) $(WEBSCANNER) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as old as the last installation, so a change of either file installs again.
$(VENV)/.installed-local: EXTRA := local
$(VENV)/.installed-dev: EXTRA := dev
$(VENV)/.installed-bench: EXTRA := bench
$(VENV)/.installed-local $(VENV)/.installed-dev $(VENV)/.installed-bench: pyproject.toml requirements.lock | $(BIN)/pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[$(EXTRA)]'
	@touch $@

$(SCANNERS)/.installed $(WEBSCANNER)/.installed: .%/.installed: security/%.in security/%.lock | .%/bin/pip
	.$*/bin/python -m pip install --quiet --disable-pip-version-check -c security/$*.lock -r security/$*.in
	@touch $@

$(BIN)/pip $(SCANNERS)/bin/pip $(WEBSCANNER)/bin/pip: %/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "dispatchlog needs Python 3.11 or newer; name one with: make PYTHON=python3.12 run" >&2; exit 1; }
	@$(PYTHON) -m venv $* || { \
	  rm -rf $*; echo "$(PYTHON) cannot make a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }
