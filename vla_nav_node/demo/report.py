"""The report of a demo: one picture, and tables on the terminal."""

import math
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle
import numpy as np
from rich.console import Console
from rich.table import Table

from .record import BUDGETS_MS, Episode, REACHED, Record
from ..sim.world.layout import Box, CUP_RADIUS, draw_layout, REACH, ROBOT_RADIUS, rotate

COLUMNS = 5  # arenas side by side
BUDGET_COLOURS = ('tab:orange', 'tab:red')


def draw(record: Record, path: Path) -> Path:
    """Draw the episodes in their arenas, and the latency below; return `path`."""
    columns = min(COLUMNS, max(3, len(record.episodes)))
    rows = math.ceil(len(record.episodes) / columns) or 1
    figure = Figure(figsize=(3.6 * columns, 3.0 * rows + 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    parts: Any = figure.subfigures(2, 1, height_ratios=[3.0 * rows, 3.6])
    above, below = parts
    arenas = list(above.subplots(rows, columns, squeeze=False).flat)
    for axes, episode in zip(arenas, record.episodes):
        _draw_arena(axes, episode)
    for axes in arenas[len(record.episodes):]:
        axes.axis('off')
    over_time, histogram = below.subplots(1, 2, gridspec_kw={'width_ratios': [2, 1]})
    _draw_over_time(over_time, record)
    _draw_histogram(histogram, record)
    figure.suptitle(f'{record.reached} of {record.wanted} episodes reached the cup')
    figure.savefig(path, dpi=110)
    return path


def _draw_arena(axes: Any, episode: Episode) -> None:
    layout = draw_layout(episode.seed, episode.scenario)
    x0, x1, y0, y1 = layout.arena
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, linewidth=2))
    for box in layout.boxes:
        axes.add_patch(Polygon(_corners(box), closed=True, color='tab:brown', alpha=0.7))
    axes.add_patch(Circle(layout.cup, REACH, color='tab:red', alpha=0.15))
    axes.add_patch(Circle(layout.cup, CUP_RADIUS, color='tab:red'))
    axes.add_patch(Circle(layout.start[:2], ROBOT_RADIUS, fill=False, linestyle=':'))
    reached = episode.outcome == REACHED
    if episode.path:
        axes.plot(*zip(*episode.path), color='tab:green' if reached else 'tab:red')
        axes.add_patch(Circle(episode.path[-1], ROBOT_RADIUS, alpha=0.4))
    axes.set_title(f'{episode.number}: {episode.outcome or "not ended"}, {episode.seconds:.1f} s\n'
                   f'seed {episode.seed}, {episode.scenario}', fontsize=9,
                   color='black' if reached else 'tab:red')
    axes.set_aspect('equal')
    axes.set_xlim(x0 - 0.1, x1 + 0.1)
    axes.set_ylim(y0 - 0.1, y1 + 0.1)
    axes.tick_params(labelsize=7)


def _corners(box: Box) -> np.ndarray:
    half = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (box.half_x, box.half_y)
    return np.transpose(rotate(half[:, 0], half[:, 1], box.yaw)) + (box.x, box.y)


def _draw_over_time(axes: Any, record: Record) -> None:
    axes.plot(record.times, [row[0] for row in record.cycles], '.', markersize=2)
    for budget, colour in zip(BUDGETS_MS, BUDGET_COLOURS):
        axes.axhline(budget, color=colour, label=f'{budget:g} ms: {record.over(budget)} of '
                                                 f'{len(record.cycles)} cycles above')
    axes.set_xlabel('s of the demo')
    axes.set_ylabel('ms from image received to command published', fontsize=8)
    axes.set_ylim(0, 1.25 * max([BUDGETS_MS[-1], *(row[0] for row in record.cycles)]))
    axes.set_title('cycle latency', fontsize=10)
    axes.legend(loc='upper right', fontsize=8)


def _draw_histogram(axes: Any, record: Record) -> None:
    values = [row[0] for row in record.cycles]
    top = max([BUDGETS_MS[-1] * 1.05, *values])
    axes.hist(values, bins=np.linspace(0.0, top, 100), log=bool(values))
    for budget, colour in zip(BUDGETS_MS, BUDGET_COLOURS):
        axes.axvline(budget, color=colour)
    cycle = record.stages().get('cycle')
    if cycle:
        axes.set_title(f'p50 {cycle.p50:.2f}, p95 {cycle.p95:.2f}, p99 {cycle.p99:.2f}, '
                       f'max {cycle.most:.2f} ms', fontsize=10)
    axes.set_xlabel('ms')
    axes.set_ylabel('cycles')


def print_summary(record: Record, picture: Path) -> None:
    """Print the episodes, the latency, and the path of the picture."""
    console = Console()
    table = Table('episode', 'seed', 'scenario', 'outcome', 's', 'm to the cup')
    for episode in record.episodes:
        table.add_row(str(episode.number), str(episode.seed), episode.scenario, episode.outcome,
                      f'{episode.seconds:.1f}', f'{episode.distance:.2f}')
    console.print(table)
    latency = Table('stage', 'p50 ms', 'p95 ms', 'p99 ms', 'max ms')
    for name, values in record.stages().items():
        latency.add_row(name, *(f'{value:.2f}' for value in values))
    console.print(latency)
    for budget in BUDGETS_MS:
        print(f'over {budget:g} ms: {record.over(budget)} of {len(record.cycles)} cycles')
    print(f'images replaced by a newer one: {record.counts.get("replaced by a newer one", "?")}, '
          f'lost in transport: {record.counts.get("lost in transport", "?")}')
    print(f'{record.reached} of {record.wanted} episodes reached the cup')
    print(f'picture: {picture}')
