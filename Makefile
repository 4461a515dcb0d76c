# make reproduce   trains on the built-in data and draws every figure, table and claim (eleven minutes on two free cores, more on busy ones)
# make gallery     the same for every script in analyses/ (an hour and a half on two free cores)
# make test        format, lint, types and tests
# make docs        builds the site of the documents into site/: open site/index.html
# make tutorials   runs the tutorials and writes anew what they print and draw
# make fuzz        20,000 damaged, foreign and hostile inputs at every border; FUZZ="--count 300 --only config" for fewer
# make kills       kills trainings and other commands 200 times, starts them again, and compares what they leave
# make setup       .venv with the package as it stands here and all that its tests need
# make dist        sdist and wheel in dist/, looked over; the same bytes for the same commit
# make dist-test   installs the wheel in new environments of Python 3.11, 3.12 and 3.13 and takes a newcomer's first steps there;
#                  DIST_TEST="--fresh 3.12 --torch 2.11.0" for some
# make bench       times the core against plain code: make bench BENCH="--works B --learn2learn FOLDER"; see benchmarks/
PYTHON ?= python3
PRESET ?= quick
BENCH ?=
FUZZ ?=
KILLS ?=
DIST_TEST ?= --fresh 3.11 3.12 3.13
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup reproduce gallery test figures docs tutorials bench fuzz kills dist dist-test clean

$(READY): pyproject.toml setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt setuptools torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[test]"
	touch $@

setup: $(READY)

reproduce: $(READY)
	$(BIN)/python -m analyses --core --preset $(PRESET) --readme README.md

gallery: $(READY)
	$(BIN)/python -m analyses --preset $(PRESET) --readme README.md

figures: $(READY)
	$(BIN)/python -m analyses --from-table --readme README.md

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

tutorials: $(READY)
	$(BIN)/python docs/site/tutorials.py

fuzz: $(READY)
	$(BIN)/python -m tests.fuzz $(FUZZ)

kills: $(READY)
	$(BIN)/python -m tests.fuzz.kills $(KILLS)

dist: $(READY)
	$(BIN)/python -m tests.release

dist-test: $(READY)
	$(BIN)/python -m tests.release $(DIST_TEST)

bench: $(READY)
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf .venv runs site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
