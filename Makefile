# make, or make help, says what there is.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python

.DEFAULT_GOAL := help
.PHONY: help run test check format newcomer chaos fuzz bench profile screenshots test-n8n browser breakers llm requirements clean

help:  ## Show this list
	@sed -n 's/^\([a-z0-9-]*\):.*  ## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

# Where the environment or .env name a model, what speaks with it is installed, too.
LLM = $(if $(LLM_MODEL)$(shell sed -n 's/^LLM_MODEL=//p' .env 2>/dev/null),$(VENV)/.llm)

run: $(VENV)/.run $(LLM)  ## Serve everything on HOST:PORT (127.0.0.1:8000), data in DATA_DIR (.data); Ctrl-C stops it
	@exec $(PY) -m app.launch --with-parent

test: $(VENV)/.dev browser  ## Run all tests; nothing needs to be installed or running
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder --cov --cov-report=
	$(PY) -m coverage report --fail-under=100 --skip-covered --show-missing

check: $(VENV)/.dev  ## Lint, formatting, types and layers
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

format: $(VENV)/.dev  ## Rewrite the formatting
	$(PY) -m ruff check --fix --select I
	$(PY) -m ruff format

newcomer:  ## Time a first run from a clone in an empty folder with an empty HOME, and later runs
	@$(PYTHON) scripts/newcomer.py

chaos: $(VENV)/.dev breakers  ## Kill things while jobs are in flight: ROW=kills for one row, FULL=1 for hours, WRITE=1 for a page
	$(PY) -m chaos $(if $(ROW),--row $(ROW)) $(if $(FULL),--full) $(if $(SEED),--seed $(SEED)) $(if $(WRITE),--write)

bench: $(VENV)/.dev .bench/.peers .bench/.arq  ## Measure beside limits and peers, 15 minutes: ROW=accept for one row, ROUNDS=5
	$(PY) -m bench $(if $(ROW),--row $(ROW)) $(if $(ROUNDS),--rounds $(ROUNDS))

.bench/.peers .bench/.arq: .bench/.%: bench/peers/requirements.txt bench/peers/requirements-arq.txt
	@mkdir -p .bench
	@$(PYTHON) scripts/environment.py .bench/$* bench/peers/requirements$(if $(filter arq,$*),-arq).txt
	@touch $@

breakers:  # rows need strace and libfaketime; where they cannot be installed these rows are skipped with a reason
	@if ! { command -v strace && command -v faketime; } >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends strace faketime >/dev/null || true; fi

FUZZ_SECONDS ?= 3600
fuzz: $(VENV)/.dev  ## Fuzz the parsers of forms and callbacks for FUZZ_SECONDS (an hour); installs atheris
	@$(PY) -c 'import atheris' 2>/dev/null || $(PY) -m pip install -q --only-binary :all: 'atheris>=3,<4' || \
		{ echo "make fuzz: there is no wheel of atheris for this Python and system; another PYTHON may have one" >&2; exit 1; }
	@for target in multipart callback; do $(PY) -m chaos.fuzz $$target $$(($(FUZZ_SECONDS) / 2)) || exit 1; done

profile: $(VENV)/.dev  ## Show where the time of one upload and one delivery goes
	$(PY) -m bench.profile

screenshots: $(VENV)/.dev browser  ## Take pictures of every page into docs/screens
	$(PY) -m scripts.screenshots

test-n8n: $(VENV)/.dev  ## Run jobs through a real n8n (slow; installs one)
	$(PY) -m pytest -m n8n tests/n8n

browser:  # the tests of the pages need a chromium; where it cannot be installed they are skipped with a reason
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium >/dev/null; fi

llm: $(VENV)/.llm  ## Install what LLM_MODEL needs: the libraries of the providers

requirements: $(VENV)/.dev  ## Renew the pins from the ranges in pyproject.toml
	$(PY) scripts/pins.py

clean:  ## Remove the environment and caches; data and .env stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.run: requirements.txt scripts/environment.py scripts/callslip
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Callslip needs Python 3.11 or newer, and this is %d.%d. Name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@$(PYTHON) scripts/environment.py $(VENV) requirements.txt
	@ln -sf ../../scripts/callslip $(VENV)/bin/callslip
	@touch $@

$(VENV)/.llm: requirements-llm.txt $(VENV)/.run
	@$(PYTHON) scripts/environment.py $(VENV) requirements-llm.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements-llm.txt $(VENV)/.run
	@$(PYTHON) scripts/environment.py $(VENV) requirements-dev.txt
	@touch $@
