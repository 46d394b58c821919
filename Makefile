# What is done again and again. With a virtual environment that has requirements-dev.txt.
PYTHON ?= python
# Four for two cores: many tests wait for a process or a browser.
WORKERS ?= 4

.PHONY: quick test browser lint bench docs notebooks torture torture-night

# Mathematics, the contract of all strategies, the store with runs of old versions, the forms: about a minute on 2
# quiet cores, under 3 where they are busy.
QUICK = tests/method tests/strategies tests/storage tests/test_algorithm.py tests/training/test_units.py \
	tests/training/test_outcomes.py tests/training/test_ensemble.py tests/estimate/test_costs.py \
	tests/estimate/test_outline.py tests/estimate/test_forecast.py tests/studies/test_grid.py \
	tests/runs/test_run.py tests/runs/test_record.py tests/runs/test_artifacts.py tests/runs/test_workspace.py \
	tests/runs/test_old_runs.py tests/export/test_export.py tests/ui/test_forms.py tests/test_config.py \
	tests/test_events.py tests/test_errors.py tests/test_lineup.py tests/test_seeding.py tests/test_presets.py \
	tests/test_text.py tests/test_architecture.py tests/test_docs.py
quick:
	$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal $(QUICK)

# Everything, as the README and CI run it.
test:
	$(PYTHON) -m pytest -n $(WORKERS) --dist worksteal

# The tests that drive a real Chromium.
browser:
	RAMBO_REQUIRE_BROWSER=1 $(PYTHON) -m pytest tests/e2e

lint:
	ruff check .
	ruff format --check .
	mypy

# Speed of what takes the time, against what is written down in benchmarks/results/.
bench:
	$(PYTHON) -m benchmarks

# The parts of docs/ that are made from the code.
docs:
	$(PYTHON) docs/refresh.py

# Faults injected on purpose: kill -9, failing writes, power cuts, flipped bits, odd inputs, two sessions at once.
# SEED=N draws others; what is right is in docs/reliability.md. Some minutes, or a night; needs a C compiler.
SEED ?= 0
torture:
	$(PYTHON) tests/torture --seed $(SEED)

torture-night:
	$(PYTHON) tests/torture --size night --seed $(SEED)

# What the notebooks show, run again in fresh kernels.
notebooks:
	$(PYTHON) notebooks/refresh.py
