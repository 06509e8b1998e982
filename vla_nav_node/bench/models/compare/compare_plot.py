"""One picture of a comparison: what both do, how far they differ, and what each costs."""

from pathlib import Path
from typing import Any, Dict

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
import numpy as np

from .compare_score import same_device
from .compare_session import Result
from ..side_by_side.agreement import axis_names

COLOURS = {'A': 'tab:blue', 'B': 'tab:orange'}
SHOWN = 300  # frames; more are a smear
EQUAL = 0.02  # a ratio that close to 1 is no gain and no loss
COSTS = {'p50': ('latency', 'p50'), 'p95': ('latency', 'p95'), 'p99': ('latency', 'p99'),
         'own memory': ('memory', 'own'), 'model file': ('file_mb',), 'start': ('start_s',)}


def draw(result: Result, verdict: str, path: Path) -> None:
    """Write the picture."""
    figure_of(result, verdict).savefig(path, dpi=110)


def figure_of(result: Result, verdict: str) -> Figure:
    """Draw actions above, times and costs below."""
    figure = Figure(figsize=(12, 9), layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, height_ratios=[1, 1, 1.2])
    names = axis_names(result.actions[0])
    for row, name in enumerate(names[:2]):
        _actions(figure.add_subplot(grid[row, :]), result, row, name)
    _times(figure.add_subplot(grid[2, 0]), result)
    _costs(figure.add_subplot(grid[2, 1]), result.sides)
    titles = [f'{key}: {side["name"]} ({side["device"]})' for key, side in result.sides.items()]
    figure.suptitle('\n'.join([*titles, verdict]), fontsize=10, wrap=True)
    return figure


def _actions(axes: Any, result: Result, number: int, name: str) -> None:
    a, b = (actions[:SHOWN, number] for actions in result.actions)
    if result.labels is not None:
        axes.plot(result.labels[:SHOWN, number], color='black', linewidth=1, label='label')
    axes.plot(a, color=COLOURS['A'], linewidth=2.5, alpha=0.6, label='A')
    axes.plot(b, color=COLOURS['B'], linewidth=1, label='B')
    axes.fill_between(np.arange(len(a)), a, b, color='tab:red', alpha=0.3, label='difference')
    axes.set_title(f'{name}: differs by {np.abs(a - b).mean():.2g} m/s in the mean, at most '
                   f'{np.abs(a - b).max():.2g}', fontsize=9)
    axes.set_xlabel('frame', fontsize=8)
    axes.set_ylabel('m/s')
    axes.legend(loc='upper right', fontsize=8, ncol=4)


def _times(axes: Any, result: Result) -> None:
    for (key, side), ms in zip(result.sides.items(), result.ms):
        share = 100.0 * np.arange(1, len(ms) + 1) / len(ms)
        axes.step(np.sort(ms), share, where='post', color=COLOURS[key],
                  label=f'{key}: p50 {side["latency"]["p50"]:.2f}, p95 '
                        f'{side["latency"]["p95"]:.2f}, p99 {side["latency"]["p99"]:.2f} ms')
    axes.set_xscale('log')
    axes.xaxis.set_major_formatter('{x:g}')
    axes.xaxis.set_minor_formatter('{x:g}')
    axes.tick_params(axis='x', which='both', labelsize=7)
    axes.set_xlabel('ms')
    axes.set_ylabel('% of the steps take at most')
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _costs(axes: Any, sides: Dict[str, Any]) -> None:
    costs = COSTS if same_device(sides) else {'model file': COSTS['model file']}
    pairs = {name: [_at(sides[key], path) for key in 'AB'] for name, path in costs.items()}
    ratios = [max(b, 1e-9) / max(a, 1e-9) for a, b in pairs.values()]
    colours = ['tab:gray' if abs(ratio - 1.0) < EQUAL else
               'tab:green' if ratio < 1.0 else 'tab:red' for ratio in ratios]
    bars = axes.barh(list(pairs), ratios, color=colours, alpha=0.7)
    axes.bar_label(bars, [f'{ratio:.2f} x' for ratio in ratios], padding=3, fontsize=8)
    axes.axvline(1.0, color='black', linewidth=1)
    axes.set_xlim(0, 1.2 * max([1.0, *ratios]))
    axes.invert_yaxis()
    title = 'B / A: shorter is less'
    if not same_device(sides):
        title += ' (other devices: no ratio of times)'
    axes.set_title(title, fontsize=9)


def _at(side: Any, path: Any) -> float:
    for name in path:
        side = side[name]
    return float(side)
