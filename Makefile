# One file for people who type `make`; README says what to type where there is no make.
SHELL := /bin/sh
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
# Nobody types these; they reach galhelpers run: make run ARGS="02 --profile full"
ARGS ?=
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
# Without the exercise book, which records no numbers.
UNITS := $(sort $(wildcard notebooks/[0-9]*.ipynb))
# The later a notebook, the longer it runs: the short ones fill the gap at the end.
LATEST_FIRST := $(shell ls -r notebooks/*.ipynb)
# A folder of their own: nothing of an earlier run or of a learner's is taken for theirs.
RESULTS := "$(CURDIR)/runs/make"
# Two processes of one thread each: a whole file, or a whole notebook, stays with one of them.
TWO := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist loadfile

# Without compiled bytecode every notebook would pay seconds at each import.
export PYTHONDONTWRITEBYTECODE :=
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.PHONY: help install run test lint types unit notebooks browser lab doctor execute bench lock clean

help:  ## List what make can do here
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock requirements-uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	"Python 3.11 or newer is needed, $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12" % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install -q --disable-pip-version-check \
	    --require-hashes -r requirements-uv.lock
	$(BIN)/uv pip sync -q --python $(BIN)/python --compile-bytecode --require-hashes requirements.lock
	$(BIN)/uv pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

install: $(INSTALLED)  ## Make .venv with the locked packages

run: $(INSTALLED)  ## Execute every notebook and write the report (ARGS="--profile full ...")
	$(BIN)/galhelpers run $(ARGS)

lab: $(INSTALLED)  ## Open JupyterLab on the notebooks
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks  # links lead to docs/ too

doctor: $(INSTALLED)  ## Say whether this machine is ready for the course
	$(BIN)/galhelpers doctor

test: $(INSTALLED) lint types unit notebooks browser  ## Run every check of the project

lint: $(INSTALLED)  ## Style, spelling, imports that point downward, tidy notebooks, links to the glossary
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python tests/tidy_notebooks.py --check $(NOTEBOOKS)
	$(BIN)/python tests/link_glossary.py --check
	$(BIN)/python -m tests.exercise_book --check

types: $(INSTALLED)  ## Type check of the package
	$(BIN)/mypy

unit: $(INSTALLED)  ## Unit tests and doctests
	$(TWO) -m "not browser" tests --doctest-modules galhelpers

notebooks: $(INSTALLED)  ## Execute the notebooks again, compare with the committed outputs and results
	rm -rf $(RESULTS)
	$(BIN)/galhelpers fetch simulated >/dev/null  # once, not by two notebooks at the same time
	GALHELPERS_OUT=$(RESULTS) $(TWO) --no-loadscope-reorder --nbval --nbval-current-env \
	    --nbval-cell-timeout 300 --nbval-sanitize-with tests/nbval_sanitize.cfg $(LATEST_FIRST)
	$(BIN)/python tests/expected_results.py $(RESULTS) $(UNITS)

browser: $(INSTALLED)  ## JupyterLab in a real browser
	$(BIN)/python -m pytest -q -m browser tests/browser

execute: $(INSTALLED)  ## Execute the notebooks in place, ready to commit
	rm -rf $(RESULTS)
	$(BIN)/python tests/link_glossary.py --write
	GALHELPERS_OUT=$(RESULTS) OMP_NUM_THREADS=1 $(BIN)/python tests/tidy_notebooks.py --execute $(UNITS)
	$(BIN)/python -m tests.exercise_book --write
	$(BIN)/python tests/expected_results.py $(RESULTS) --update

bench: $(INSTALLED)  ## Benchmarks against other packages (makes an environment for them)
	$(BIN)/python benchmarks/images.py
	$(BIN)/python benchmarks/ode.py
	$(BIN)/python benchmarks/bayes.py

lock: $(INSTALLED)  ## Resolve the dependencies again
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	    pyproject.toml --group dev -o requirements.lock
	sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock | $(BIN)/uv pip compile -q --universal --python-version 3.11 \
	    --generate-hashes - -o requirements-uv.lock

clean:  ## Remove .venv and caches; data and runs stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
