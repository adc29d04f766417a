# Everything that is done to this tree, by name; `make` alone lists it.
#
# It needs Python >= 3.11 with pip, git and make. The environment is .venv, made from uv.lock and made again only when
# pyproject.toml or uv.lock changed. A uv on PATH is used; where there is none, one is installed into .tools. Nothing is
# installed anywhere else, and no Python is downloaded.
#
#   make test ARGS="-k stale"      hands ARGS to pytest
#   make test PYTHON=python3.13    chooses the interpreter when .venv is made

UV_VERSION := 0.13.9
BIN := .venv/bin
READY := .venv/.ready
PINNED_UV := uv==$(UV_VERSION)
OWN_UV := .tools/uv-$(UV_VERSION)/bin/uv

# The first of these that runs and is new enough. Looked for only when it is needed.
VERSIONS := python3 python3.13 python3.12 python3.11 python3.14
NEW_ENOUGH := import sys; sys.version_info >= (3, 11) or sys.exit(1); print(sys._base_executable)
PYTHON ?= $(shell for python in $(VERSIONS); do $$python -c '$(NEW_ENOUGH)' 2>/dev/null && break; done)
NO_PYTHON := Python 3.11 or newer is needed, and none of these is one: $(VERSIONS). Name one: make PYTHON=/path/to/python3
NO_UV := uv could not be installed into .tools. The lines above say why; on Debian, "apt install python3-venv" may be missing.

# The tests wait most of the time, for servers to start and for time to pass: more of them at once than processors.
SIDE_BY_SIDE := -n 4 --dist loadfile

UV := $(shell uv --version >/dev/null 2>&1 && echo uv || echo $(OWN_UV))

export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS ?= true
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test check style lint mypy pyright layers coverage bench format build lock clean

help: ## List these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  \1             \2/p' $(firstword $(MAKEFILE_LIST)) | sed 's/^\(  .\{10\}\) */\1/'

demo: $(READY) ## Run examples/quickstart.py
	$(BIN)/python examples/quickstart.py

test: $(READY) ## Run the tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) $(ARGS)

check: style lint mypy pyright layers coverage ## Run all that must pass: the next six, in this order

style: $(READY) ## Check that the code is formatted
	$(BIN)/ruff format --check

lint: $(READY) ## Check the lint rules
	$(BIN)/ruff check

mypy: $(READY) ## Check types with mypy
	$(BIN)/mypy

pyright: $(READY) ## Check types with basedpyright
	$(BIN)/basedpyright --pythonpath $(BIN)/python

layers: $(READY) ## Check that no layer imports one above it
	$(BIN)/lint-imports

coverage: $(READY) ## Run the tests, and fail if a branch was not taken
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(SIDE_BY_SIDE) $(ARGS)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

bench: $(READY) ## Run the benchmarks
	$(BIN)/python tests/benchmarks

format: $(READY) ## Format the code and mend what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

build: $(READY) ## Build the sdist, and from it the wheel, into dist/
	$(UV) build --no-build-isolation --python $(BIN)/python --out-dir dist

lock: | $(filter $(OWN_UV),$(UV)) ## Bring uv.lock up to date with pyproject.toml
	$(UV) lock

clean: ## Remove everything that make and the checks leave behind
	rm -rf .venv .tools dist build .coverage .coverage.* .hypothesis
	rm -rf .benchmarks .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml uv.lock | $(filter $(OWN_UV),$(UV))
	@python='$(PYTHON)'; test -n "$$python" || { echo '$(NO_PYTHON)' >&2; exit 1; }; \
	echo "Making .venv with $$python"; \
	$(UV) sync --quiet --locked --python "$$python"
	@touch $@

# pip alone is enough where Python came without venv.
$(OWN_UV):
	@python='$(PYTHON)'; test -n "$$python" || { echo '$(NO_PYTHON)' >&2; exit 1; }; \
	home=.tools/uv-$(UV_VERSION); rm -rf $$home; \
	{ "$$python" -m venv $$home >/dev/null 2>&1 && $$home/bin/python -m pip install --quiet --disable-pip-version-check $(PINNED_UV); } || \
	{ rm -rf $$home; "$$python" -m pip install --quiet --disable-pip-version-check --target $$home $(PINNED_UV); } || \
	{ rm -rf $$home; echo '$(NO_UV)' >&2; exit 1; }
