# make run: set up once, then the whole line on the embedded default. make test: set up once, then the tests.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: run test check bench clean

run: $(READY)
	$(BIN)/python -m grpo.run --config v4_1.yaml $(ARGS)

test: $(READY)
	$(BIN)/python -m pytest $(ARGS)

check: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

bench: $(READY)
	$(BIN)/python benchmarks/learning.py $(ARGS)

# torch first and by its exact version: where a CPU build of it is on offer, a range would take the CUDA build instead.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[train,track,test]'
	touch $@

clean:
	rm -rf .venv runs
