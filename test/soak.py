"""
Drive the real node for a long time, with events of all kinds (`make soak`).

The camera waits for each cycle of the node, so the soak runs as fast as the machine can. Every
turn of CYCLES_A_TURN cycles ends with an event: a hot swap, a reset, another size or encoding,
pictures that are broken, old, frozen or missing, the robot disabled and enabled.
"""

import argparse
from array import array
import fcntl
import json
import os
from pathlib import Path
import sys
import tempfile
import time

import numpy as np

HERE = Path(__file__).resolve().parent
CYCLES_A_TURN = 100
ANSWER_S = 1.0  # to wait for a cycle; a picture may be lost or refused
WARM_UP = 0.5  # share of the soak that is not judged: runtimes load, arenas grow
MOST_GROWTH = 0.01
MOST_DRIFT = 0.25  # of the p99 of the cycle, over the judged part
SIZES = ((48, 64), (120, 160), (96, 96), (240, 320))
ENCODINGS = {'rgb8': 3, 'bgr8': 3, 'mono8': 1, 'rgba8': 4, 'yuyv': 2, 'bayer_rggb8': 1}
BROKEN = ({'step': 1}, {'encoding': 'h264'}, {'width': 60000}, {'height': 0}, {'data': array('B')},
          {'stamp_ns': 0}, {'stamp_ns': 10 ** 18}, {'encoding': 'x' * 5000})


def sample(pid: int) -> dict:
    """Return what a process uses: memory in kB, threads, file handles, shared-memory files."""
    proc = Path('/proc') / str(pid)
    rollup = dict(line.split()[:2] for line in
                  (proc / 'smaps_rollup').read_text().splitlines()[1:])
    handles = []
    for handle in (proc / 'fd').iterdir():
        try:
            handles.append(os.readlink(handle))
        except FileNotFoundError:  # closed in the meantime
            continue
    mapped = {line.split()[-1] for line in (proc / 'maps').read_text().splitlines()
              if '/dev/shm/' in line}
    return {'rss_kb': int(rollup['Rss:']), 'pss_kb': int(rollup['Pss:']),
            'private_kb': int(rollup['Private_Dirty:']), 'handles': len(handles),
            'threads': len(list((proc / 'task').iterdir())), 'shm': len(mapped)}


def growth(values: list) -> dict:
    """
    Fit a line to the judged part; return its growth over the mean, and the noise of it (2 sigma).

    Neighbouring residuals are correlated, so the noise is that of ten means, not of all samples.
    """
    judged = np.asarray(values[int(len(values) * WARM_UP):], float)
    blocks = [block.mean() for block in np.array_split(judged, min(10, len(judged)))]
    if len(blocks) < 4:
        return {'mean': float(judged.mean()), 'growth': None, 'noise': None}
    x = (np.arange(len(blocks)) + 0.5) / len(blocks)  # the middles of the blocks
    (slope, start), covariance = np.polyfit(x, blocks, 1, cov='unscaled')[:2]
    scatter = np.std(blocks - (slope * x + start), ddof=2)
    mean = max(float(judged.mean()), 1e-9)
    return {'mean': mean, 'growth': float(slope) / mean,
            'noise': float(2.0 * scatter * np.sqrt(covariance[0, 0])) / mean}


class Soak:
    """A node, its camera and operator, and the measurements."""

    def __init__(self, rig, node, seed: int = 0) -> None:
        """Take a Rig and a NodeProcess."""
        self.rig, self.node, self.rng = rig, node, np.random.default_rng(seed)
        self.cycles = self.turns = self.unanswered = 0
        self.samples, self.p99, self.events = [], [], {}
        self.shape, self.encoding = SIZES[0], 'rgb8'
        self.backend = 'onnx'

    def run(self, cycles: int, on_turn=lambda soak: None) -> None:
        """Drive this many cycles."""
        actions = [self.swap, self.reset, self.resize, self.recode, self.broken, self.late,
                   self.disable, self.pause]
        while self.cycles < cycles:
            times = [took for took in (self.drive_one() for _ in range(CYCLES_A_TURN))
                     if took is not None]
            self.unanswered += CYCLES_A_TURN - len(times)
            assert times, 'no cycle was answered in a whole turn: ' + self.last_words()
            self.p99.append(float(np.percentile(times, 99)))
            action = actions[self.turns % len(actions)]
            action()
            self.events[action.__name__] = self.events.get(action.__name__, 0) + 1
            self.samples.append(sample(self.node.process.pid))
            self.turns += 1
            self.trim()
            on_turn(self)

    def drive_one(self):
        """Send a picture and wait for its cycle; return the cycle in ms, None if it is lost."""
        before = len(self.rig.latencies)
        self.rig.send(self.picture(), **self.fields())
        deadline = time.monotonic() + ANSWER_S
        while len(self.rig.latencies) == before:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.0002)
        self.cycles += 1
        return self.rig.latencies[-1].data[0]

    def picture(self) -> np.ndarray:
        """Return noise of the present size and encoding."""
        height, width = self.shape
        return self.rng.integers(0, 256, (height, width, ENCODINGS[self.encoding]), np.uint8)

    def fields(self) -> dict:
        """Return the message fields of the present size and encoding."""
        return {'encoding': self.encoding, 'step': self.shape[1] * ENCODINGS[self.encoding]}

    def swap(self) -> None:
        """Swap to the other runtime."""
        self.backend = {'onnx': 'torch', 'torch': 'onnx'}[self.backend]
        reason = self.rig.configure(backend=self.backend)
        assert reason == '', reason

    def reset(self) -> None:
        """Call ~/reset."""
        from std_srvs.srv import Trigger
        assert self.rig.call(Trigger).success

    def resize(self) -> None:
        """Send another size from now on."""
        self.shape = SIZES[self.rng.integers(len(SIZES))]

    def recode(self) -> None:
        """Send another encoding from now on."""
        self.encoding = sorted(ENCODINGS)[self.rng.integers(len(ENCODINGS))]

    def broken(self) -> None:
        """Send a broken picture of each kind."""
        for change in BROKEN:
            self.rig.send(self.picture(), **{**self.fields(), **change})
            time.sleep(0.01)

    def late(self) -> None:
        """Send old pictures, then the same one several times."""
        picture, now_ns = self.picture(), self.rig.now_ns()
        for age_ns in (10 ** 9, 5 * 10 ** 9, 0, 0, 0):
            self.rig.send(picture, **self.fields(), stamp_ns=now_ns - age_ns)
            time.sleep(0.01)

    def disable(self) -> None:
        """Disable the robot and enable it again."""
        from std_srvs.srv import SetBool
        assert self.rig.call(SetBool, data=False).success
        self.rig.send(self.picture(), **self.fields())
        assert self.rig.call(SetBool, data=True).success

    def pause(self) -> None:
        """Stop sending until the node has stopped the robot."""
        time.sleep(0.3)

    def trim(self) -> None:
        """Keep this process small."""
        for kept in (self.rig.latencies, self.rig.commands, self.rig.diagnostics):
            del kept[:-50]

    def last_words(self) -> str:
        """Return the newest diagnostics."""
        return str(self.rig.diagnostics[-1:])

    def figures(self) -> dict:
        """Return the measurements, and whether each stays flat."""
        held = {name: growth([one[name] for one in self.samples]) for name in self.samples[0]}
        drift = growth(self.p99)
        for figure, most in [*((one, MOST_GROWTH) for one in held.values()),
                             (drift, MOST_DRIFT)]:
            # Flat: the growth beyond the noise is within the limit.
            figure['flat'] = (None if figure['growth'] is None
                              else figure['growth'] - figure['noise'] <= most)
        return {'cycles': self.cycles, 'unanswered': self.unanswered, 'turns': self.turns,
                'events': self.events, 'held': held, 'p99_ms': drift}


def main() -> int:
    """Soak; 0 if all is flat, 1 if something grows, 2 if it cannot run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument('--cycles', type=int, default=200_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--json', type=Path, default=Path('out/soak.json'))
    args = parser.parse_args()
    from rig import NodeProcess, Rig
    from tiny import write_tiny
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        bundle = write_tiny(Path(folder) / 'tiny')
        node = NodeProcess(model=bundle.directory, max_acceleration=100.0)
        # The node's stderr is read only at its end, so it must not block before.
        fcntl.fcntl(node.process.stderr, fcntl.F_SETPIPE_SZ, 1 << 20)
        rig = Rig()
        try:
            soak = Soak(rig, node, args.seed)
            rig.until(lambda: soak.drive_one() is not None, 'the first cycle')
            soak.run(args.cycles, progress)
        finally:
            status, stderr = node.finish()
            rig.close()
    figures = {**soak.figures(), 'seconds': round(time.monotonic() - started, 1),
               'status': status}
    args.json.parent.mkdir(parents=True, exist_ok=True)
    args.json.write_text(json.dumps({**figures, 'samples': soak.samples, 'p99': soak.p99},
                                    indent=1))
    return report(figures, stderr)


def progress(soak: Soak) -> None:
    """Print the progress from time to time."""
    if soak.turns % 50 == 0:
        print(f'{soak.cycles} cycles, {soak.samples[-1]}, p99 {soak.p99[-1]:.2f} ms', flush=True)


def report(figures: dict, stderr: str) -> int:
    """Print the figures and return the exit status."""
    print(f'{figures["cycles"]} cycles in {figures["seconds"]} s, {figures["unanswered"]} images '
          f'unanswered, {figures["turns"]} events: {figures["events"]}')
    rows = {**figures['held'], 'p99 ms': figures['p99_ms']}
    for name, row in rows.items():
        if row['growth'] is not None:
            print(f'  {name:10} mean {row["mean"]:10.1f}, growth {100 * row["growth"]:+.2f} % '
                  f'(noise {100 * row["noise"]:.2f} %): {"flat" if row["flat"] else "GROWS"}')
    if figures['status']:
        print(f'the node ended with status {figures["status"]}: {stderr[-2000:]}')
    return 1 if figures['status'] or any(row['flat'] is False for row in rows.values()) else 0


if __name__ == '__main__':
    sys.exit(main())
