"""One picture of a benchmark: for each policy the times of its rows, and what they hold."""

from pathlib import Path
from typing import Any, Dict, List

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from .ranking import Row
from ..side_by_side.figures import BUDGETS_MS

PACES = (('back_to_back', 'back to back', 'tab:blue', -0.16),
         ('paced', 'paced', 'tab:orange', 0.16))
BUDGET_COLOURS = ('tab:olive', 'tab:red')
SIZES = (('own memory', lambda row: row['memory']['own'], 'tab:purple', -0.2),
         ('model file', lambda row: row['file_mb'], 'tab:gray', 0.2))


def draw(rows: List[Row], path: Path) -> None:
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
        _times(times, policy, members)
        _sizes(sizes, members)
    figure.suptitle('A step of each policy: dot p50, bar to p99, tick the longest; left is better',
                    fontsize=11)
    figure.savefig(path, dpi=110)


def _times(axes: Any, policy: str, rows: List[Row]) -> None:
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


def _sizes(axes: Any, rows: List[Row]) -> None:
    for name, size, colour, offset in SIZES:
        bars = axes.barh([number + offset for number in range(len(rows))],
                         [size(row) for row in rows], 0.36, color=colour, alpha=0.7, label=name)
        axes.bar_label(bars, fmt='%.0f', fontsize=7, padding=2)
    axes.margins(x=0.15)
    axes.set_xlabel('MB', fontsize=8)
    _name_rows(axes, rows)


def _name_rows(axes: Any, rows: List[Row]) -> None:
    axes.legend(fontsize=7, ncol=4, loc='lower right', bbox_to_anchor=(1.0, 1.0), frameon=False)
    axes.set_yticks(range(len(rows)), [row['label'] for row in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis='x', labelsize=7)
