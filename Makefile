# Everything on a Debian or Ubuntu that has only Python >= 3.10, make and git:
#   make demo      five episodes of the simulated robot over ROS 2, a live view, and a picture
#   make test      the tests
#   make check     lint and types
#   make test-distributions   the ROS tests on Jazzy's and Kilted's wheels, with each Python here
#   make profile   where the time of one cycle goes
#   make fuzz      broken images by the RUNS, guided by coverage
#   make soak      a driving node for CYCLES, with all that may happen to it mixed in
#   make faults    bring about every fault of docs/faults.md and write its table
#   make rooms     draw docs/architecture.md's picture from the code
#   make trouble   write docs/troubleshooting.md from the symptoms' data
#   make bench     what the node costs, beside an idiomatic node and a bare echo
#   make gpu-bench parity and times of every backend on a GPU, in eight minutes, without ROS 2
# Each sets itself up in .venv the first time; later calls start at once.

PYTHON ?= python3
VENV ?= .venv
GPU_VENV ?= .venv-gpu
ROS_DOMAIN_ID ?= 42
ARGS ?=
RUNS ?= 1000000
CYCLES ?= 200000

BIN := $(VENV)/bin
PY := $(BIN)/python
PIP_INSTALL := python -m pip install --quiet --disable-pip-version-check
PIP := $(BIN)/$(PIP_INSTALL)
# torch is pinned: the checkpoint, the exporter and the figures in policy.yaml belong to it.
TORCH := torch==2.13.0
SOURCES := $(wildcard setup.py vla_nav_node launch test)

export ROS_DOMAIN_ID
export ROS_AUTOMATIC_DISCOVERY_RANGE ?= LOCALHOST
# A ROS 2 that was sourced in this shell is another Python's: keep it out of the environment.
unexport PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH PYTHONHOME _ROS_WHEELS_BOOTSTRAP_COMPLETE

# What renders here, tried for real; where nothing does, it prints the line that mends it.
WITH_GL = gl=$$($(PY) -m vla_nav_node.sim.world.rendering) || exit 2; export MUJOCO_GL=$$gl;

.PHONY: help rooms trouble demo test check train evaluate profile fuzz soak faults bench gpu-bench clean \
  test-distributions
.DELETE_ON_ERROR:

help:
	@sed -n 's/^#   //p' Makefile

demo: $(VENV)/.ready-demo
	@$(WITH_GL) $(PY) -m vla_nav_node.cli demo $(ARGS)

test: $(VENV)/.ready-test
	@$(WITH_GL) ROS_PYTHON_CHECK_FIELDS=1 $(PY) -m pytest $(ARGS)

test-distributions: $(VENV)/.ready-test
	@test/distributions.sh $(ARGS)

faults: $(VENV)/.ready-test
	@$(WITH_GL) WRITE_FAULTS=1 ROS_PYTHON_CHECK_FIELDS=1 $(PY) -m pytest test/faults/test_faults.py $(ARGS)

rooms:
	@$(PYTHON) test/rooms.py

trouble: $(VENV)/.ready-demo
	@$(PY) test/trouble.py

# All four, whatever the first ones say.
check: $(VENV)/.ready-check
	@status=0; \
	for tool in flake8 pydocstyle "ruff check"; do \
	  echo "== $$tool"; $(PY) -m $$tool $(SOURCES) || status=1; \
	done; \
	echo "== mypy"; $(PY) -m mypy $(filter-out launch test,$(SOURCES)) || status=1; \
	exit $$status

# Quiet machine, please. For the full claim: make bench ARGS='--frames 10000'
bench: $(VENV)/.ready-test
	@$(PY) -m vla_nav_node.cli latency $(ARGS)

gpu-bench: $(GPU_VENV)/.ready
	@$(GPU_VENV)/bin/python -m vla_nav_node.cli gpu-bench $(ARGS)

train: $(VENV)/.ready-test
	@$(WITH_GL) $(PY) -m vla_nav_node.cli train $(ARGS)

evaluate: $(VENV)/.ready-test
	@$(WITH_GL) $(PY) -m vla_nav_node.cli evaluate $(ARGS)

profile: $(VENV)/.ready-demo
	@$(PY) -m vla_nav_node.cli profile $(ARGS)

fuzz: $(VENV)/.ready-fuzz
	@$(PY) test/fuzz_images.py --runs $(RUNS) $(ARGS)

soak: $(VENV)/.ready-test
	@$(PY) test/soak.py --cycles $(CYCLES) $(ARGS)

clean:
	rm -rf $(VENV) $(GPU_VENV) .venv-jazzy-* .venv-kilted-* build install log out *.egg-info .pytest_cache .mypy_cache .ruff_cache

# The stamps: one for each set of packages, made anew when what they are made from changes.
$(VENV)/.ready-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON) is too old or missing: Python 3.10 or newer is needed (make PYTHON=...)"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python cannot make virtual environments. Run: sudo apt-get install -y python3-venv"; exit 2; }
	@echo "Setting up $(VENV), once"
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.ready-demo: $(VENV)/.ready-venv setup.py requirements/ros2.txt
	@echo "Installing ROS 2, ONNX Runtime and MuJoCo into $(VENV)"
	@$(PIP) -r requirements/ros2.txt -e '.[onnx,sim,demo]'
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready-demo
	@echo "Installing torch and the tests' packages into $(VENV)"
	@$(PIP) $(TORCH) -e '.[train,test,bench]'
	@touch $@

$(VENV)/.ready-check: $(VENV)/.ready-test
	@echo "Installing the linters into $(VENV)"
	@$(PIP) -e '.[check]'
	@touch $@

$(VENV)/.ready-fuzz: $(VENV)/.ready-test
	@echo "Installing the fuzzer into $(VENV)"
	@$(PIP) -e '.[fuzz]'
	@touch $@

# What the machine's own Python has (a torch for its CUDA, a Jetson's TensorRT) is used as it is.
$(GPU_VENV)/.ready: setup.py
	@echo "Installing ONNX Runtime for GPUs, and torch where there is none, into $(GPU_VENV)"
	@$(PYTHON) -m venv --system-site-packages $(GPU_VENV)
	@$(GPU_VENV)/bin/$(PIP_INSTALL) -e '.[gpu-bench]'
	@$(GPU_VENV)/bin/$(PIP_INSTALL) -e '.[tensorrt]' || \
	  echo "TensorRT cannot be installed here: its rows will say so"
	@touch $@
