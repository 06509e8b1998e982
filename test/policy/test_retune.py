"""A tuning runs in a process of its own, and its result is applied when it has ended."""

from pathlib import Path
import sys
from threading import Event, Thread
import time

import pytest
from vla_nav_node.errors import VlaNavError
from vla_nav_node.policy import retune
from vla_nav_node.policy.runtimes import Runtime

WRITES = """
import pathlib, sys
pathlib.Path(sys.argv[1]).write_text('/**:\\n  ros__parameters:\\n    huge_pages: false\\n')
"""


class Log:
    """Keeps what is logged."""

    def __init__(self):
        self.lines = []
        self.info = self.warning = self.error = self.lines.append


class Scene:
    """A retune whose command is a script."""

    def __init__(self, script, refusal=''):
        """Start the thread that waits for tunings."""
        self.disabled, self.applied, self.log, self.stopping = True, [], Log(), Event()
        self.script, self.refusal = script, refusal
        self.retune = retune.Retune(Path('/models/tiny'), lambda: self.disabled, self._apply,
                                    self.log)
        self.thread = Thread(target=self.retune.run, args=(self.stopping,))
        self.thread.start()

    def _apply(self, values):
        self.applied.append(values)
        return self.refusal

    def command(self, model, runtime, period_ms, folder):
        """Return the script's command line."""
        (folder / retune.CONFIG).unlink(missing_ok=True)
        return [sys.executable, '-c', self.script, str(folder / retune.CONFIG)]

    def start(self):
        """Start a tuning."""
        return self.retune.start(Runtime('onnx'), 20.0)

    def wait_for(self, text):
        """Wait until something is logged."""
        deadline = time.monotonic() + 20.0
        while not any(text in line for line in self.log.lines):
            assert time.monotonic() < deadline, self.log.lines
            time.sleep(0.01)


@pytest.fixture(name='scene_of')
def _scene_of(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    scenes = []

    def scene_of(*arguments):
        scenes.append(Scene(*arguments))
        monkeypatch.setattr(retune, 'command', scenes[-1].command)
        return scenes[-1]
    yield scene_of
    for scene in scenes:
        scene.stopping.set()
        scene.thread.join(10.0)
        assert not scene.thread.is_alive()


def test_a_winner_is_applied(scene_of):
    scene = scene_of(WRITES)
    assert 'for some minutes' in scene.start()
    scene.wait_for('--params-file')
    assert scene.applied == [{'huge_pages': False}]


def test_no_winner_changes_nothing(scene_of):
    scene = scene_of('pass')
    scene.start()
    scene.wait_for('no winner')
    assert scene.applied == []


def test_a_failure_is_told_with_its_last_words(scene_of):
    scene = scene_of('import sys; print("no room on the disk"); sys.exit(2)')
    scene.start()
    scene.wait_for('no room on the disk')
    assert scene.applied == []


def test_a_refused_result_is_told(scene_of):
    scene = scene_of(WRITES, 'the node is inactive')
    scene.start()
    scene.wait_for('refused: the node is inactive')


def test_it_ends_when_the_robot_may_drive(scene_of):
    scene = scene_of('import time; time.sleep(60)')
    scene.start()
    process = scene.retune.process
    scene.disabled = False
    scene.wait_for('the robot was enabled')
    assert process.poll() is not None
    with pytest.raises(VlaNavError, match='the robot may drive'):
        scene.start()


def test_one_at_a_time_and_none_outlives_the_node(scene_of):
    scene = scene_of('import time; time.sleep(60)')
    scene.start()
    process = scene.retune.process
    with pytest.raises(VlaNavError, match='running already'):
        scene.start()
    scene.stopping.set()
    scene.thread.join(10.0)
    assert process.poll() is not None


def test_the_command_tunes_what_drives(tmp_path):
    words = retune.command(Path('/models/tiny'), Runtime('onnx', 'int8', 'cpu'), 20.0, tmp_path)
    assert words[1:4] == ['-m', 'vla_nav_node.cli', 'tune']
    assert words[words.index('--precisions') + 1] == 'int8'
    assert words[words.index('--period-ms') + 1] == '20'
