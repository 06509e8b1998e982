"""Find out, before a simulation starts, how MuJoCo can render without a display."""

import os
import subprocess
import sys

from ...errors import SimulationError

PLATFORMS = ('egl', 'osmesa')  # EGL first: it uses a GPU if there is one
PACKAGES = 'libegl1 libgl1-mesa-dri'

# Run in a process of its own, which a missing or broken OpenGL driver may kill.
_TEST_SCRIPT = """
import mujoco
model = mujoco.MjModel.from_xml_string('<mujoco><worldbody/></mujoco>')
mujoco.Renderer(model, 16, 16).render()
"""


def choose() -> str:
    """
    Return the value of MUJOCO_GL that renders here: the user's own, or the first that works.

    Raise SimulationError if none does.
    """
    asked = os.environ.get('MUJOCO_GL', '')
    failures = []
    for platform in [asked] if asked else PLATFORMS:
        problem = _try_to_render(platform)
        if not problem:
            return platform
        failures.append(f'{platform}: {problem}')
    raise SimulationError('MuJoCo cannot render here: ' + '; '.join(failures),
                          'an off-screen OpenGL',
                          f'sudo apt-get update && sudo apt-get install -y {PACKAGES}')


def _try_to_render(platform: str) -> str:
    """Render one small picture; return why that failed, or ''."""
    environment = {**os.environ, 'MUJOCO_GL': platform}
    try:
        done = subprocess.run([sys.executable, '-c', _TEST_SCRIPT], env=environment, timeout=60,
                              capture_output=True, text=True, check=False)
    except subprocess.TimeoutExpired:
        return 'no picture within 60 s'
    if done.returncode == 0:
        return ''
    lines = [line for line in done.stderr.splitlines() if line and line[0] != ' ']
    return lines[-1] if lines else f'ended with status {done.returncode}'


def main() -> int:
    """Print the value for MUJOCO_GL, for shell scripts; return 2 if nothing renders."""
    try:
        print(choose())
    except SimulationError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
