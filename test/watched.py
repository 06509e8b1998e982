"""A watch with cycles, machine and clock of the test."""

import logging

import numpy as np
from planted_kernel import Planted
from vla_nav_node.driving.latency_recorder import FIELDS, LatencyRecorder
from vla_nav_node.driving.slowdown.causes import Evidence
from vla_nav_node.driving.slowdown.duty import Duty
from vla_nav_node.driving.slowdown.slowdown_watch import SlowdownWatch
from vla_nav_node.policy.runtimes import Runtime
from vla_nav_node.system.load.busy_processes import BusyReader
from vla_nav_node.system.load.cpu_use import CpuReader
from vla_nav_node.system.load.memory_waits import MemoryReader
from vla_nav_node.types import BackendInfo

INFER_MS, PREPARE_MS = 0.5, 0.3
INFO = BackendInfo('onnx', 'onnxruntime', '1.0', 'cpu', 'CPUExecutionProvider', 'fp32')
DUTY = Duty(Runtime('onnx'), INFO, False, '640x480 rgb8', 0, 0.0)
CORES = 2


class Watched:
    """A node and its machine, which the test describes a second at a time."""

    def __init__(self, tmp_path, monkeypatch, expected=None, hz=50, flags='fpu'):
        """Begin on a quiet machine."""
        monkeypatch.setattr(logging.getLogger('vla_nav_node'), 'level', logging.INFO)
        self.linux, self.now_s, self.hz = Planted(tmp_path), 1000.0, hz
        self.used = self.own = self.stolen = 0
        self.others, self.steal = 0.1, 0.0  # cores, share
        self.duty = DUTY
        self.latency = LatencyRecorder()
        self.linux.cpu(used=0)
        self.linux.plant({'proc/cpuinfo': f'flags : {flags}'})
        self.evidence = Evidence(self.linux.roots)
        self.open_readers()
        self.watch = SlowdownWatch(self.latency, expected, self.evidence)
        self.noise = np.random.default_rng(0)

    def open_readers(self):
        """Open them anew, on the files that are planted by now and by the clock of the test."""
        self.evidence._readers.update({
            **Evidence(self.linux.roots)._readers,
            'cpu': CpuReader(self.linux.roots, self.clock_s, lambda: frozenset(range(CORES))),
            'memory': MemoryReader(self.linux.roots, self.clock_s),
            'busy': BusyReader(self.linux.roots, self.clock_s)})
        self.evidence._readers['cpu'].read()

    def clock_s(self):
        """Return the time, s."""
        return self.now_s

    def drive(self, seconds, infer=1.0, prepare=1.0, noise=0.03, stop=lambda result: False):
        """Drive for some seconds, with times in shares of the usual; return the last result."""
        for _ in range(round(seconds)):
            self._record(infer, prepare, noise)
            self._use_cores()
            self.duty = self.duty._replace(at_s=self.now_s)
            self.result = self.watch.update(self.duty)
            if stop(self.result):
                break
        return self.result

    def named_within(self, seconds, **times):
        """Return after how many seconds it warns; fail if it does not."""
        start_s = self.now_s
        result = self.drive(seconds, stop=lambda result: result.message, **times)
        assert result.message, 'it does not tell'
        return self.now_s - start_s

    def _record(self, infer, prepare, noise):
        for _ in range(self.hz):
            self.now_s += 1.0 / self.hz
            values = dict.fromkeys(FIELDS, 0.01)
            values['infer'] = INFER_MS * infer * self.noise.lognormal(0.0, noise)
            values['decode'] = PREPARE_MS * prepare * self.noise.lognormal(0.0, noise)
            self.latency.record(self.now_s, tuple(values.values()))
            self.duty = self.duty._replace(received=self.duty.received + 1)

    def _use_cores(self):
        self.own += 20
        self.used += 20 + round(100 * self.others)
        self.stolen += round(100 * CORES * self.steal)
        self.linux.cpu(self.used, self.own, self.stolen, CORES)
