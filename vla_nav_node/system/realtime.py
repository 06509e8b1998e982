"""
The requests of the parameter `realtime` to Linux, and Linux's answers.

Real-time priority for the threads from image to command, memory that is never swapped out, and a
core for the driving thread. Each may be refused. The log and diagnostics then state the reason and
the fix, and the node drives without it.
"""

from contextlib import suppress
import ctypes
import os
from pathlib import Path
import resource
import threading
from threading import Event
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional

LOWEST_PRIORITY = 19  # of a process that works beside a robot that may be driving
# Below 50, the priority of the kernel's interrupt threads: the network has to keep working. The
# watchdog is first, or a policy that never returns could keep it from stopping the robot.
PRIORITIES: Dict[str, int] = {'watchdog': 42, 'driving': 41, 'camera': 40}
PINNED = 'driving'

# <sys/mman.h>. On-fault locks memory as it is used; else every thread's whole stack and every
# arena of the runtimes would be allocated at once.
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
CAP_IPC_LOCK = 14  # <linux/capability.h>

LIMITS = ('a line in /etc/security/limits.d/ and a new login, "<user> - {} {}", or the capability '
          '{} (docker run --cap-add={})')
ISOLATED = Path('/sys/devices/system/cpu/isolated')

Work = Callable[[Event], None]


def yield_to_the_robot(pid: int) -> None:
    """Give a process, unless it has ended, only what others leave of the processor."""
    with suppress(ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, LOWEST_PRIORITY)


class Answer(NamedTuple):
    """Linux's answer to one request."""

    request: str
    granted: bool
    text: str  # what was granted, or the reason and the fix


class Realtime:
    """Makes the requests, if the parameter is on, and keeps the answers."""

    def __init__(self, on: bool, logger: Any) -> None:
        """Make requests only if `on`; `logger` is one of rclpy or of Python."""
        self.on = on
        self.answers: List[Answer] = []
        self._logger = logger

    def lock_memory(self) -> None:
        """Request that no memory, now or later, is swapped out."""
        if self.on:
            self._note(lock_memory())

    def with_priority(self, name: str, work: Work) -> Work:
        """Return a thread's work preceded by the requests for a thread of that name."""
        if not self.on or name not in PRIORITIES:
            return work

        def request_and_work(stopping: Event) -> None:
            self._note(raise_priority(name, PRIORITIES[name]))
            if name == PINNED:
                self._note(pin(name))
            work(stopping)
        return request_and_work

    def lower_priority(self, name: str) -> None:
        """Return threads of this name to normal scheduling, before one that hangs is replaced."""
        for thread in threading.enumerate() if self.on else ():
            if thread.name == name and thread.native_id is not None:
                with suppress(ProcessLookupError):  # it has ended
                    os.sched_setscheduler(
                        thread.native_id, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK,
                        os.sched_param(0))

    def _note(self, answer: Answer) -> None:
        # A thread that replaces another one repeats its requests.
        self.answers[:] = [*(old for old in self.answers if old.request != answer.request), answer]
        if answer.granted:
            self._logger.info(f'realtime: {answer.request}: {answer.text}')
        else:
            self._logger.warning(f'realtime: {answer.request} refused: {answer.text}')


def raise_priority(name: str, priority: int) -> Answer:
    """Request SCHED_FIFO for the calling thread; threads that it starts get normal scheduling."""
    request = f'SCHED_FIFO for the {name} thread'
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return _refused(request, error.strerror, LIMITS.format(
            'rtprio', max(PRIORITIES.values()), 'CAP_SYS_NICE', 'SYS_NICE'))
    return Answer(request, True, f'priority {priority}')


def pin(name: str) -> Answer:
    """Bind the calling thread to one core: an isolated one, else the last."""
    request = f'a core for the {name} thread'
    allowed = frozenset(os.sched_getaffinity(0))
    isolated = parse_cores(ISOLATED.read_text()) if ISOLATED.is_file() else frozenset()
    if len(allowed | isolated) < 2:
        return _refused(request, f'this process may use core {min(allowed)} only',
                        'allow it more cores (taskset, docker run --cpuset-cpus)')
    core = max(isolated or allowed)
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        return _refused(request, f'core {core}: {error.strerror}',
                        'allow it that core (cpuset, docker run --cpuset-cpus)')
    isolation = ', isolated' if isolated else ' (not isolated: see isolcpus)'
    return Answer(request, True, f'core {core}{isolation}')


def parse_cores(text: str) -> FrozenSet[int]:
    """Parse the kernel's notation for a list of cores, such as 1,4-6."""
    ranges = [part.split('-') for part in text.strip().split(',') if part]
    return frozenset(core for ends in ranges for core in range(int(ends[0]), int(ends[-1]) + 1))


def lock_memory() -> Answer:
    """Lock the process's memory, but only if it may lock any amount."""
    request = 'locked memory'
    fix = LIMITS.format('memlock', 'unlimited', 'CAP_IPC_LOCK', 'IPC_LOCK')
    limit = _memory_limit()
    if limit is not None:  # allocations beyond it would fail, while driving
        return _refused(request, f'the limit is {limit >> 10} KiB', fix)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        return _refused(request, os.strerror(ctypes.get_errno()), fix)
    return Answer(request, True, 'all of it, as it is used')


def _memory_limit() -> Optional[int]:
    """Return how many bytes may be locked at most, None for no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
        return None
    status = Path('/proc/self/status').read_text(encoding='utf-8', errors='replace')
    capabilities = int(status.split('CapEff:')[1].split()[0], 16)
    return None if capabilities >> CAP_IPC_LOCK & 1 else hard


def _refused(request: str, why: Optional[str], fix: str) -> Answer:
    return Answer(request, False, f'{why}; fix: {fix}')
