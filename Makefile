# The commands. Everything they need goes into .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
SOURCES := setup.py pyproject.toml $(shell find siphon_http -name '*.pyx' -o -name '*.pxd')

.PHONY: run test lint bench load annotate build clean help
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: .stamp-build  ## build what is needed and serve examples/hello on 127.0.0.1:8080
	@cd examples/hello && exec ../../$(VENV)/bin/siphon-http run siphon.yaml

test: .stamp-test  ## build and run the whole suite
	$(PY) -X dev -m pytest

lint: .stamp-test .stamp-lint  ## ruff, mypy --strict, stubtest, Cython's own warnings
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) -m mypy.stubtest --concise --allowlist tests/typing/stubtest-allow.txt siphon_http

bench: .stamp-test  ## benchmarks of the core (pytest-benchmark)
	$(PY) -m pytest benchmarks --benchmark-only --benchmark-sort=name --benchmark-columns=min,median,ops -o python_files='bench_*.py'

load: .stamp-build  ## the whole server against nginx, granian, uvicorn, aiohttp and a raw uvloop loop
	$(PY) benchmarks/load/run.py

annotate: .stamp-test  ## HTML of the Python calls left in the Cython modules
	SIPHON_HTTP_ANNOTATE=1 $(PY) setup.py -q build_ext --inplace --force

build: .stamp-build  ## build the extension modules in place

$(PY):
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); $(PYTHON) -m virtualenv -q $(VENV) 2>/dev/null; } || \
	  { rm -rf $(VENV); echo "cannot make a virtual environment: install python3-venv (Debian: apt-get install python3-venv python3-dev)" >&2; exit 1; }

.stamp-build: $(PY) $(SOURCES)
	@echo "building siphon-http in $(VENV) (once, about a minute) ..." >&2
	@$(PY) -m pip install -q --disable-pip-version-check -e . --config-settings editable_mode=compat >.build.log 2>&1 || { cat .build.log >&2; exit 1; }
	@touch $@

.stamp-test: .stamp-build
	@$(PY) -m pip install -q --disable-pip-version-check "pip>=25.1"
	@$(PY) -m pip install -q --disable-pip-version-check --group test "Cython>=3.3,<3.4" "setuptools>=77"
	@touch $@

.stamp-lint: .stamp-build
	@$(PY) -m pip install -q --disable-pip-version-check "pip>=25.1"
	@$(PY) -m pip install -q --disable-pip-version-check --group lint
	@touch $@

clean:  ## remove what was built
	rm -rf build dist .stamp-* .build.log *.egg-info $(VENV)
	find siphon_http \( -name '*.so' -o -name '*.c' -o -name '*.html' \) -delete
