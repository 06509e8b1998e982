"""The plots of benchmark (times and sizes of rows) and of compare (two sides)."""

from pathlib import Path
from typing import Any, Dict, List

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
import numpy as np

from .agreement import axis_names
from .measure import BUDGETS_MS
from .ranking import Row
from .score import Comparison, same_device
from ..tables import at

DPI = 110
PACES = (('back_to_back', 'back to back', 'tab:blue', -0.16),
         ('paced', 'paced', 'tab:orange', 0.16))
BUDGET_COLOURS = ('tab:olive', 'tab:red')
SIZES = (('own memory', 'memory.own', 'tab:purple', -0.2),
         ('model file', 'file_mb', 'tab:gray', 0.2))
SIDE_COLOURS = {'A': 'tab:blue', 'B': 'tab:orange'}
SHOWN = 300  # frames; more are a smear
EQUAL = 0.02  # a ratio that close to 1 is neither gain nor loss
COSTS = {'p50': 'latency.p50', 'p95': 'latency.p95', 'p99': 'latency.p99',
         'own memory': 'memory.own', 'model file': 'file_mb', 'start': 'start_s'}


def draw_benchmark(rows: List[Row], path: Path) -> None:
    """Draw times on the left (dot p50, bar to p99, tick max), memory and file on the right."""
    policies: Dict[str, List[Row]] = {}
    for row in rows:
        policies.setdefault(row['policy'], []).append(row)
    heights = [len(members) + 1.5 for members in policies.values()]
    figure = Figure(figsize=(13, 0.55 * sum(heights) + 1.2), layout='constrained')
    FigureCanvasAgg(figure)
    # These and no newer arguments: Ubuntu's matplotlib is 3.5 with Humble, 3.6 with Jazzy.
    grid = figure.subplots(len(policies), 2, squeeze=False, gridspec_kw={
        'height_ratios': heights, 'width_ratios': [3, 2]})
    for (times, sizes), (policy, members) in zip(grid, policies.items()):
        _row_times(times, policy, members)
        _row_sizes(sizes, members)
    figure.suptitle('A step of each policy: dot p50, bar to p99, tick the longest; left is better',
                    fontsize=11)
    figure.savefig(path, dpi=DPI)


def _row_times(axes: Any, policy: str, rows: List[Row]) -> None:
    for pace, name, colour, offset in PACES:
        for number, row in enumerate(rows):
            figures, y = row[pace], number + offset
            axes.plot([figures['p50'], figures['p99']], [y, y], color=colour, linewidth=4,
                      alpha=0.4, solid_capstyle='butt')
            axes.plot(figures['p50'], y, 'o', color=colour, markersize=5,
                      label=None if number else name)
            axes.plot(figures['max'], y, '|', color=colour, markersize=9)
            axes.annotate(f'{figures["p50"]:.2f}', (figures['p50'], y), fontsize=7, ha='right',
                          va='center', xytext=(-5, 0), textcoords='offset points')
    for budget, colour in zip(BUDGETS_MS, BUDGET_COLOURS):
        axes.axvline(budget, color=colour, linewidth=1, linestyle='--', label=f'{budget:g} ms')
    least = min(row[pace]['p50'] for row in rows for pace, *_ in PACES)
    most = max(row[pace]['max'] for row in rows for pace, *_ in PACES)
    axes.set_xscale('log')
    axes.set_xlim(least / 2, 1.5 * max(most, BUDGETS_MS[-1]))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter('{x:g}')
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel('ms', fontsize=8)
    axes.set_title(f'{policy}, {", ".join(dict.fromkeys(row["device"] for row in rows))}',
                   fontsize=10, loc='left')
    axes.grid(axis='x', alpha=0.3)
    _name_rows(axes, rows)


def _row_sizes(axes: Any, rows: List[Row]) -> None:
    for name, size, colour, offset in SIZES:
        bars = axes.barh([number + offset for number in range(len(rows))],
                         [at(row, size) for row in rows], 0.36, color=colour, alpha=0.7,
                         label=name)
        axes.bar_label(bars, fmt='%.0f', fontsize=7, padding=2)
    axes.margins(x=0.15)
    axes.set_xlabel('MB', fontsize=8)
    _name_rows(axes, rows)


def _name_rows(axes: Any, rows: List[Row]) -> None:
    axes.legend(fontsize=7, ncol=4, loc='lower right', bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.set_yticks(range(len(rows)), [row['label'] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis='x', labelsize=7)


def draw_comparison(result: Comparison, verdict: str, path: Path) -> None:
    """Draw what both sides do, how far they differ, and what each costs."""
    comparison_figure(result, verdict).savefig(path, dpi=DPI)


def comparison_figure(result: Comparison, verdict: str) -> Figure:
    """Return a figure with the actions above, times and costs below."""
    figure = Figure(figsize=(12, 9), layout='constrained')
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(3, 2, height_ratios=[1, 1, 1.2])
    for row, name in enumerate(axis_names(result.actions[0])[:2]):
        _side_actions(figure.add_subplot(grid[row, :]), result, row, name)
    _side_times(figure.add_subplot(grid[2, 0]), result)
    _side_costs(figure.add_subplot(grid[2, 1]), result.sides)
    titles = [f'{key}: {side["name"]} ({side["device"]})' for key, side in result.sides.items()]
    figure.suptitle('\n'.join([*titles, verdict]), fontsize=10, wrap=True)
    return figure


def _side_actions(axes: Any, result: Comparison, number: int, name: str) -> None:
    a, b = (actions[:SHOWN, number] for actions in result.actions)
    if result.labels is not None:
        axes.plot(result.labels[:SHOWN, number], color='black', linewidth=1, label='label')
    axes.plot(a, color=SIDE_COLOURS['A'], linewidth=2.5, alpha=0.6, label='A')
    axes.plot(b, color=SIDE_COLOURS['B'], linewidth=1, label='B')
    axes.fill_between(np.arange(len(a)), a, b, color='tab:red', alpha=0.3, label='difference')
    axes.set_title(f'{name}: differs by {np.abs(a - b).mean():.2g} m/s in the mean, at most '
                   f'{np.abs(a - b).max():.2g}', fontsize=9)
    axes.set_xlabel('frame', fontsize=8)
    axes.set_ylabel('m/s')
    axes.legend(loc='upper right', fontsize=8, ncol=4)


def _side_times(axes: Any, result: Comparison) -> None:
    for (key, side), ms in zip(result.sides.items(), result.ms):
        share = 100.0 * np.arange(1, len(ms) + 1) / len(ms)
        axes.step(np.sort(ms), share, where='post', color=SIDE_COLOURS[key],
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


def _side_costs(axes: Any, sides: Dict[str, Any]) -> None:
    costs = COSTS if same_device(sides) else {'model file': COSTS['model file']}
    pairs = [[float(at(sides[key], path)) for key in 'AB'] for path in costs.values()]
    ratios = [max(b, 1e-9) / max(a, 1e-9) for a, b in pairs]
    colours = ['tab:gray' if abs(ratio - 1.0) < EQUAL else
               'tab:green' if ratio < 1.0 else 'tab:red' for ratio in ratios]
    bars = axes.barh(list(costs), ratios, color=colours, alpha=0.7)
    axes.bar_label(bars, [f'{ratio:.2f} x' for ratio in ratios], padding=3, fontsize=8)
    axes.axvline(1.0, color='black', linewidth=1)
    axes.set_xlim(0, 1.2 * max([1.0, *ratios]))
    axes.invert_yaxis()
    title = 'B / A: shorter is less'
    if not same_device(sides):
        title += ' (other devices: no ratio of times)'
    axes.set_title(title, fontsize=9)
