# `make demo` and `make test` set up everything they need in .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-cluster check format clean

demo: $(STAMP)  ## the whole job, small: corpus, store, grid, fits, zero-shot, report
	$(BIN)/relscale demo

test: $(STAMP)  ## every test but those of clusters, in two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup

test-cluster: $(STAMP)  ## clusters and servers started on this machine: autoscaling, kills, object store, submission
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m cluster -n 3 --dist loadgroup  # they mostly wait

check: $(STAMP)  ## lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# torch first and pinned: left to a resolver it may come as a CUDA build of several GB.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev,sql]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) runs
