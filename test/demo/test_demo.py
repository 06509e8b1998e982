"""The demo: its record, its pictures, and the whole of it on a real ROS graph."""

import contextlib
import io
import json
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import cv2
import pytest

for package in ('rclpy', 'mujoco', 'rich', 'matplotlib', 'onnxruntime', 'torch'):
    pytest.importorskip(package)

from rich.console import Console  # noqa: E402, I100, they come after the checks above
import tiny  # noqa: E402
from vla_nav_node.bench import processes as the_processes  # noqa: E402
from vla_nav_node.bench.processes import Processes  # noqa: E402
from vla_nav_node.demo import report, view  # noqa: E402
from vla_nav_node.demo.record import Episode, Record  # noqa: E402
from vla_nav_node.errors import VlaNavError  # noqa: E402
from vla_nav_node.sim.world.layout import draw_layout  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture
def record():
    """Make up a demo of two episodes: one reached the cup, one did not."""
    made = Record(2)
    for number, outcome in ((1, 'reached'), (2, 'contact')):
        episode = Episode(number, number, draw_layout(number).scenario)
        for x in (0.5, 1.0, 1.5):
            episode.update({'time': x, 'outcome': '', 'distance': 3.0 - x, 'x': x, 'y': 0.0})
        episode.update({'time': 4.0, 'outcome': outcome, 'distance': 0.3, 'x': 2.0, 'y': 0.1})
        made.episodes.append(episode)
    for index in range(100):
        cycle = 25.0 if index == 99 else 12.0 if index >= 97 else 2.0
        made.cycles.append((cycle, 0.01, 0.1, 0.2, 1.5, 0.01, 0.1, 20.0, cycle / 20.0))
        made.times.append(index / 30.0)
        made.arrivals.append(index / 30.0)
    return made


def test_record_counts_what_it_was_told(record):
    stages = record.stages()
    assert stages['cycle'].p50 == 2.0
    assert stages['cycle'][-1] == 25.0
    assert stages['infer'].p95 == 1.5
    assert 'used' not in stages  # a share, not a time
    assert (record.over(10.0), record.over(20.0)) == (3, 1)
    assert record.rate() == pytest.approx(30.0)
    assert record.reached == 1


def test_summary_is_for_machines(record):
    summary = json.loads(json.dumps(record.summary()))
    assert [one['outcome'] for one in summary['episodes']] == ['reached', 'contact']
    assert summary['cycles_over_ms'] == {'10': 3, '20': 1}
    assert summary['latency_ms']['cycle']['p50'] == 2.0
    assert 'path' not in summary['episodes'][0]


@pytest.mark.parametrize('roomy', [True, False])
def test_view_shows_the_drive_and_the_budgets(record, roomy):
    console = Console(width=140 if roomy else 80, record=True, file=io.StringIO())
    console.print(view.picture(record, '42', roomy=roomy))
    text = console.export_text()
    assert '1/2 reached' in text and '2/2 contact' in text
    assert 'within 10 ms:  97.00 %  (3 missed)' in text
    assert 'within 20 ms:  99.00 %  (1 missed)' in text
    assert ('@' in text) == roomy  # the map
    assert roomy or len(text.splitlines()) <= 24


def test_view_before_anything_came():
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(view.picture(Record(5), '42', 'waiting for sim_robot'))
    assert 'waiting for sim_robot' in console.export_text()
    assert view.line(Record(5)) == 'starting'


def test_map_shows_boxes_cup_and_robot_where_they_are():
    layout = draw_layout(3, '1_box_crosswise_left')
    episode = Episode(1, 3, layout.scenario, path=[layout.start[:2], (1.0, 0.05)])
    rows = [row[1:-1] for row in view.arena(episode).plain.splitlines()[1:-1]]
    assert (len(rows), len(rows[0])) == (15, 48)

    def at(x, y):
        return rows[int((layout.arena[3] - y) / 0.2)][int(x / 0.1)]
    assert at(*layout.cup) == 'o'
    assert at(1.0, 0.05) == '@'
    assert at(layout.boxes[0].x, layout.boxes[0].y) == '#'


@pytest.mark.parametrize('count', [0, 1, 2])
def test_picture_is_drawn_however_much_there_is(record, tmp_path, count):
    del record.episodes[count:]
    if not count:
        record.cycles.clear()
        record.times.clear()
    picture = cv2.imread(str(report.draw(record, tmp_path / 'demo.png')))
    assert picture.shape[0] > 500 and picture.shape[1] > 1000
    assert picture.std() > 10.0  # something is on it


def test_a_process_that_dies_is_reported_with_its_last_lines(tmp_path):
    with Processes(dict(os.environ)) as processes:
        processes.start('no_such_module_of_ours', [], tmp_path / 'log')
        with pytest.raises(VlaNavError, match='(?s)status 1.*No module named no_such_module'):
            wait_until(processes.check, 10.0)


def test_no_process_is_left_even_if_it_will_not_listen(tmp_path, monkeypatch):
    monkeypatch.setattr(the_processes, 'PATIENCE_S', 0.3)
    (tmp_path / 'deaf.py').write_text(
        'import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint("deaf")\n'
        'time.sleep(100)\n')
    environment = {**os.environ, 'PYTHONPATH': str(tmp_path)}
    with pytest.raises(ZeroDivisionError), Processes(environment) as processes:
        processes.start('deaf', [str(tmp_path)], tmp_path / 'log')
        wait_until(lambda: 'deaf' in (tmp_path / 'log').read_text(), 10.0)
        raise ZeroDivisionError
    assert not running_with(str(tmp_path))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_that_a_library_swallowed_is_raised_again(number):
    with pytest.raises(KeyboardInterrupt), Processes(dict(os.environ)) as processes:
        processes.check()
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(1.0)
        processes.check()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_while_a_process_starts_leaves_none(tmp_path, monkeypatch):
    class Slow(the_processes.Process):

        def __init__(self, *args) -> None:
            super().__init__(*args)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
    monkeypatch.setattr(the_processes, 'Process', Slow)
    with pytest.raises(KeyboardInterrupt), Processes(dict(os.environ)) as processes:
        processes.start('http.server', ['0', '--directory', str(tmp_path)], tmp_path / 'log')
    assert not running_with(str(tmp_path))


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    """Write a tiny bundle; its weights are random, so it will not reach the cup."""
    return tiny.write_tiny(tmp_path_factory.mktemp('demo') / 'tiny').directory


def start_demo(out: Path, seed: int, *arguments: str) -> subprocess.Popen:
    """Start it as the user does, with its output in a pipe."""
    environment = {**os.environ, 'ROS_DOMAIN_ID': str(60 + seed % 20)}
    return subprocess.Popen(
        [sys.executable, '-m', 'vla_nav_node.cli', 'demo', '--out', str(out), '--seed', str(seed),
         *arguments], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT)


def wait_until(is_true, seconds: float) -> None:
    """Poll until it is."""
    until = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < until, f'not within {seconds} s'
        time.sleep(0.05)


def running_with(argument: str) -> list:
    """List the processes that have `argument` in their command line."""
    found = []
    for path in Path('/proc').glob('[0-9]*/cmdline'):
        try:
            line = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if argument.encode() in line:
            found.append(line.replace(b'\0', b' ').decode())
    return found


def test_demo_drives_over_ros_and_leaves_picture_and_figures(tmp_path, model):
    figures = tmp_path / 'figures.json'
    demo = start_demo(tmp_path, 7001, '--episodes', '2', '--model', str(model),
                      '--json', str(figures))
    said = demo.communicate(timeout=110.0)[0]
    result = json.loads(figures.read_text())
    assert demo.returncode == (0 if result['reached'] == 2 else 1), said
    assert [one['seed'] for one in result['episodes']] == [7002, 7003]
    assert all(one['outcome'] for one in result['episodes'])
    assert result['cycles'] > 20
    assert 0.0 < result['latency_ms']['cycle']['p50'] < 100.0
    assert result['diagnostics']['lost in transport'] == '0'
    assert cv2.imread(result['picture']) is not None
    assert f'{result["reached"]} of 2 episodes reached the cup' in said
    assert not running_with('seed:=7001')


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_demo_takes_its_processes_along_when_it_is_ended(tmp_path, model, number):
    seed = 7100 + number
    demo = start_demo(tmp_path, seed, '--model', str(model))
    try:
        wait_until(lambda: len(running_with(f'seed:={seed}')) == 1, 30.0)
        wait_until(lambda: 'ready: ' in (tmp_path / 'demo_node.log').read_text(), 60.0)
        demo.send_signal(number)
        said = demo.communicate(timeout=30.0)[0]
    finally:
        demo.kill()
    assert demo.returncode == 2, said
    assert 'interrupted' in said and 'Traceback' not in said
    assert not running_with(f'seed:={seed}')
    assert not running_with(f'model:={model}')


def test_demo_tells_why_it_cannot_run(tmp_path):
    demo = start_demo(tmp_path, 7200, '--model', str(tmp_path / 'nowhere'))
    said = demo.communicate(timeout=60.0)[0]
    assert demo.returncode == 2
    assert f'no bundle at {tmp_path}/nowhere' in said and 'Traceback' not in said
    assert not running_with('seed:=7200')
