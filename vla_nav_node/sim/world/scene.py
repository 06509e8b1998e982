"""The MuJoCo scene: compiled once, then set up in place for every layout."""

import math

import numpy as np

from .layout import ARENA, CUP_HEIGHT, CUP_RADIUS, Layout, ROBOT_RADIUS

MAX_BOXES = 2
WALL_HEIGHT, WALL_THICKNESS = 0.6, 0.05
ROBOT_HEIGHT = 0.24
CAMERA_HEIGHT, CAMERA_FORWARD, CAMERA_PITCH = 0.34, 0.12, math.radians(10.0)
FOV_Y = 60.0  # degrees; 75 across at 4:3
TIMESTEP = 1 / 300  # s; 15, 20, 25, 30, 50, 60 and 100 Hz are whole numbers of it
MASS = 12.0  # kg
LAG = 0.12  # s, time constant of the wheels' velocity loop
MAX_ACCELERATION = 4.0  # m/s2, the largest acceleration of the base
TEXTURES = 5  # of each kind: flat, checkers, speckles, gradients

_WALLS = ('wall_back', 'wall_front', 'wall_right', 'wall_left')


def scene_xml() -> str:
    """Return the MJCF of the arena; boxes and cup lie below it until `set_layout`."""
    boxes = ''.join(
        f'<geom name="box{i}" type="box" size=".1 .1 .1" pos="0 0 -5" material="box0"/>'
        for i in range(MAX_BOXES))
    x0, x1, y0, y1 = ARENA
    pitch = math.cos(CAMERA_PITCH), math.sin(CAMERA_PITCH)
    return f"""
<mujoco model="arena">
  <option timestep="{TIMESTEP:.9f}" integrator="implicitfast" gravity="0 0 0">
    <!-- Its tree of static boxes is built once and does not follow `set_layout`. -->
    <flag midphase="disable"/>
  </option>
  <visual>
    <quality shadowsize="0" offsamples="0"/>
    <global offwidth="3840" offheight="2160"/>
    <map znear="0.01"/>
    <headlight ambient=".3 .3 .3" diffuse=".3 .3 .3" specular="0 0 0"/>
  </visual>
  <asset>{_materials()}</asset>
  <worldbody>
    <light name="sun" pos="2 0 4" dir="0 0 -1" directional="true" castshadow="false"
           specular="0 0 0"/>
    <geom name="floor" type="plane" size="12 12 .1" material="floor0" contype="0"
          conaffinity="0"/>
    {_wall('wall_back', x0 - WALL_THICKNESS, 0, WALL_THICKNESS, y1 - y0)}
    {_wall('wall_front', x1 + WALL_THICKNESS, 0, WALL_THICKNESS, y1 - y0)}
    {_wall('wall_right', (x0 + x1) / 2, y0 - WALL_THICKNESS, x1 - x0, WALL_THICKNESS)}
    {_wall('wall_left', (x0 + x1) / 2, y1 + WALL_THICKNESS, x1 - x0, WALL_THICKNESS)}
    {boxes}
    <geom name="cup" type="cylinder" size="{CUP_RADIUS} {CUP_HEIGHT / 2}" rgba=".8 .05 .05 1"
          pos="0 0 -5"/>
    <body name="base" pos="0 0 0">
      <joint name="x" type="slide" axis="1 0 0"/>
      <joint name="y" type="slide" axis="0 1 0"/>
      <geom name="robot" type="cylinder" size="{ROBOT_RADIUS} {ROBOT_HEIGHT / 2}"
            pos="0 0 {ROBOT_HEIGHT / 2}" mass="{MASS}" rgba=".3 .3 .3 1" friction="0"/>
      <body name="mast">
        <camera name="forward" pos="{CAMERA_FORWARD} 0 {CAMERA_HEIGHT}" fovy="{FOV_Y}"
                xyaxes="0 -1 0 {pitch[1]} 0 {pitch[0]}"/>
      </body>
    </body>
  </worldbody>
  <actuator>
    <velocity name="vx" joint="x" kv="{MASS / LAG}"
              forcerange="{-MASS * MAX_ACCELERATION} {MASS * MAX_ACCELERATION}"/>
    <velocity name="vy" joint="y" kv="{MASS / LAG}"
              forcerange="{-MASS * MAX_ACCELERATION} {MASS * MAX_ACCELERATION}"/>
  </actuator>
</mujoco>"""


def _wall(name: str, x: float, y: float, half_x: float, half_y: float) -> str:
    return (f'<geom name="{name}" type="box" size="{half_x} {half_y} {WALL_HEIGHT / 2}" '
            f'pos="{x} {y} {WALL_HEIGHT / 2}" material="wall0"/>')


def _materials() -> str:
    """Return grey textures and their materials; `set_layout` tints them."""
    builtins = (
        'builtin="flat" rgb1=".9 .9 .9" rgb2=".9 .9 .9"',
        'builtin="checker" rgb1=".9 .9 .9" rgb2=".65 .65 .65"',
        'builtin="flat" rgb1=".8 .8 .8" mark="random" markrgb=".5 .5 .5" random=".05"',
        'builtin="gradient" rgb1=".95 .95 .95" rgb2=".55 .55 .55"',
        'builtin="checker" rgb1=".8 .8 .8" rgb2=".75 .75 .75" mark="edge" markrgb=".4 .4 .4"')
    repeats = {'floor': 16, 'wall': 3, 'box': 1}
    sky = '<texture type="skybox" builtin="gradient" width="64" height="64" ' \
        'rgb1=".75 .8 .85" rgb2=".45 .5 .55"/>'
    return sky + ''.join(
        f'<texture name="{part}{i}" type="2d" width="128" height="128" {pattern}/>'
        f'<material name="{part}{i}" texture="{part}{i}" texrepeat="{n} {n}" specular="0"/>'
        for part, n in repeats.items() for i, pattern in enumerate(builtins))


def set_layout(model, layout: Layout) -> None:
    """Set the layout's boxes, cup, start, colours, textures and light in `model`."""
    rng = np.random.default_rng([layout.seed, 1])
    for index in range(MAX_BOXES):
        _place_box(model, index, layout)
        _paint(model, rng, f'box{index}', 'box')
    model.geom('cup').pos = (*layout.cup, CUP_HEIGHT / 2)
    model.geom('cup').rgba = (rng.uniform(0.6, 0.95), *rng.uniform(0.0, 0.12, 2), 1.0)
    _paint(model, rng, 'floor', 'floor')
    tint, texture = _not_red(rng), rng.integers(TEXTURES)
    for wall in _WALLS:
        model.geom(wall).matid = model.material(f'wall{texture}').id
        model.geom(wall).rgba = (*tint * rng.uniform(0.85, 1.0), 1.0)
    _light(model, rng)
    x, y, yaw = layout.start
    model.body('base').pos[:2] = (x, y)
    # The base keeps its heading: its slides stay along the world's axes, only the camera turns.
    model.body('mast').quat = (math.cos(yaw / 2), 0, 0, math.sin(yaw / 2))


def _place_box(model, index: int, layout: Layout) -> None:
    geom = model.geom(f'box{index}')
    if index >= len(layout.boxes):
        geom.pos = (0.0, 0.0, -5.0)
        return
    box = layout.boxes[index]
    geom.pos = (box.x, box.y, box.half_z)
    geom.size = (box.half_x, box.half_y, box.half_z)
    geom.quat = (math.cos(box.yaw / 2), 0, 0, math.sin(box.yaw / 2))
    model.geom_rbound[geom.id] = math.hypot(box.half_x, box.half_y, box.half_z)
    model.geom_aabb[geom.id] = (0, 0, 0, box.half_x, box.half_y, box.half_z)


def _paint(model, rng: np.random.Generator, geom: str, part: str) -> None:
    model.geom(geom).matid = model.material(f'{part}{rng.integers(TEXTURES)}').id
    model.geom(geom).rgba = (*_not_red(rng), 1.0)


def _not_red(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour that cannot be mistaken for the cup's."""
    colour = rng.uniform(0.25, 1.0, 3)
    colour[0] = min(colour[0], max(colour[1], colour[2]) + 0.1)
    return colour


def _light(model, rng: np.random.Generator) -> None:
    direction = np.array([*rng.uniform(-0.8, 0.8, 2), -1.0])
    model.light('sun').dir = direction / np.linalg.norm(direction)
    model.light('sun').diffuse = rng.uniform(0.4, 0.8) * rng.uniform(0.9, 1.0, 3)
    ambient = rng.uniform(0.3, 0.5)
    model.vis.headlight.ambient = (ambient,) * 3
    model.vis.headlight.diffuse = (rng.uniform(0.1, 0.35),) * 3
