"""`vla_nav demo`: the simulated robot and the node in two processes, with a live view."""

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
EPISODE_S = 60.0  # until an episode has ended; the robot's own time limit is 30 s
VIEW_S = 0.25  # between two pictures of the live view
PAUSE_S = 0.7  # after an episode, to show how it ended
LOGS = ('demo_node.log', 'demo_robot.log')  # in the order in which the processes start
DOMAIN = '42'  # unless the user has set one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of this verb."""
    parser.add_argument('--episodes', type=_positive, default=5, metavar='N')
    parser.add_argument('--seed', type=int, default=1000, metavar='S',
                        help='the episodes have the seeds after this one (default: %(default)s)')
    parser.add_argument('--scenario', default='', help='of every episode (default: drawn)')
    parser.add_argument('--frame-rate', type=float, default=30.0, metavar='HZ',
                        help="the camera's (default: %(default)s)")
    parser.add_argument('--backend', default='onnx', help='onnx or torch (default: %(default)s)')
    parser.add_argument('--model', default='', metavar='DIR',
                        help='policy bundle (default: the one that ships)')
    parser.add_argument('--out', type=Path, default=Path('out'), metavar='DIR',
                        help='folder for the picture and the logs (default: %(default)s)')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the figures to FILE')


def run(args: argparse.Namespace) -> int:
    """Drive the episodes; return 0 if all reached the cup, else 1."""
    # Imported here: `vla_nav demo --help` must not need ROS 2, rich or matplotlib.
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
    """Return the environment of all processes: Fast DDS profile, ROS domain, renderer."""
    environment = fastdds_profile.environment()
    environment.setdefault('ROS_DOMAIN_ID', DOMAIN)
    environment.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    environment['MUJOCO_GL'] = rendering.choose()
    return environment


def _start(processes: Processes, args: argparse.Namespace) -> None:
    robot = {'seed': args.seed, 'frame_rate': args.frame_rate, 'episodes': 'one'}
    if args.scenario:
        robot['scenario'] = args.scenario
    node = {'backend': args.backend, 'enable_stamped_cmd_vel': 'false'}  # as Listener takes it
    if args.model:
        node['model'] = str(Path(args.model).resolve())
    modules = ('vla_nav_node.node.main', 'vla_nav_node.sim.ros_node.sim_node')
    for module, parameters, log in zip(modules, (node, robot), LOGS):
        processes.start(module, _ros_arguments(parameters), args.out / log)


def _ros_arguments(parameters: Dict[str, object]) -> List[str]:
    return ['--ros-args', *(part for name, value in parameters.items()
                            for part in ('-p', f'{name}:={value}'))]


def _drive(record: Record, processes: Processes, show: Callable[[str], None]) -> None:
    """Wait for both processes, then drive one episode after the other."""
    from ..demo.listener import Listener
    listener = Listener(record)

    def listen_until(is_done: Callable[[], bool], limit_s: float, note: Callable[[], str]) -> None:
        end_s = time.monotonic() + limit_s
        while not is_done():
            processes.check()
            show(note())
            if time.monotonic() > end_s:
                raise VlaNavError(f'{note() or "no end of the episode"} after {limit_s:g} s; '
                                  + processes.last_words(), 'both processes on one ROS graph')
            listener.listen(VIEW_S)
        show('')
    try:
        listen_until(lambda: not listener.missing(), START_S, listener.missing)
        listener.check_alone()
        for number in range(1, record.wanted + 1):
            episode = listener.begin(number)
            listen_until(lambda: bool(episode.outcome),  # noqa: B023, used in this turn
                         EPISODE_S, str)
            listener.recording = False
            listener.listen(PAUSE_S)
    finally:
        listener.close()
