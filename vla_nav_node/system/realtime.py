"""
What the parameter `realtime` asks of Linux, and what Linux answers.

Three wishes: the threads between image and wheels go before all ordinary processes, memory is
never swapped out, and the driving thread has a core of its own. Each may be refused, and whatever
is refused is told in the log and in diagnostics, with what to do; the node drives all the same.
"""

from contextlib import suppress
import ctypes
import os
from pathlib import Path
import resource
import threading
from threading import Event
from typing import Any, Callable, Dict, FrozenSet, List, NamedTuple, Optional

# Below 50, where the kernel's own threads for interrupts are: the network has to go on. The
# watchdog first, or a policy that never comes back could keep it from stopping the robot.
PRIORITIES: Dict[str, int] = {'watchdog': 42, 'driving': 41, 'camera': 40}
PINNED = 'driving'

# <sys/mman.h>. On-fault: memory is locked as it is used, or every thread's whole stack and every
# arena of the runtimes would be filled at once.
MCL_CURRENT, MCL_FUTURE, MCL_ONFAULT = 1, 2, 4
CAP_IPC_LOCK = 14  # <linux/capability.h>

LIMITS = ('a line in /etc/security/limits.d/ and a new login, "<user> - {} {}", or the capability '
          '{} (docker run --cap-add={})')
ISOLATED = Path('/sys/devices/system/cpu/isolated')

Work = Callable[[Event], None]


class Answer(NamedTuple):
    """What became of one wish."""

    wish: str
    granted: bool
    text: str  # what was got, or why not and what to do


class Realtime:
    """Ask for what the parameter stands for, if it is on, and keep the answers."""

    def __init__(self, on: bool, logger: Any) -> None:
        """Take whether to ask at all, and a logger, of rclpy or of Python."""
        self.on = on
        self.answers: List[Answer] = []
        self._logger = logger

    def lock_memory(self) -> None:
        """Keep all memory, now and later, from being swapped out."""
        if self.on:
            self._note(lock_memory())

    def with_priority(self, name: str, work: Work) -> Work:
        """Return a thread's work, with what its name entitles it to asked for at its start."""
        if not self.on or name not in PRIORITIES:
            return work

        def asking_first(stopping: Event) -> None:
            self._note(raise_priority(name, PRIORITIES[name]))
            if name == PINNED:
                self._note(pin(name))
            work(stopping)
        return asking_first

    def lower_priority(self, name: str) -> None:
        """Make threads of this name ordinary: one that hangs, before another takes its place."""
        for thread in threading.enumerate() if self.on else ():
            if thread.name == name and thread.native_id is not None:
                with suppress(ProcessLookupError):  # it has ended
                    os.sched_setscheduler(
                        thread.native_id, os.SCHED_OTHER | os.SCHED_RESET_ON_FORK,
                        os.sched_param(0))

    def _note(self, answer: Answer) -> None:
        # A thread that takes another one's place asks again.
        self.answers[:] = [*(old for old in self.answers if old.wish != answer.wish), answer]
        if answer.granted:
            self._logger.info(f'realtime: {answer.wish}: {answer.text}')
        else:
            self._logger.warning(f'realtime: {answer.wish} refused: {answer.text}')


def raise_priority(name: str, priority: int) -> Answer:
    """Put the calling thread before all ordinary ones; those it starts become ordinary again."""
    wish = f'SCHED_FIFO for the {name} thread'
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError as error:
        return _refused(wish, error.strerror, LIMITS.format(
            'rtprio', max(PRIORITIES.values()), 'CAP_SYS_NICE', 'SYS_NICE'))
    return Answer(wish, True, f'priority {priority}')


def pin(name: str) -> Answer:
    """Bind the calling thread to one core: one that the kernel keeps free, else the last."""
    wish = f'a core for the {name} thread'
    allowed = frozenset(os.sched_getaffinity(0))
    isolated = cores(ISOLATED.read_text(encoding='utf-8')) if ISOLATED.is_file() else frozenset()
    if len(allowed | isolated) < 2:
        return _refused(wish, f'this process may use core {min(allowed)} only',
                        'give it more cores (taskset, docker run --cpuset-cpus)')
    core = max(isolated or allowed)
    try:
        os.sched_setaffinity(0, {core})
    except OSError as error:
        return _refused(wish, f'core {core}: {error.strerror}',
                        'let the process use that core (cpuset, docker run --cpuset-cpus)')
    return Answer(wish, True, f'core {core}' + (', isolated' if isolated else
                                                ' (not isolated: see isolcpus)'))


def cores(text: str) -> FrozenSet[int]:
    """Read a list of cores as the kernel writes it, such as 1,4-6."""
    ranges = [part.split('-') for part in text.strip().split(',') if part]
    return frozenset(core for ends in ranges for core in range(int(ends[0]), int(ends[-1]) + 1))


def lock_memory() -> Answer:
    """Lock the process's memory; where there is a limit to it, rather not at all."""
    wish = 'locked memory'
    fix = LIMITS.format('memlock', 'unlimited', 'CAP_IPC_LOCK', 'IPC_LOCK')
    limit = _memory_limit()
    if limit is not None:  # once locked, each allocation beyond it would fail: in mid-drive
        return _refused(wish, f'the limit is {limit >> 10} KiB', fix)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT):
        return _refused(wish, os.strerror(ctypes.get_errno()), fix)
    return Answer(wish, True, 'all of it, as it is used')


def _memory_limit() -> Optional[int]:
    """Return the most bytes that may be locked, None for any number."""
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
        return None
    status = Path('/proc/self/status').read_text(encoding='utf-8', errors='replace')
    capabilities = int(status.split('CapEff:')[1].split()[0], 16)
    return None if capabilities >> CAP_IPC_LOCK & 1 else hard


def _refused(wish: str, why: Optional[str], fix: str) -> Answer:
    return Answer(wish, False, f'{why}; fix: {fix}')
