"""Shared memory, in which Fast DDS passes images between processes."""

import os
from typing import Iterator

from ..check import Check, failed, Finding, ok, skipped, warning
from ..place import Place

PER_PROCESS = 34 * 2 ** 20  # of each process with config/fastdds.xml: segment and queues
PROCESSES = 3  # camera, node, and one tool
ROOM = 'docker run --shm-size=256m, or: sudo mount -o remount,size=256m /dev/shm'
LEFT = 'fastrtps_', 'fastdds_', 'sem.fastrtps', 'sem.fastdds'


def run(place: Place) -> Iterator[Finding]:
    """Compare the free room with what a camera and a node take."""
    if not place.shm.is_dir():
        yield failed(f'there is no {place.shm}: images between two processes go by UDP, and most '
                     'of them are lost', 'shared memory', ROOM)
        return
    if 'fastrtps' not in place.environment.get('RMW_IMPLEMENTATION', 'rmw_fastrtps_cpp'):
        yield skipped(f'{place.environment["RMW_IMPLEMENTATION"]} has its own ways')
        return
    system = os.statvfs(place.shm)
    free, total = system.f_bavail * system.f_frsize, system.f_blocks * system.f_frsize
    files = [path for path in place.shm.iterdir() if path.name.startswith(LEFT)]
    text = f'{place.shm}: {free >> 20} of {total >> 20} MiB free'
    if not os.access(place.shm, os.W_OK):
        yield failed(f'{place.shm} cannot be written', 'leave to write',
                     f'sudo chmod 1777 {place.shm}')
    elif free < PER_PROCESS:
        yield failed(f'{text}; {len(files)} files of Fast DDS are there', 'the 34 MiB that each '
                     'process with the Fast DDS profile takes ("Unable to Register SHM '
                     'Transport" otherwise)', f'{ROOM}; files of killed processes: fastdds shm '
                     'clean')
    elif free < PROCESSES * PER_PROCESS:
        yield warning(text, f'{PROCESSES * PER_PROCESS >> 20} MiB: a camera, the node and a tool',
                      ROOM)
    yield ok(text)


CHECK = Check('shared-memory', 'with Fast DDS', 'the size and the free part of /dev/shm', run)
