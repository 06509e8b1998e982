"""The picture of a tuning: times and processor time of each row."""

from pathlib import Path
from typing import Any, Dict, List

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

DPI = 110
SHOWN, LETTERS = 20, 60  # rows, and letters of their names
MOST_TIMES = 3  # the baseline's p99; longer bars are cut
COLOURS = {'winner': 'tab:green', 'baseline': 'black', 'slower': 'tab:red',
           'other results': 'tab:red'}


def draw(rows: List[Dict[str, Any]], title: str, path: Path) -> None:
    """Draw the measured rows, best on top: dot p50, bar to p99; processor time on the right."""
    shown = [row for row in rows if 'p50' in row][:SHOWN]
    figure = Figure(figsize=(13, 0.36 * len(shown) + 1.6), layout='constrained')
    FigureCanvasAgg(figure)
    times, cpu = figure.subplots(1, 2, sharey=True, gridspec_kw={'width_ratios': [3, 2]})
    longest = _longest(shown)
    for y, row in enumerate(shown):
        colour = COLOURS.get(row['status'], 'tab:blue')
        times.plot([row['p50'], row['p99']], [y, y], color=colour, linewidth=5, alpha=0.4,
                   solid_capstyle='butt')
        times.plot(row['p50'], y, 'o', color=colour, markersize=5)
        times.annotate(f'{row["p99"]:.2f}', (min(row['p99'], longest), y), fontsize=7,
                       va='center', xytext=(4, 0), textcoords='offset points')
        cpu.barh(y, row['cpu_ms'], color=colour, alpha=0.6, height=0.6)
    times.set_xlim(0.0, longest * 1.12)
    _label(times, shown, 'ms from the start of a step to its result: dot p50, bar to p99')
    cpu.set_xlabel('processor time a step, ms')
    cpu.set_xlim(left=0.0)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=DPI)


def _longest(rows: List[Dict[str, Any]]) -> float:
    """Return the longest time that is drawn: a row far behind shall not hide the others."""
    baseline = next((row['p99'] for row in rows if row['status'] == 'baseline'), float('inf'))
    return max(min(row['p99'], MOST_TIMES * baseline) for row in rows) if rows else 1.0


def _label(axes: Any, rows: List[Dict[str, Any]], text: str) -> None:
    axes.set_yticks(range(len(rows)))
    axes.set_yticklabels([_short(f'{row["runtime"]}: {row["settings"]}') for row in rows],
                         fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(text)
    for y, row in enumerate(rows):
        if row['status'] == 'baseline':
            axes.axvline(row['p99'], color='black', linewidth=0.6, linestyle=':')
            axes.axhline(y, color='black', linewidth=0.3, alpha=0.3)


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f'{text[:LETTERS - 1]}…'
