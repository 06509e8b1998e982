"""Single pictures from random places in many arenas, with their targets."""

import math
import multiprocessing
import os
from pathlib import Path
from typing import Dict, Iterator, Sequence, Tuple

import numpy as np

from .auxiliary_targets import encoder_targets
from ..expert.expert import Expert
from ..world.layout import CUP_RADIUS, distance_to_box, Layout, ROBOT_RADIUS
from ..world.world import World
from ...vision.preprocess import InputSpec, Preprocess

VIEWS_PER_SCENE = 5
CHUNK = 50  # scenes in a file
MARGIN = 0.02  # m, the least clearance of a place
NEAR_BOX = 0.8  # m from the centre to the nearest box, in every second view: those matter most


def render_views(seeds: Sequence[int], folder: Path, spec: Dict, workers: int) -> Iterator[Path]:
    """Render the scenes of `seeds` in parallel, unless done before; yield the files."""
    folder.mkdir(parents=True, exist_ok=True)
    tasks = [(seeds[i:i + CHUNK], folder / f'{seeds[i]}.npz')
             for i in range(0, len(seeds), CHUNK)]
    context = multiprocessing.get_context('spawn')
    with context.Pool(workers, _start_worker, (spec,)) as pool:
        yield from pool.imap_unordered(_render_chunk, tasks)


def load_views(files: Sequence[Path]) -> Tuple[np.ndarray, np.ndarray]:
    """Return pictures (uint8 [N, H, W, 3]) and targets (float32 [N, 2 + ENCODER_TARGETS])."""
    targets = np.concatenate([np.load(file)['targets'] for file in files])
    first = np.load(files[0])['images']
    images = np.empty((len(targets), *first.shape[1:]), np.uint8)  # once: it takes gigabytes
    filled = 0
    for file in files:
        chunk = np.load(file)['images']
        images[filled:filled + len(chunk)] = chunk
        filled += len(chunk)
    return images, targets


_worker: dict = {}  # what each worker process builds once


def _start_worker(spec: Dict) -> None:
    _worker.update(world=World(), preprocess=Preprocess(InputSpec(**spec)))


def _render_chunk(task: Tuple[Sequence[int], Path]) -> Path:
    seeds, path = task
    if path.exists():
        return path
    images, targets = zip(*(view for seed in seeds for view in _views(seed)))
    unfinished = path.with_suffix('.tmp.npz')
    np.savez(unfinished, images=np.stack(images), targets=np.stack(targets))
    os.replace(unfinished, path)
    return path


def _views(seed: int) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
    world, preprocess = _worker['world'], _worker['preprocess']
    layout = world.reset(seed)
    expert, rng = Expert(layout), np.random.default_rng([seed, 7])
    for number in range(VIEWS_PER_SCENE):
        world.stand(*_draw_place(layout, rng, near_box=bool(number % 2)))
        image = preprocess(world.render())[0].copy()
        target = np.hstack([expert.command(world.pose), encoder_targets(layout, world.pose)])
        yield image, target.astype(np.float32)


def _draw_place(layout: Layout, rng: np.random.Generator, near_box: bool
                ) -> Tuple[float, float]:
    """Draw a place (m) before the cup where the robot touches nothing."""
    x0, _, y0, y1 = layout.arena
    edge = ROBOT_RADIUS + MARGIN
    while True:
        x, y = rng.uniform(x0 + edge, layout.cup[0]), rng.uniform(y0 + edge, y1 - edge)
        nearest = min(distance_to_box(box, (x, y)) for box in layout.boxes)
        cup = math.hypot(layout.cup[0] - x, layout.cup[1] - y)
        if edge < nearest < (NEAR_BOX if near_box else math.inf) and cup > edge + CUP_RADIUS:
            return x, y
