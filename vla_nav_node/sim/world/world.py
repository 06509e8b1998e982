"""The simulated robot in its arena: reset, step, render. MuJoCo, no ROS."""

import math
import os
from typing import Optional, Tuple

import cv2
import numpy as np

from .layout import draw_layout, Layout, REACH, rotate
from .scene import scene_xml, set_layout, TIMESTEP
from ...errors import SimulationError
from ...system.install_lines import pip_install

# Off-screen rendering without a display, on any driver; MuJoCo reads this when it is imported.
os.environ.setdefault('MUJOCO_GL', 'egl')
try:
    import mujoco
except ImportError as error:
    raise SimulationError(
        f'the simulated robot cannot start: {error}', 'MuJoCo and an off-screen OpenGL',
        f"{pip_install('sim')} and sudo apt-get install libegl1 libgl1-mesa-dri"
    ) from error

NOISE_PICTURES = 8  # drawn once; the noise may repeat, but must differ from frame to frame
NOISE_SIGMA = 2.0  # grey levels, an ordinary webcam indoors
MAX_SPEED = 1.0  # m/s, the base's own limit on each axis


class World:
    """
    An omniwheel robot with a forward camera, boxes, and a red cup to reach.

    Deterministic: everything follows from the seed, the commands and their durations.
    """

    def __init__(self, width: int = 640, height: int = 480) -> None:
        """Build the scene and its renderer; call from the thread that will render."""
        self.model = mujoco.MjModel.from_xml_string(scene_xml())
        self.data = mujoco.MjData(self.model)
        self._renderer = mujoco.Renderer(self.model, height, width)
        self._noise = _noise_bank(height, width)
        self._robot = self.model.geom('robot').id
        self.reset(0)

    def reset(self, seed: int, scenario: Optional[str] = None) -> Layout:
        """Start the episode of `seed` and return its layout."""
        self.place(draw_layout(seed, scenario))
        return self.layout

    def place(self, layout: Layout) -> None:
        """Start an episode in the given layout."""
        self.layout = layout
        self._noise_rng = np.random.default_rng([layout.seed, 2])
        self._touched = False
        mujoco.mj_resetData(self.model, self.data)
        set_layout(self.model, layout)
        mujoco.mj_forward(self.model, self.data)

    def stand(self, x: float, y: float) -> None:
        """Put the robot's centre at (x, y) (m, arena's frame), at rest."""
        self.data.qpos[:] = (x - self.layout.start[0], y - self.layout.start[1])
        self.data.qvel[:] = 0
        mujoco.mj_forward(self.model, self.data)

    def step(self, linear_x: float, linear_y: float, duration: float) -> None:
        """Hold a command (m/s, robot's frame) for `duration` s, a multiple of TIMESTEP."""
        vx = min(max(linear_x, -MAX_SPEED), MAX_SPEED)
        vy = min(max(linear_y, -MAX_SPEED), MAX_SPEED)
        self.data.ctrl[:] = rotate(vx, vy, self.layout.start[2])
        for _ in range(round(duration / TIMESTEP)):
            mujoco.mj_step(self.model, self.data)
            self._touched = self._touched or self.data.ncon > 0

    def render(self) -> np.ndarray:
        """Return the camera's picture with sensor noise: uint8 [height, width, 3] RGB."""
        self._renderer.update_scene(self.data, camera='forward')
        picture = self._renderer.render()
        positive, negative = self._noise
        brighter = cv2.add(picture, positive[self._noise_rng.integers(NOISE_PICTURES)])
        return cv2.subtract(brighter, negative[self._noise_rng.integers(NOISE_PICTURES)])

    @property
    def time(self) -> float:
        """Seconds since the reset."""
        return float(self.data.time)

    @property
    def pose(self) -> Tuple[float, float, float]:
        """Position of the robot's centre (x, y, m) and yaw (rad), in the arena's frame."""
        x, y, yaw = self.layout.start
        return x + float(self.data.qpos[0]), y + float(self.data.qpos[1]), yaw

    @property
    def velocity(self) -> Tuple[float, float]:
        """Velocity in the robot's frame, m/s."""
        return rotate(float(self.data.qvel[0]), float(self.data.qvel[1]), -self.layout.start[2])

    @property
    def in_contact(self) -> bool:
        """Whether the robot has touched a wall, a box or the cup since the reset."""
        return self._touched

    @property
    def distance(self) -> float:
        """Metres from the robot's centre to the cup's."""
        x, y, _ = self.pose
        return math.hypot(self.layout.cup[0] - x, self.layout.cup[1] - y)

    def outcome(self, time_limit: float) -> str:
        """Return how the episode ended: 'contact', 'reached', 'timeout', or '' while it runs."""
        if self._touched:
            return 'contact'
        if self.distance < REACH:
            return 'reached'
        return 'timeout' if self.time >= time_limit else ''

    def close(self) -> None:
        """Release the renderer's OpenGL context."""
        self._renderer.close()


def _noise_bank(height: int, width: int) -> Tuple[np.ndarray, np.ndarray]:
    """Return noise to add and noise to subtract, uint8 [N, height, width, 3] each."""
    rng = np.random.default_rng(0)
    shape = (NOISE_PICTURES, height, width, 3)
    noise = np.abs(rng.standard_normal(shape, np.float32)) * (NOISE_SIGMA / math.sqrt(2))
    bank = np.rint(noise).astype(np.uint8)
    return bank, bank[::-1, :, ::-1].copy()
