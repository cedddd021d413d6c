# The environment holds what the constraints pin, and is shared by all clones with the same constraints;
# .venv holds this clone's own `pingti` on top of it and is made in two seconds.
PYTHON ?= python3
CACHE := $(or $(PINGTI_CACHE),$(HOME)/.cache/pingti)
DIGEST := $(shell (cat constraints.txt; $(PYTHON) .ci/requirements.py dev) | $(PYTHON) -c 'import hashlib,sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest()[:12])')
VENV ?= $(CACHE)/venv-$(DIGEST)
RUN := .venv/bin/python
DIST := dist
export PYTHONUNBUFFERED = 1

.DEFAULT_GOAL := help
.PHONY: help preflight env jars demo test test-unit test-spark test-contract e2e faults check format golden bench bench-scale bench-night bench-train bench-teacher races package clean

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 16

$(VENV)/.ready:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "pingti: Python 3.11 or newer is needed, $(PYTHON) is older; set PYTHON= to one")'
	@echo "Making the environment in $(VENV) (a few minutes, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(PYTHON) .ci/requirements.py dev > $(VENV)/requirements.txt
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r $(VENV)/requirements.txt
	@touch $@

.venv/.ready: $(VENV)/.ready pyproject.toml
	@rm -rf .venv
	@$(VENV)/bin/python -m venv --without-pip .venv
	@$(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$$($(RUN) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shared.pth"
	@$(VENV)/bin/python -m pip --python $(RUN) install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@

env: .venv/.ready ## Make the environment

jars: .venv/.ready ## Fetch Delta's JARs, once, checked by digest
	@$(RUN) -m jobs.runtime.jars

# Before anything is installed: Java, and room for the environment (10 GiB) and for the warehouse (2 GiB).
preflight:
	@test -e $(VENV)/.ready || $(PYTHON) -m jobs.runtime.environment $(VENV) 10
	@$(PYTHON) -m jobs.runtime.environment build 2

demo: preflight jars ## The main job end to end on the demo corpus, under 10 minutes
	@.venv/bin/pingti demo

# Side by side: the session of the one ring waits for its disk while the other rings compute.
test: preflight jars ## Every test but the long ones, some 8 minutes
	@mkdir -p build
	@$(RUN) -m pytest tests/unit tests/contract -m "not faults" > build/test-unit.log 2>&1 & unit=$$!; \
	$(RUN) -m pytest tests/spark -m "not faults"; spark=$$?; \
	wait $$unit; unit=$$?; cat build/test-unit.log; \
	test $$spark -eq 0 -a $$unit -eq 0

test-unit: .venv/.ready ## Tests without a JVM
	@$(RUN) -m pytest tests/unit -m "not faults"

test-spark: jars ## Tests with the shared local session
	@$(RUN) -m pytest tests/spark -m "not faults"

test-contract: jars ## torch = ONNX, Spark = plain
	@$(RUN) -m pytest tests/contract

e2e: preflight jars ## The long tests, some 9 minutes
	@$(RUN) -m pytest tests/e2e -m "not faults"

faults: preflight jars ## Files larger than memory; streams, loads and a small cluster with processes killed under way
	@$(RUN) -m pytest tests/unit tests/spark tests/e2e -m faults

check: .venv/.ready ## ruff, mypy strict, import contracts
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .
	@$(RUN) -m mypy
	@$(RUN) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()'

format: .venv/.ready ## Format the code
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .

golden: .venv/.ready ## Rewrite the golden files and docs/settings.md; read the difference before you commit it
	@$(RUN) tests/golden_update.py

.venv/.bench: .venv/.ready
	@$(PYTHON) .ci/requirements.py bench | $(VENV)/bin/python -m pip --python $(RUN) install --quiet --disable-pip-version-check --no-deps -r /dev/stdin
	@touch $@

bench: jars .venv/.bench ## Speed of engines, other models, and whole jobs, one core, to build/bench/
	@$(RUN) -m benchmarks.engines
	@$(RUN) -m benchmarks.job
	@$(RUN) -m benchmarks.tell

bench-night: jars ## A night's news at warehouses of 1, 30 and 365 days, and twenty tasks, to build/bench/night.json
	@$(RUN) -m benchmarks.night

bench-train: .venv/.ready ## Rows a second of training, against a plain PyTorch loop, to build/bench/train.json
	@$(RUN) -m benchmarks.train

bench-teacher: .venv/.ready ## Texts and tokens a second of a BERT-base teacher, against the plain pipeline, to build/bench/teacher.json
	@$(RUN) -m benchmarks.teacher

bench-scale: jars .venv/.bench ## Ten million rows on one core and two, and a model of many cores
	@$(RUN) -m benchmarks.scale

races: jars ## Two processes write one table at once, 200 times by each pair of writers
	@$(RUN) -m benchmarks.races

package: .venv/.ready ## dist/pingti.zip and dist/submit.py, for spark-submit from anywhere
	@rm -rf $(DIST)
	@$(RUN) -m build --wheel --no-isolation --outdir $(DIST) . > /dev/null
	@cp $(DIST)/pingti-*.whl $(DIST)/pingti.zip
	@cp jobs/submit.py $(DIST)/submit.py
	@echo "$(DIST)/pingti.zip; submit a job with:"
	@echo "  spark-submit --properties-file conf/spark/cpu.conf --jars DELTA_JARS --py-files $(DIST)/pingti.zip $(DIST)/submit.py JOB --settings FILE"

clean: ## Remove what was built here
	@rm -rf build dist .venv
