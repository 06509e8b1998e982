"""The faults of cameras and of clocks."""

import time

from sensor_msgs.msg import CompressedImage

from .fault import DRIVES, ERROR, Fault, Line, OK, SKIPS, STANDS, WARN
from .processes import CameraProcess
from .scene import FROZEN_S, guest, PERIOD_S, Scene


def _trick(name):
    """Return a function that makes the camera do a trick."""
    return lambda scene: scene.camera.play(name)


def _standing(text):
    return Line('camera', ERROR, text)


def _freeze(trick: str, late_s: float = 0.0):
    """Repeat old pictures; no robot may drive on them `late_s` after the guard is due."""
    def make(scene: Scene) -> float:
        at = scene.camera.play(trick)
        scene.distrust.append((at + FROZEN_S + PERIOD_S + late_s, at + 1e9))
        return at
    return make


def _thaw(scene: Scene) -> None:
    scene.distrust[-1] = (scene.distrust[-1][0], scene.camera.play('good'))


def _restart(scene: Scene) -> float:
    at = scene.camera.end()
    scene.replace_camera()
    return at


def _second_camera(scene: Scene, trick: str = 'good') -> float:
    rear = CameraProcess(scene.scratch, 'rear_camera', 'stop')
    scene.cameras.append(rear)
    # From here on its images arrive; else discovery would count as the node's time.
    scene.diagnosed(Line('camera', WARN, '/rear_camera'), time.monotonic())
    at = rear.play(trick)
    scene.distrust.append((at, at + 1e9))
    return at


def _remove_second(scene: Scene) -> None:
    begin, _ = scene.distrust[-1]
    scene.distrust[-1] = (begin, scene.cameras.pop().leave())


def _other_type(scene: Scene) -> float:
    at = time.monotonic()
    with guest('web_camera') as node:
        node.create_publisher(CompressedImage, 'image', 1)
        scene.diagnosed(OTHER_TYPE, at)
    return at


def _sim_time(name):
    """Set use_sim_time, then let the camera and its clock do a trick."""
    def make(scene: Scene) -> float:
        assert scene.rig.configure(use_sim_time=True) == ''
        scene.drives(time.monotonic())
        return scene.camera.play(name)
    return make


def _jump_back(scene: Scene) -> float:
    _sim_time('clock ahead')(scene)
    scene.drives(time.monotonic() + 0.2)
    return scene.camera.play('good')


def _system_time(scene: Scene) -> None:
    scene.camera.play('good')
    assert scene.rig.configure(use_sim_time=False) == ''


OTHER_TYPE = Line('camera', WARN,
                  '/web_camera (sensor_msgs/msg/CompressedImage) publishes on /image')
IN_TURN_S = 0.08  # two turns of two pictures at 50 Hz
SENDS = 'a camera process sends '
FAULTS = [
    Fault('camera stops', 'the camera process sends nothing any more', _trick('stop'), STANDS,
          _standing('no usable image for 0.2 s (image_timeout)')),
    Fault('camera freezes', SENDS + 'one picture again and again, with new stamps',
          _freeze('freeze'),
          STANDS, _standing('the picture is frozen: none was new for '),
          promise_s=FROZEN_S + PERIOD_S, undo=_thaw),
    Fault('two stale pictures', SENDS + 'two pictures in turn, with new stamps',
          _freeze('two in turn', IN_TURN_S), STANDS,
          _standing('the picture is frozen: none was new for '),
          promise_s=FROZEN_S + PERIOD_S + IN_TURN_S, undo=_thaw),
    Fault('lens covered', SENDS + 'noise of 0 to 2 grey levels', _trick('covered'), STANDS,
          _standing('preprocess: the picture shows nothing')),
    Fault('other pixels', SENDS + 'mono8 over the bytes of rgb8', _trick('other pixels'), STANDS,
          _standing('a picture of 64x48 mono8 in rows (step) of 64 bytes has 9216 bytes')),
    Fault('stamps run backwards', SENDS + 'each image stamped 5 ms before the one before it',
          _trick('backwards'), STANDS, _standing('image stamps run backwards')),
    Fault('stamps in the future', SENDS + 'stamps 0.5 s ahead', _trick('future'), STANDS,
          _standing('s in the future; synchronise the clocks')),
    Fault('stamps in the past', SENDS + 'stamps 0.5 s behind', _trick('late'), STANDS,
          _standing('s old when it arrived (image_timeout is 0.2 s)')),
    Fault('stamps of zero', SENDS + 'images without a stamp', _trick('no stamp'), STANDS,
          _standing('the image has no time stamp (it is zero)')),
    Fault('frames out of order', SENDS + 'every other image 60 ms late',
          _trick('out of order'), SKIPS, Line('driving', WARN, 'image stamps run backwards (0.0')),
    Fault('one frame in three corrupt', SENDS + 'every third image with half its bytes',
          _trick('third corrupt'), SKIPS, Line('driving', WARN, 'bytes of data')),
    Fault('wrong encoding', SENDS + '32FC1', _trick('encoding'), STANDS,
          _standing("no picture can be read from encoding '32FC1'")),
    Fault('wrong size', SENDS + 'a height of 4000 over the bytes of 48 rows', _trick('size'),
          STANDS, _standing('a picture of 64x4000 rgb8 has 9216 bytes of data')),
    Fault('wrong step', SENDS + 'a step of 10 bytes for rows of 192', _trick('step'), STANDS,
          _standing('a picture of 64x48 rgb8 has rows (step) of 10 bytes')),
    Fault('truncated data', SENDS + 'half the bytes', _trick('half'), STANDS,
          _standing('a picture of 64x48 rgb8 has 4608 bytes of data')),
    Fault('empty data', SENDS + 'no bytes', _trick('empty'), STANDS,
          _standing('a picture of 64x48 rgb8 has 0 bytes of data')),
    Fault('8K image', SENDS + '7680x4320 rgb8 (100 MB) twice a second', _trick('8K'), STANDS,
          _standing('')),
    Fault('encoding changes in mid-drive', SENDS + 'rgb8, bgr8, mono8, bgra8 by turns',
          _trick('encodings'), DRIVES, Line('camera', OK, 'mono8'), promise_s=None),
    Fault('size changes in mid-drive', SENDS + '64x48, 128x96, 80x60, 64x64 by turns',
          _trick('sizes'), DRIVES, Line('camera', OK, '80x60'), promise_s=None),
    Fault('clock jumps ahead', 'use_sim_time: /clock and stamps jump ahead by an hour',
          _sim_time('clock ahead'), DRIVES, Line('driving', OK, 'driving'), promise_s=None,
          undo=_system_time),
    Fault('clock jumps back', 'use_sim_time: /clock and stamps jump back by an hour',
          _jump_back, SKIPS, Line('driving', WARN, 'image stamps jumped back by '),
          undo=_system_time),
    Fault('clock stops', 'use_sim_time: /clock stops, the camera goes on',
          _sim_time('clock stops'), STANDS, _standing('s in the future; synchronise the clocks'),
          undo=_system_time),
    Fault('two cameras on one topic', 'a second camera process sends on the same topic',
          _second_camera, STANDS, _standing('two cameras send on one topic'),
          Line('camera', WARN, '2 publishers on /image: '), undo=_remove_second),
    Fault('images of another type', 'a second node publishes CompressedImage on the same topic',
          _other_type, DRIVES, OTHER_TYPE, promise_s=None),
    Fault('a slow second camera', 'a second camera process sends 0.8 images a second',
          lambda scene: _second_camera(scene, 'rare'), STANDS,
          _standing('two cameras send on one topic'),
          Line('camera', WARN, '2 publishers on /image: '), undo=_remove_second),
    # Last: a killed camera's publisher stays listed for 20 s, which is a warning.
    Fault('camera restarts', 'the camera process is killed and started again', _restart, SKIPS,
          _standing('no usable image for 0.2 s (image_timeout)')),
]
