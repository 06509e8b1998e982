"""Finds out how MuJoCo can render here without a display, before a simulation is started."""

import os
import subprocess
import sys

from ...errors import SimulationError

KINDS = ('egl', 'osmesa')  # EGL first: it is the one that uses a GPU where there is one
PACKAGES = 'libegl1 libgl1-mesa-dri'
APT_LINE = 'sudo apt-get update && sudo apt-get install -y ' + PACKAGES

# A driver that is missing or broken may kill the process, so it is tried in one of its own.
_TRIAL = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody/></mujoco>')
mujoco.Renderer(model, 16, 16).render()
"""


def choose() -> str:
    """Return the value of MUJOCO_GL that renders here: the user's own, or the first that works."""
    asked = os.environ.get('MUJOCO_GL', '')
    failures = []
    for kind in [asked] if asked else KINDS:
        reason = _try(kind)
        if not reason:
            return kind
        failures.append(f'{kind}: {reason}')
    raise SimulationError('MuJoCo cannot render here: ' + '; '.join(failures),
                          'an off-screen OpenGL', APT_LINE)


def _try(kind: str) -> str:
    """Render one small picture; give the reason why not, or nothing."""
    environment = {**os.environ, 'MUJOCO_GL': kind}
    try:
        done = subprocess.run([sys.executable, '-c', _TRIAL], env=environment, timeout=60,
                              capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return 'no picture within 60 s'
    if done.returncode == 0:
        return ''
    lines = [line for line in done.stderr.splitlines() if line and line[0] != ' ']
    return lines[-1] if lines else f'ended with status {done.returncode}'


def main() -> int:
    """Print the value for MUJOCO_GL, for shell scripts; 2 and the cure when there is none."""
    try:
        print(choose())
    except SimulationError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
