#!/usr/bin/env bash
# The ROS tests on the wheels of each distribution, with each Python that is here: `make test-distributions`,
# or a part:  DISTRIBUTIONS=kilted PYTHONS="3.11 3.12" test/distributions.sh [arguments of pytest]
# Each pair has its own environment (.venv-kilted-3.12), which is kept. They have no torch, whose usual build is
# several GB: .venv writes their policies, and the tests that swap to torch skip. INSTALL="torch==2.13.0" adds it.
# Exit status: 1 if a pair failed, 2 if none ran.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 2
unset PYTHONPATH AMENT_PREFIX_PATH LD_LIBRARY_PATH PYTHONHOME _ROS_WHEELS_BOOTSTRAP_COMPLETE
export ROS_PYTHON_CHECK_FIELDS=1 ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST
read -ra distributions <<< "${DISTRIBUTIONS:-jazzy kilted}"
read -ra versions <<< "${PYTHONS:-3.10 3.11 3.12 3.13}"
if [ $# -eq 0 ]; then
  set -- test/driving test/node/start test/node/test_messages.py test/node/test_lifecycle.py \
    test/node/test_node.py
fi

find_python() {  # what is on PATH may be a shim of pyenv that has no such Python: try it
  local path
  for path in "$(command -v "python$1")" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
      echo "$path"
      return
    fi
  done
  return 1
}

prepare() {  # DISTRIBUTION PYTHON ENVIRONMENT
  [ ! -f "$3/.ready" ] || return 0
  rm -rf "$3"
  "$2" -m venv "$3" && sed "s/^ros-jazzy-/ros-$1-/" requirements/ros2.txt > "$3/ros2.txt" || return 1
  # shellcheck disable=SC2086  # INSTALL is a list
  "$3/bin/python" -m pip install --quiet --disable-pip-version-check -r "$3/ros2.txt" \
    -e '.[onnx,test]' 'safetensors>=0.4' 'onnx>=1.14' 'psutil>=5.9' ${INSTALL:-} || return 1
  touch "$3/.ready"
}

results=()
ran=0 status=0
for distribution in "${distributions[@]}"; do
  for version in "${versions[@]}"; do
    pair="$distribution, Python $version"
    environment=.venv-$distribution-$version
    if ! python=$(find_python "$version"); then
      results+=("$pair: SKIPPED, there is no Python $version here")
      continue
    fi
    echo "== $pair: $environment"
    if ! prepare "$distribution" "$python" "$environment"; then
      results+=("$pair: SKIPPED, its packages cannot be installed (see above)")
      continue
    fi
    ran=1
    unset TINY_WRITER
    "$environment/bin/python" -c 'import torch' 2>/dev/null || export TINY_WRITER=$PWD/.venv/bin/python
    "$environment/bin/python" -m pytest -q -p no:cacheprovider "$@" \
      | tee "$environment/log.txt"
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
      status=1
      results+=("$pair: FAILED, $(tail -n 1 "$environment/log.txt")")
    else
      results+=("$pair: $(tail -n 1 "$environment/log.txt")")
    fi
  done
done
printf '%s\n' "" "${results[@]}"
[ $ran -eq 1 ] || exit 2
exit $status
