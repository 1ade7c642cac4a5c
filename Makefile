# The commands. Everything they need goes into .venv; nothing outside this folder is touched.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STUBBED := $(subst /,.,$(basename $(shell find siphon_http -name '*.pyi')))
SOURCES := setup.py pyproject.toml $(shell find siphon_http -name '*.pyx' -o -name '*.pxd')

# Our modules need the GIL. Where it is off at first (3.14t), importing one turns it on with a warning, and those are errors here.
export PYTHON_GIL ?= 1

.PHONY: run test lint bench load load-clients counts h2spec annotate asan fuzz cover wheels docs build clean help
.DEFAULT_GOAL := help

help:  ## list the commands
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: .stamp-build  ## build what is needed and serve examples/hello on 127.0.0.1:8080
	@cd examples/hello && exec ../../$(VENV)/bin/siphon-http run siphon.yaml

test: .stamp-test  ## build and run the whole suite
	$(PY) -X dev -m pytest

lint: .stamp-test .stamp-lint  ## ruff, mypy --strict, pyright, stubtest, source rules, Cython's own warnings
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(PY) -m mypy.stubtest --concise --ignore-unused-allowlist --allowlist tests/typing/stubtest-allow.txt $(STUBBED)
	$(PY) -m pytest tests/typing tests/source
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && for file in $$(find siphon_http -name '*.pyx' | sort); do \
	  $(VENV)/bin/cython -3 -Wextra -Werror -o "$$out/module.c" "$$file" || exit 1; done

bench: .stamp-test  ## times of the core's benchmarks beside those of the last run here (pytest-benchmark)
	$(PY) -m pytest benchmarks --benchmark-only --benchmark-sort=name --benchmark-columns=min,median,ops -o python_files='bench_*.py' \
	  --benchmark-autosave $(if $(wildcard .benchmarks/*/*.json),--benchmark-compare)

counts: .stamp-test  ## instructions of the core's benchmarks against the saved ones, or AGAINST=REVISION (valgrind)
	$(PY) benchmarks/counts.py $(if $(AGAINST),--against $(AGAINST))

load: .stamp-bench  ## the whole server against nginx, granian, uvicorn, hypercorn, aiohttp and a raw uvloop loop
	$(PY) benchmarks/load/run.py

load-clients: .stamp-bench  ## http.Client against pyreqwest, aiohttp, httpx2 and niquests, with nginx behind them
	$(PY) benchmarks/load/clients.py

h2spec: .stamp-test build/h2spec  ## h2spec --strict against the server, in cleartext and over TLS (needs go)
	$(PY) -m pytest tests/conformance/test_http2.py -k h2spec

# Version 2.2.1: go.mod and go.sum pin it and what it needs, which it does not do itself.
build/h2spec: .ci/h2spec/go.mod
	@cd .ci/h2spec && go build -o $(CURDIR)/build/h2spec github.com/summerwind/h2spec/cmd/h2spec
	@touch $@

annotate: .stamp-test  ## HTML of the Python calls left in the Cython modules
	SIPHON_HTTP_ANNOTATE=1 $(PY) setup.py -q build_ext --inplace --force

asan: .stamp-test  ## the suite under address and undefined-behaviour sanitizers (in a copy: build/asan)
	$(PY) packaging/instrumented.py asan

fuzz: .stamp-test  ## fuzz targets guided by coverage, sanitizers on (clang; build/fuzz); SECONDS=600 for a long run of each
	@$(PY) -m pip install -q --disable-pip-version-check --group fuzz
	$(PY) packaging/instrumented.py fuzz --seconds $(or $(SECONDS),20)

cover: .stamp-test  ## lines of the Cython and Python modules that the suite reaches (in a copy: build/cover; gcc)
	@$(PY) -m pip install -q --disable-pip-version-check --group cover
	$(PY) packaging/instrumented.py cover

docs: .stamp-build  ## the documentation site, into build/site; links are strict, and a browser looks at each page (chromium)
	@$(PY) -m pip install -q --disable-pip-version-check "pip>=25.1"
	@$(PY) -m pip install -q --disable-pip-version-check --group docs
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --clean
	$(PY) packaging/looked_at.py

wheels: $(VENV)/pyvenv.cfg  ## sdist and a wheel for each CPython here; each installed fresh and judged by the suite
	$(PY) packaging/wheels.py

build: .stamp-build  ## build the extension modules in place

# pyvenv.cfg and not the interpreter, which is a link to an older file: a new environment makes the stamps old.
$(VENV)/pyvenv.cfg:
	@{ $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); $(PYTHON) -m virtualenv $(VENV); } || \
	  { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) && $(PYTHON) -m pip --python $(PY) install pip; }; } >.build.log 2>&1 || \
	  { rm -rf $(VENV); echo "cannot make a virtual environment (see .build.log): install python3-venv (Debian: apt-get install python3-venv python3-dev)" >&2; exit 1; }

# On a terminal the first line of what follows takes the place of the notice.
.stamp-build: $(VENV)/pyvenv.cfg $(SOURCES)
	@if [ -t 2 ]; then printf 'building, some minutes ...\r'; else echo 'building, some minutes'; fi >&2
	@$(PY) -m pip install -q --disable-pip-version-check -e . --config-settings editable_mode=compat >.build.log 2>&1 || { cat .build.log >&2; \
	  if grep -q 'Python\.h' .build.log; then echo "the headers of Python are missing (Debian: apt-get install python3-dev)" >&2; fi; exit 1; }
	@touch $@

.stamp-test: .stamp-build
	@$(PY) -m pip install -q --disable-pip-version-check "pip>=25.1"
	@$(PY) -m pip install -q --disable-pip-version-check --group test "Cython>=3.3,<3.4" "setuptools>=77"
	@touch $@

.stamp-lint: .stamp-build
	@$(PY) -m pip install -q --disable-pip-version-check "pip>=25.1"
	@$(PY) -m pip install -q --disable-pip-version-check --group lint
	@touch $@

.stamp-bench: .stamp-build
	@$(PY) -m pip install -q --disable-pip-version-check "pip>=25.1"
	@$(PY) -m pip install -q --disable-pip-version-check --group bench
	@touch $@

clean:  ## remove what was built
	rm -rf build dist .stamp-* .build.log *.egg-info $(VENV)
	find siphon_http \( -name '*.so' -o -name '*.c' -o -name '*.html' \) -delete
