"""The live view of the demo: a picture in a terminal, plain lines elsewhere."""

from contextlib import contextmanager
import time
from typing import Callable, Iterator, List, Sequence

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .record import BUDGETS_MS, Episode, Record
from ..sim.world.layout import distance_to_box, draw_layout, Layout, REACH

LEFT_COLUMNS = 62
MAP_NEEDS = (132, 31)  # columns and rows of the terminal
LINE_S = 2.0  # between two plain lines
COLUMN_M, ROW_M = 0.1, 0.2  # of the arena in one character of the map, which is twice as high
GOOD, BAD = 'green', 'bold red'
OUTCOME_STYLE = {'reached': GOOD, '': 'bold'}


@contextmanager
def make_view(record: Record, domain: str) -> Iterator[Callable[[str], None]]:
    """Yield the function that refreshes the view, with a note on what is awaited, or ''."""
    console = Console()
    if not console.is_terminal:
        yield _Lines(record, console)
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda note: live.update(
            picture(record, domain, note, roomy=_is_roomy(console)), refresh=True)


def _is_roomy(console: Console) -> bool:
    """Return whether the map fits; call for each picture, since a terminal may be resized."""
    return console.size.width >= MAP_NEEDS[0] and console.size.height >= MAP_NEEDS[1]


class _Lines:
    """Prints a line every LINE_S seconds and at the end of each episode."""

    def __init__(self, record: Record, console: Console) -> None:
        self._record, self._console = record, console
        self._next_s, self._ended = 0.0, 0

    def __call__(self, note: str) -> None:
        ended = sum(bool(episode.outcome) for episode in self._record.episodes)
        if ended == self._ended and time.monotonic() < self._next_s:
            return
        self._ended, self._next_s = ended, time.monotonic() + LINE_S
        self._console.print(note or line(self._record), markup=False, highlight=False,
                            soft_wrap=True)


def line(record: Record) -> str:
    """Describe episode and latency in one line."""
    parts = []
    if record.episodes:
        episode = record.episodes[-1]
        parts.append(f'episode {episode.number}/{record.wanted}: {episode}')
    if record.cycles:
        cycle = record.stages()['cycle']
        parts.append(f'cycle p50 {cycle.p50:.1f} p99 {cycle.p99:.1f} ms')
        parts.append(f'{record.rate():.1f} images/s')
    return ', '.join(parts) or 'starting'


def picture(record: Record, domain: str, note: str = '', roomy: bool = True) -> Panel:
    """Return the picture: episodes and latency; if roomy, side by side and with the map."""
    sides = Table.grid(padding=(0, 3))
    sides.add_column(min_width=LEFT_COLUMNS if roomy else None, no_wrap=True)
    latency = Group(_latency(record), _budgets(record))
    if roomy:
        sides.add_row(_episodes(record, note, 6, True), latency)
    else:
        sides.add_row(_episodes(record, note, 2, False))
        sides.add_row(latency)
    hint = Text(f'ROS_DOMAIN_ID={domain}: ros2 topic echo /vla_nav_node/latency shows the same',
                style='dim')
    health = _health(record, () if roomy else ('policy', 'latency', 'graph'))
    return Panel(Group(sides, health, hint), title='vla_nav demo', expand=False)


def _episodes(record: Record, note: str, count: int, with_map: bool) -> Group:
    """List the last `count` episodes, the note and the command; below them the map."""
    rows: List[Text] = [
        Text(f'{episode.number}/{record.wanted} {episode}', no_wrap=True,
             style=OUTCOME_STYLE.get(episode.outcome, BAD))
        for episode in record.episodes[-count:]]
    if note or not rows:
        rows.append(Text(note or 'starting', style='yellow'))
    if record.episodes:
        x, y = record.command
        rows.append(Text(f'command: {x:+.2f} m/s forward, {y:+.2f} m/s to the left'))
    if record.episodes and with_map:
        rows.append(arena(record.episodes[-1]))
        rows.append(Text(f'# box, o cup, reached within {REACH} m', style='dim'))
    return Group(*rows)


def arena(episode: Episode) -> Text:
    """Draw the arena from above: boxes #, cup o, start S, path dots, robot @."""
    layout = draw_layout(episode.seed, episode.scenario)
    x0, x1, y0, y1 = layout.arena
    columns, rows = round((x1 - x0) / COLUMN_M), round((y1 - y0) / ROW_M)
    grid = [[_ground(layout, x0 + (column + 0.5) * COLUMN_M, y1 - (row + 0.5) * ROW_M)
             for column in range(columns)] for row in range(rows)]
    marks = [('S', layout.start), *(('.', point) for point in episode.path), ('o', layout.cup),
             *(('@', point) for point in episode.path[-1:])]
    for mark, point in marks:
        column, row = int((point[0] - x0) / COLUMN_M), int((y1 - point[1]) / ROW_M)
        grid[min(max(row, 0), rows - 1)][min(max(column, 0), columns - 1)] = mark
    text = Text('\n'.join(['┌' + '─' * columns + '┐', *('│' + ''.join(cells) + '│'
                           for cells in grid), '└' + '─' * columns + '┘']))
    for mark, style in (('o', 'bold red'), ('@', 'bold cyan'), ('#', 'yellow')):
        text.highlight_regex(mark, style)
    return text


def _ground(layout: Layout, x: float, y: float) -> str:
    inside = any(distance_to_box(obstacle, (x, y)) <= 0.0 for obstacle in layout.boxes)
    return '#' if inside else ' '


def _latency(record: Record) -> Table:
    table = Table(box=box.SIMPLE, title=f'latency of {len(record.cycles)} cycles, ms')
    table.add_column('stage')
    for name in ('p50', 'p95', 'p99', 'max'):
        table.add_column(name, justify='right')
    for name, values in record.stages().items():
        style = 'bold' if name == 'cycle' else ''
        table.add_row(name, *(Text(f'{value:.2f}', style=_colour(name, value))
                              for value in values), style=style)
    return table


def _colour(stage: str, value: float) -> str:
    """Colour a stage by the budgets; not the age, which includes the camera's time."""
    if stage == 'age':
        return ''
    return GOOD if value <= BUDGETS_MS[0] else 'yellow' if value <= BUDGETS_MS[1] else BAD


def _budgets(record: Record) -> Group:
    count = len(record.cycles)
    rows = []
    for budget in BUDGETS_MS:
        over = record.over(budget)
        share = 100.0 * (count - over) / count if count else 0.0
        rows.append(Text(f'within {budget:g} ms: {share:6.2f} %  ({over} missed)',
                         style=GOOD if count and not over else ''))
    rows.append(Text(f'{record.rate():.1f} images/s processed; '
                     f'{record.counts.get("replaced by a newer one", "?")} replaced by a newer '
                     f'one, {record.counts.get("lost in transport", "?")} lost'))
    return Group(*rows)


def _health(record: Record, omitted: Sequence[str]) -> Group:
    return Group(*(Text(f'{name}: {message}', style='dim', overflow='ellipsis', no_wrap=True)
                   for name, message in record.health.items() if name not in omitted))
