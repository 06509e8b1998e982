"""`vla_nav demo`: the simulated robot and the node as two processes, and a view of both."""

import argparse
import os
from pathlib import Path
import time
from typing import Callable, Dict, List

from ..bench.processes import Processes
from ..demo.record import Record
from ..errors import VlaNavError
from ..node.start import fastdds_profile
from ..sim.world import rendering
from ..system.outputs import make_report_folder, write_json

EXAMPLE = 'vla_nav demo --episodes 5 --seed 1000 --out out'
START_S = 90.0  # for both processes to load everything, on a slow machine
SILENCE_S = 60.0  # without an end of the episode; the robot's own time limit is 30 s
VIEW_S = 0.25  # between two pictures of the live view
PAUSE_S = 0.7  # to see how an episode ended
LOGS = ('demo_node.log', 'demo_robot.log')  # of the two processes, in the order of their start
DOMAIN = '42'  # where the user has set none


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('--episodes', type=_positive, default=5, metavar='N')
    parser.add_argument('--seed', type=int, default=1000, metavar='S',
                        help='the episodes have the seeds after it (default: %(default)s)')
    parser.add_argument('--scenario', default='', help='of every episode (default: drawn)')
    parser.add_argument('--frame-rate', type=float, default=30.0, metavar='HZ',
                        help="the camera's (default: %(default)s)")
    parser.add_argument('--backend', default='onnx', help='onnx or torch (default: %(default)s)')
    parser.add_argument('--model', default='', metavar='DIR',
                        help='policy bundle (default: the one that ships)')
    parser.add_argument('--out', type=Path, default=Path('out'), metavar='DIR',
                        help='where the picture and the logs go (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the figures there too')


def run(args: argparse.Namespace) -> int:
    """Drive the episodes: 0 when all reached the cup, 1 when not."""
    # Here, so that `vla_nav demo --help` needs neither ROS 2 nor rich nor matplotlib.
    from ..demo.report import draw, print_summary
    from ..demo.view import make_view
    make_report_folder(args, ('demo.png', *LOGS), LOGS[0])
    os.environ.update(_environment())
    record = Record(args.episodes)
    with Processes(dict(os.environ)) as processes:
        _start(processes, args)
        with make_view(record, os.environ['ROS_DOMAIN_ID']) as show:
            _drive(record, processes, show)
    picture = draw(record, args.out / 'demo.png')
    print_summary(record, picture)
    if args.json:
        write_json(args.json, {**record.summary(), 'picture': str(picture)})
    return 0 if record.reached == record.wanted else 1


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f'found {number}, expected 1 or more')
    return number


def _environment() -> Dict[str, str]:
    """Return what this process and its children need: the profile, a domain, a renderer."""
    environment = fastdds_profile.environment()
    environment.setdefault('ROS_DOMAIN_ID', DOMAIN)
    environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    environment['MUJOCO_GL'] = rendering.choose()
    return environment


def _start(processes: Processes, args: argparse.Namespace) -> None:
    robot = {'seed': args.seed, 'frame_rate': args.frame_rate}
    if args.scenario:
        robot['scenario'] = args.scenario
    driver = {'backend': args.backend, 'enable_stamped_cmd_vel': 'false'}  # as Listener takes it
    if args.model:
        driver['model'] = str(Path(args.model).resolve())
    for module, parameters, log in zip((
            'vla_nav_node.node.main', 'vla_nav_node.sim.ros_node.sim_node'),
                                       (driver, robot), LOGS):
        processes.start(module, _ros_arguments(parameters), args.out / log)


def _ros_arguments(parameters: Dict[str, object]) -> List[str]:
    return ['--ros-args', *(part for name, value in parameters.items()
                            for part in ('-p', f'{name}:={value}'))]


def _drive(record: Record, processes: Processes, show: Callable[[str], None]) -> None:
    """Wait for both processes, then drive one episode after the other."""
    from ..demo.listener import Listener
    listener = Listener(record)
    try:
        def until(is_true: Callable[[], bool], limit_s: float, note: Callable[[], str]) -> None:
            _listen_until(is_true, limit_s, note, listener.listen, processes, show)
        until(lambda: not listener.missing(), START_S, listener.missing)
        listener.check_alone()
        for number in range(1, record.wanted + 1):
            episode = listener.begin(number)
            until(lambda: bool(episode.outcome), SILENCE_S, str)  # noqa: B023, used in this turn
            listener.recording = False
            listener.listen(PAUSE_S)
    finally:
        listener.close()


def _listen_until(is_true: Callable[[], bool], limit_s: float, note: Callable[[], str],
                  listen: Callable[[float], None], processes: Processes,
                  show: Callable[[str], None]) -> None:
    start = time.monotonic()
    while not is_true():
        processes.check()
        show(note())
        if time.monotonic() > start + limit_s:
            raise VlaNavError(f'{note() or "no end of the episode"} after {limit_s:g} s; '
                              + processes.last_words(), 'both processes on one ROS graph')
        listen(VIEW_S)
    show('')
