# Everything that is done twice has a target here; `make help` lists them. Python 3.11 or newer, make
# and (for the native kernels) g++ or clang++ are all that must be there: pip fetches the rest.

PYTHON ?= python3
# For `make test-newest`: a newer Python gets a newer JAX.
PYTHON_NEWEST ?= python3.13
# Test processes side by side.
WORKERS ?= $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -le 8 ] && echo $$n || echo 8)
# Passed on to what the target runs: make run ARGS=--help, make test ARGS="-k delay"
ARGS ?=
PIP_FLAGS ?= -q
PUBLISHED ?= coba coba_brette cuba brunel_sr brunel_si_fast brunel_ai brunel_si_slow pd14_tenth

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1
export PIP_RETRIES ?= 10
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# Native kernels exist for Linux. There, a test run without them is an error.
LINUX := $(filter Linux,$(shell uname -s))
REQUIRE_NATIVE := BRAINJAX_REQUIRE_NATIVE=$(if $(LINUX),1,0)

BIN := .venv/bin
# The folder itself stands for files that came or went.
NATIVE_SOURCES := CMakeLists.txt csrc $(shell find csrc -type f)
PYTEST_FLAGS := -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help run reproduce install test slow asan emulated gpu-check test-pure test-newest lint format \
        types docs notebooks oracles bench transforms clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-12s %s\n", $$1, $$2}'

run: .venv/.run ## Install into .venv and run the COBA benchmark network, the first thing to try
	@$(BIN)/brainjax run configs/coba.toml $(ARGS)

reproduce: .venv/.run ## Run the published networks over ten seeds, beside the published values
	@$(BIN)/brainjax reproduce $(PUBLISHED) $(ARGS)

install: .venv/.dev ## Install for development into .venv: editable, native library, every tool

test: .venv/.dev ## Run the tests on the present sources, with the native library
	$(REQUIRE_NATIVE) $(BIN)/pytest $(PYTEST_FLAGS) $(ARGS)

slow: .venv/.dev ## Run the tests that take minutes
	$(REQUIRE_NATIVE) $(BIN)/pytest -m slow $(ARGS)

# Kernels that LLVM compiles at run time are not instrumented: the handler that calls them is. What
# runs in plain JAX, or tests the kernels' arithmetic, is left out.
asan: .venv/.dev ## Test the native library under AddressSanitizer and UBSan
	@mkdir -p build
	$(CXX) -g -O1 -ffp-contract=off -fno-omit-frame-pointer -fsanitize=address,undefined \
	  -fno-sanitize-recover=undefined -shared -fPIC -std=c++17 -Wall -Wextra -Icsrc \
	  -isystem csrc/third_party csrc/*.cc -o build/brainjax_asan.so
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 BRAINJAX_TEST_LIBRARY=$(CURDIR)/build/brainjax_asan.so \
	  $(BIN)/pytest -q -p no:cacheprovider tests/ops/test_fuzz.py tests/ops/test_formats.py \
	  tests/ops/test_groups.py tests/ops/test_deliver.py tests/ops/test_deliver_tables.py \
	  tests/ops/test_deliver_derivatives.py tests/ops/test_log.py tests/ops/test_map_native.py \
	  tests/ops/test_loop.py tests/network/test_loop.py tests/bad_input/test_traced.py $(ARGS) \
	  -k "not [jax and not without_jit and not a_primitive_is and not right_to_the_last and not swept and not coba"

# The kernels for GPUs, made by a C++ compiler of loops over threads and blocks: with blocks of few
# threads, and of as many as on a GPU.
emulated: .venv/.dev ## Test the CUDA kernels without a GPU, under AddressSanitizer and UBSan
	@mkdir -p build
	@set -e; for threads in "8 -DBRAINJAX_LANES=4" "512 -DBRAINJAX_LANES=32"; do \
	  $(CXX) -x c++ -g -O1 -ffp-contract=off -fno-omit-frame-pointer -fsanitize=address,undefined \
	  -fno-sanitize-recover=undefined -shared -fPIC -std=c++17 -Wall -Wextra -Icsrc \
	  -isystem csrc/third_party -DBRAINJAX_THREADS=$$threads csrc/cuda/*.cu \
	  -o build/brainjax_emulated.so; \
	  LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	  ASAN_OPTIONS=detect_leaks=0 \
	  BRAINJAX_TEST_EMULATED=$(CURDIR)/build/brainjax_emulated.so \
	  $(BIN)/pytest -q -p no:cacheprovider tests/ops/test_fuzz.py tests/ops/test_formats.py \
	  tests/ops/test_groups.py tests/ops/test_deliver.py tests/ops/test_deliver_tables.py \
	  tests/ops/test_deliver_derivatives.py tests/network/test_procedural.py tests/gpu \
	  tests/bad_input/test_traced.py $(ARGS) \
	  -m "not slow" -k "not [jax and not without_jit and not change_no_bit"; \
	done

# In an environment of its own, or in that of `make gpu-check GPU_PYTHON=python3`, into which nothing is
# installed.
gpu-check: $(if $(GPU_PYTHON),,.venv-gpu/.done) ## Build for the NVIDIA GPU that is here, test on it, and measure
	$(or $(GPU_PYTHON),.venv-gpu/bin/python) tests/gpu/check.py $(ARGS)

lint: .venv/.dev ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/.dev ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: .venv/.dev ## Check the types
	$(BIN)/pyright --pythonpath $(BIN)/python

docs: .venv/.dev ## Build the documentation into site/; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

transforms: .venv/.dev ## Write docs/transforms.md anew from the matrix that the tests prove
	cd tests && ../$(BIN)/python -m ops.transforms

notebooks: .venv/.dev ## Execute every notebook, made small, into build/notebooks/
	@mkdir -p build/notebooks
	@set -e; found=0; for notebook in notebooks/*.ipynb; do \
	  [ -e "$$notebook" ] || continue; found=$$((found + 1)); \
	  BRAINJAX_NOTEBOOK_FAST=1 $(BIN)/python -m nbconvert --log-level WARN --execute \
	    --to notebook --ExecutePreprocessor.timeout=900 --ExecutePreprocessor.kernel_name=python3 \
	    --output-dir build/notebooks "$$notebook"; \
	  echo "$$notebook ran"; \
	done; echo "$$found notebooks ran"

bench: .venv/.run .venv-oracles/.done .venv-peers/.done ## Run the benchmarks beside their peers
	$(BIN)/python benchmarks/run.py $(ARGS)

oracles: .venv-oracles/.done ## Make the reference traces anew with NEST and Brian2
	.venv-oracles/bin/python tests/oracles/nest_lif.py $(ARGS)
	.venv-oracles/bin/python tests/oracles/brian2_lif.py $(ARGS)
	.venv-oracles/bin/python tests/oracles/nest_microcircuit.py $(ARGS)

test-pure: .venv-pure/.created ## Build without a compiler; check that the result is pure JAX and works
	@mkdir -p build && rm -rf build/pure
	@echo "Building a wheel where the compiler fails"
	@env -u BRAINJAX_REQUIRE_NATIVE CXX=false .venv-pure/bin/pip wheel -v --no-deps -w build/pure . \
	  > build/pure.log 2>&1 || { cat build/pure.log; exit 1; }
	@grep 'this is a pure JAX build' build/pure.log || { cat build/pure.log; exit 1; }
	@ls build/pure/brainjax-*-py3-none-any.whl
	.venv-pure/bin/pip install $(PIP_FLAGS) "$$(ls $(CURDIR)/build/pure/*.whl)[test]"
	.venv-pure/bin/pip install $(PIP_FLAGS) --no-deps --force-reinstall build/pure/*.whl
	cd build && PYTHONSAFEPATH=1 ../.venv-pure/bin/python -c "import brainjax; \
	  info = brainjax.info(); print(info); \
	  assert info['ops'] == 'jax' and 'absent' in info['native_library'], 'not pure JAX'"
	PYTHONSAFEPATH=1 .venv-pure/bin/pytest -q -n $(WORKERS) -m pure tests $(ARGS)

test-newest: .venv-newest/.created ## Test the wheel on PYTHON_NEWEST with the newest JAX it allows
	@rm -rf build/newest
	$(REQUIRE_NATIVE) .venv-newest/bin/pip wheel $(PIP_FLAGS) --no-deps -w build/newest .
	.venv-newest/bin/pip install $(PIP_FLAGS) --upgrade --upgrade-strategy eager \
	  "$$(ls $(CURDIR)/build/newest/*.whl)[test]"
	.venv-newest/bin/pip install $(PIP_FLAGS) --no-deps --force-reinstall build/newest/*.whl
	$(REQUIRE_NATIVE) PYTHONSAFEPATH=1 .venv-newest/bin/pytest -q -x $(PYTEST_FLAGS) tests $(ARGS)

clean: ## Remove environments, builds and caches
	rm -rf .venv .venv-pure .venv-newest .venv-gpu .venv-oracles .venv-peers build dist site brainjax/_native
	rm -rf .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- environments: each stamp is as old as its last install ----

# $(call venv,FOLDER,PYTHON)
define venv
@$(2) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "BrainJAX needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
@$(2) -m venv --clear $(1) || { \
  echo "$(2) cannot make environments; on Debian: apt install python3-venv"; exit 1; }
@touch $(1)/.created
endef

.venv/.created:
	$(call venv,.venv,$(PYTHON))

.venv-pure/.created:
	$(call venv,.venv-pure,$(PYTHON))

.venv-newest/.created:
	$(call venv,.venv-newest,$(PYTHON_NEWEST))

# A library of earlier sources must not survive a build that failed.
.venv/.run: .venv/.created pyproject.toml $(NATIVE_SOURCES)
	@rm -rf brainjax/_native
	@echo "Installing BrainJAX into .venv (the first time takes some minutes)"
	@$(BIN)/pip install $(PIP_FLAGS) -e ".[plot,io]"
	@[ -e brainjax/_native/brainjax_cpu.so ] || echo "*** BrainJAX runs in pure JAX here: the \
	native library was not built. A C++17 compiler and 'make clean run' mend that on Linux."
	@touch $@

.venv/.dev: .venv/.created pyproject.toml $(NATIVE_SOURCES)
	@rm -rf brainjax/_native
	@echo "Installing BrainJAX for development into .venv"
	@$(REQUIRE_NATIVE) $(BIN)/pip install $(PIP_FLAGS) -e ".[dev]"
	@touch .venv/.run $@

# The newest JAX for GPUs: JAX_GPU=jax[cuda12] for older drivers.
JAX_GPU ?= jax[cuda13]
.venv-gpu/.done: pyproject.toml
	$(call venv,.venv-gpu,$(PYTHON))
	@echo "Installing BrainJAX and JAX for GPUs into .venv-gpu (some gigabytes)"
	.venv-gpu/bin/pip install $(PIP_FLAGS) ".[test]" "$(JAX_GPU)"
	@touch $@

.venv-oracles/.done: tests/oracles/requirements.txt
	$(call venv,.venv-oracles,$(PYTHON))
	.venv-oracles/bin/pip install $(PIP_FLAGS) -r tests/oracles/requirements.txt
	@touch $@

.venv-peers/.done: benchmarks/peers/requirements.txt
	$(call venv,.venv-peers,$(PYTHON))
	.venv-peers/bin/pip install $(PIP_FLAGS) -r benchmarks/peers/requirements.txt
	@touch $@
