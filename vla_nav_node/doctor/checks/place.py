"""The place that the checks look at: this machine, or files that a test has planted."""

from dataclasses import dataclass, field
import os
from pathlib import Path
from threading import Lock
from typing import Dict, Mapping, Optional, Tuple

from .child import Answer, ask
from ...system.user_cache import cache_root

LIMIT_S = 20.0  # for one probe
GRAPH_S = 16.0  # for discovery, the parameters of the base and the start of rclpy


@dataclass
class Place:
    """Where the checks read, what the user asked for, and what the probes have told so far."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    proc: Path = Path('/proc')
    sys: Path = Path('/sys')
    etc: Path = Path('/etc')
    shm: Path = Path('/dev/shm')
    opt: Path = Path('/opt')
    model: str = ''  # directory of a bundle; '': the one that ships
    live_s: float = 2.0  # how long the camera is listened to
    cmd_vel: str = '/cmd_vel'
    base_stops: bool = False  # the user has seen it
    limit_s: float = LIMIT_S
    _answers: Dict[Tuple[str, ...], Answer] = field(default_factory=dict)
    _locks: Dict[Tuple[str, ...], Lock] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _heavy: Lock = field(default_factory=Lock)

    def text(self, path: Path) -> str:
        """Return a file's text, '' if it cannot be read."""
        try:
            return path.read_text(errors='replace').strip()
        except OSError:
            return ''

    @property
    def cache(self) -> Path:
        """Return the user's cache, or the nearest directory above it that exists."""
        return nearest(cache_root())

    def heavy(self, module: str, *arguments: str) -> Answer:
        """Ask a probe that takes the processor; they run one at a time, and each only once."""
        return self._once((module, *arguments), self._heavy, self.limit_s)

    def graph(self) -> Answer:
        """Ask the ROS graph, beside the other probes: it mostly waits."""
        return self._once(('vla_nav_node.node.probes.graph_probe', self.cmd_vel,
                           str(self.live_s)), None, GRAPH_S + self.live_s)

    def policy(self) -> Answer:
        """Ask the bundle, and two seconds of its control loop."""
        return self.heavy('vla_nav_node.doctor.probes.policy_probe', self.model)

    def _once(self, key: Tuple[str, ...], queue: Optional[Lock], limit_s: float) -> Answer:
        with self._lock:
            lock = self._locks.setdefault(key, Lock())
        with lock:
            if key not in self._answers:
                with queue or Lock():
                    self._answers[key] = ask(key[0], key[1:], self.environment, limit_s)
            return self._answers[key]


def nearest(path: Path) -> Path:
    """Return a path, or the nearest directory above it that exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())
