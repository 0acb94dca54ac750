# The commands of the project. A bare clone needs Python 3.11 or later and make; everything goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
export PYTHONUNBUFFERED := 1
TESTS ?= not slow
# Large pages for large buffers: training steps on a Linux CPU map theirs anew at every run.
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1

.PHONY: install demo test torture lint docs bench clean

install: .venv/installed

.venv/installed: requirements.txt pyproject.toml setup.py
	@echo "installing into .venv: JAX for the CPU and what the project and its tests need; 2 to 4 minutes, 1.4 GB"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install -q --upgrade pip
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q -r requirements.txt -e '.[test]'
	@touch .venv/installed
	@echo "installed; in each new shell: . .venv/bin/activate"

demo: install
	rm -rf runs/demo
	$(BIN)/python scripts/train.py --data drawn:1500 --name demo --model resnet18 --size 64 --steps 700 --val-every 350
	$(BIN)/python scripts/replay.py --run runs/demo --step 600 --out runs/demo/sheet.png
	$(BIN)/python scripts/evaluate.py --run runs/demo --out runs/demo/evaluation.json
	$(BIN)/python scripts/predict.py --run runs/demo --out runs/demo/submission.csv --spread runs/demo/spread.csv --overlays runs/demo/overlays
	@echo
	@echo "Look at:  runs/demo/sheet.png        a training batch as the network saw it, re-created from the saved key"
	@echo "          runs/demo/overlays/        predictions (green) and truth (red) on faces it never saw"
	@echo "          runs/demo/submission.csv   the contest's file; runs/demo/evaluation.json the scores"
	@echo "          runs/demo/spread.csv       the expected error of every point, in pixels of its image"

# Twice: what is about bits or numbers as users' code, the rest as code that compiles in half the time.
test: install
	JAXMARKS_TESTS=light $(BIN)/python -m pytest -m "$(TESTS) and not bits"
	$(BIN)/python -m pytest -m "$(TESTS) and bits"

# Faults at every place that writes, damaged files and more; TORTURE=--long takes all of them.
torture: install
	$(BIN)/python scripts/bench/torture/run.py $(TORTURE)

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

# The site of docs/ and of the docstrings, in build/docs; a link that leads nowhere is an error.
docs: .venv/docs
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "build/docs/index.html"

.venv/docs: .venv/installed
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install -q -e '.[docs]'
	touch .venv/docs

bench: install
	$(BIN)/python scripts/bench/run.py $(BENCH_ARGS)

clean:
	rm -rf .venv runs build *.egg-info
