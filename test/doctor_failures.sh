#!/bin/bash
# Real failures of packages from PyPI, in a scratch folder: 400 MB, three minutes, no GPU.
#   test/doctor_failures.sh [PYTHON]   PYTHON: a CPython 3.11 or older with venv
# Prints what `vla_nav doctor` says of each, and removes the folder.
set -e
PYTHON=${1:-python3}
here=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$scratch"
"$PYTHON" -m venv venv
pip() { venv/bin/python -m pip --quiet --disable-pip-version-check "$@"; }
doctor() {
  echo "== $1"; shift
  PYTHONPATH=$here${MORE:+:$MORE} venv/bin/python -m vla_nav_node.cli doctor --only "$@" || true
}
pip install 'numpy>=2' opencv-python-headless pyyaml simplejpeg onnxruntime-gpu
doctor 'onnxruntime-gpu without its libraries' onnxruntime providers libraries cuda
pip install --no-deps onnxruntime
doctor 'onnxruntime over onnxruntime-gpu' onnxruntime providers
pip uninstall -y onnxruntime
doctor 'one of the two uninstalled' onnxruntime providers

pip install --target trt 'tensorrt-lean-cu13==11.*'
MORE=$scratch/trt doctor 'TensorRT without a driver: error 35' tensorrt cuda

pip install --no-deps --only-binary :all: --target old/site-packages numexpr==2.8.4
PYTHONPATH=old/site-packages venv/bin/python -c 'import numexpr' 2>&1 | grep -m1 NumPy || true
MORE=$scratch/old/site-packages doctor 'an extension for NumPy 1 under NumPy 2' numpy

echo '== a checkpoint with pickled code'
printf 'import os, torch\nclass Code:\n    def __reduce__(self):\n        return os.system, ("touch ran",)\ntorch.save({"model": Code()}, "bad.pth")\n' > bad.py
if [ -x "$here/.venv/bin/python" ]; then
  "$here/.venv/bin/python" bad.py
  PYTHONPATH=$here "$here/.venv/bin/python" -m vla_nav_node.cli import bad.pth --structure simple \
    --size 224x224 --fit stretch --resize linear --channels rgb --pixel-max 1 --mean 0 0 0 \
    --std 1 1 1 --limits 0.5 0.5 --out out || echo "exit $?"
  test ! -e ran && echo 'the code did not run'
fi
