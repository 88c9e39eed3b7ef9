# make app        installs what is needed into .venv and serves the editor on http://127.0.0.1:7860
# make test       installs the tests' tools too and runs the tests
# make test-all   the slow ones as well
# make lint       style
# make runs       trains and measures the four models and the ablations: DATA=faces64.safetensors STEPS=…
# make report     writes docs/report.md from them; VECTORS=table.json of vaegan.select adds its table,
#                 ABLATIONS=folder says where those runs are, if not in runs/compare

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A venv without pip, where Python's own parts are missing, must not be taken for a whole one.
.DELETE_ON_ERROR:
.PHONY: app test test-all lint runs report

app: $(VENV)/app
	$(BIN)/python app.py

test: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest -q -m "not slow"

test-all: test
	$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

runs: $(VENV)/dev
	PYTHON=$(BIN)/python benchmarks/compare.sh $(DATA) $(STEPS)

report: $(VENV)/dev
	$(BIN)/python docs/report.py runs/compare $(if $(VECTORS),--vectors $(VECTORS)) \
		$(if $(ABLATIONS),--ablations $(ABLATIONS))

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/app: requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -r requirements.txt
	touch $@

$(VENV)/dev: requirements-dev.txt $(VENV)/app
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	touch $@
