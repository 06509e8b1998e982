"""The arrows of the design point one way, and driving on onnx loads no torch."""

import ast
from collections import Counter
from graphlib import TopologicalSorter
import os
from pathlib import Path
import re
import subprocess
import sys

import pytest
from rooms import (
    ARCHITECTURE, imports_of, ON_THE_ROBOT, ours, PACKAGE, REPOSITORY, room_of, ROOMS, SOURCES,
    with_picture)
import tiny

FRAMEWORKS = {'torch', 'onnx', 'onnxruntime', 'tensorrt', 'safetensors'}
USE_FRAMEWORKS = ('backends', *ROOMS[:ROOMS.index('node')])
# On the robot ROS is known to the node's room alone.
USE_ROS = ('node', 'commands', 'demo', 'bench', 'sim')
MOST_FILES, MOST_LINES = 12, 300


def is_ros(name):
    """Tell whether a module is part of ROS 2."""
    root = name.split('.')[0]
    return root in ('rclpy', 'cv_bridge') or root.endswith(('_msgs', '_srvs', '_interfaces'))


def test_the_picture_of_the_rooms_is_of_this_code():
    text = ARCHITECTURE.read_text(encoding='utf-8')
    assert text == with_picture(text), 'draw it again: make rooms'


def test_every_room_has_its_floor():
    assert {room_of(module) for module in SOURCES} == set(ROOMS)


@pytest.mark.parametrize('module', SOURCES)
def test_arrows_point_down(module):
    floor = ROOMS.index(room_of(module))
    above = {name for name in ours(module) if ROOMS.index(room_of(name)) < floor}
    assert not above


@pytest.mark.parametrize('module', SOURCES)
def test_ros_and_the_frameworks_are_known_to_few_rooms(module):
    used = {name.split('.')[0] for name in imports_of(module)}
    assert room_of(module) in USE_ROS or not any(map(is_ros, used))
    assert room_of(module) in USE_FRAMEWORKS or not used & FRAMEWORKS
    if room_of(module) == 'backends' and not module.startswith('backends.torch.'):
        assert not FRAMEWORKS & {name.split('.')[0] for name in imports_of(module, True)}


IMPORTED = re.compile(r'from (vla_nav_node[.\w]*) import (\w+)')
NAMED = re.compile(r'vla_nav_node((?:\.\w+)+)')


def named_in(path):
    """Return the modules, and what is in them, that the texts within a source file name."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (f'{module}.{name}' for module, name in IMPORTED.findall(node.value))
            whole = NAMED.fullmatch(node.value)
            if whole and whole[1].split('.')[1] in ROOMS:
                yield node.value


def is_there(name):
    """Tell whether there is such a module, or such a name in one."""
    module, _, last = name.removeprefix(PACKAGE.name).lstrip('.').rpartition('.')
    if {f'{module}.{last}'.strip('.'), f'{module}.{last}.__init__'.lstrip('.')} & set(SOURCES):
        return True
    path = SOURCES.get(module) or SOURCES.get(f'{module}.__init__')
    return path is not None and re.search(rf'\b{last}\b', path.read_text(encoding='utf-8'))


@pytest.mark.parametrize('path', [*SOURCES.values(), *sorted(Path(__file__).parent.rglob('*.py'))],
                         ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_texts_that_name_modules_name_those_that_there_are(path):
    """Code for other processes and what `python -m` starts; nothing else finds a stale one."""
    assert [name for name in named_in(path) if not is_there(name)] == []


@pytest.mark.parametrize('module', SOURCES)
def test_imports_within_functions_name_what_there_is(module):
    """Nothing else finds a stale one before it runs."""
    for node in ast.walk(ast.parse(SOURCES[module].read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = '.'.join(module.split('.')[:-node.level] + [*filter(None, [node.module])])
            assert [alias.name for alias in node.names
                    if not is_there(f'{place}.{alias.name}'.lstrip('.'))] == []


def test_no_imports_go_round():
    graph = {module: set(ours(module, top_level=True)) - {module} for module in SOURCES}
    assert list(TopologicalSorter(graph).static_order())


def test_rooms_and_files_are_small_and_no_name_has_two_meanings():
    folders = Counter(path.parent for path in SOURCES.values())
    assert not {folder: count for folder, count in folders.items()
                if count > MOST_FILES and folder.name != 'commands'}
    assert not [module for module, path in SOURCES.items()
                if len(path.read_text(encoding='utf-8').splitlines()) > MOST_LINES]
    names = Counter(path.name for path in SOURCES.values() if path.name != '__init__.py')
    assert not {name for name, count in names.items() if count > 1}


def run(code, *arguments):
    """Run Python code in a process of its own."""
    done = subprocess.run(
        [sys.executable, '-c', code, *map(str, arguments)], timeout=60, check=False,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(REPOSITORY), tiny.__file__[:-8]])},
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_driving_on_onnx_maps_no_torch_library(tmp_path):
    tiny.write_tiny(tmp_path / 'policy')
    run('import sys, numpy\n'
        'from vla_nav_node.backends import open_backend, prepare\n'
        'from vla_nav_node.bundle.bundle import load_bundle\n'
        'from vla_nav_node.policy.recurrent_policy import Policy\n'
        'prepare()\n'
        'bundle = load_bundle(sys.argv[1])\n'
        'policy = Policy(open_backend("onnx", bundle), bundle.zero_state())\n'
        'assert policy.act(numpy.zeros(bundle.input.shape, numpy.uint8)).shape == (2,)\n'
        'assert "torch" not in sys.modules\n'
        'maps = open("/proc/self/maps").read()\n'
        'assert "libtorch" not in maps and "onnxruntime" in maps\n', tmp_path / 'policy')


WITHOUT = (
    'import importlib, sys\n'
    'class Absent:\n'
    '    def find_spec(self, name, path=None, target=None):\n'
    '        root = name.split(".")[0]\n'
    '        if root in {extras!r} or root.endswith(("_msgs", "_srvs")):\n'
    '            raise ModuleNotFoundError(name=root)\n'
    'sys.meta_path.insert(0, Absent())\n'
    'for name in sys.argv[1:]:\n'
    '    importlib.import_module("vla_nav_node." + name)\n')
EXTRAS = FRAMEWORKS | {'mujoco', 'rclpy', 'cv_bridge', 'rich', 'matplotlib', 'psutil', 'tqdm',
                       'scipy'}
ALONE = [module.removesuffix('.__init__') for module in SOURCES
         if room_of(module) in (*ON_THE_ROBOT, 'cli') and room_of(module) != 'node'
         and module != 'backends.torch.network']


def test_what_drives_is_imported_without_any_extra_or_ros():
    assert {'bundle.bundle', 'policy.fallback', 'driving.cycle', 'cli',
            'backends.torch.torch_backend'} <= set(ALONE)
    run(WITHOUT.format(extras=EXTRAS), *ALONE)


def test_bundles_need_neither_a_framework_nor_ros(tmp_path):
    tiny.write_tiny(tmp_path / 'policy')
    run(WITHOUT.format(extras=EXTRAS)
        .replace('sys.argv[1:]', '["bundle.bundle"]')
        + 'from vla_nav_node.bundle.bundle import load_bundle\n'
          'assert load_bundle(sys.argv[1]).name == "tiny_lstm"\n', tmp_path / 'policy')


@pytest.mark.parametrize('name, package', [('torch', 'torch'), ('onnx', 'onnxruntime'),
                                           ('tensorrt', 'tensorrt')])
def test_an_absent_framework_is_told_with_the_line_that_mends_it(tmp_path, name, package):
    tiny.write_tiny(tmp_path / 'policy')
    # A search path without the environment's packages, except the few that bundles need.
    for needed in ('numpy', 'yaml', 'cv2'):
        found = Path(__import__(needed).__file__).parent
        for path in (found, *found.parent.glob(f'{found.name}*.libs'),
                     *found.parent.glob('_yaml'), *found.parent.glob('opencv*.libs')):
            if not (tmp_path / path.name).exists():
                (tmp_path / path.name).symlink_to(path)
    run('import sys\n'
        'sys.path[:] = [path for path in sys.path if "site-packages" not in path]\n'
        'sys.path.append(sys.argv[1])\n'
        'from vla_nav_node.backends import open_backend\n'
        'from vla_nav_node.bundle.bundle import load_bundle\n'
        'from vla_nav_node.errors import BackendError\n'
        'try:\n'
        '    open_backend(sys.argv[2], load_bundle(sys.argv[1] + "/policy"))\n'
        'except BackendError as error:\n'
        '    assert f"install \'{sys.argv[3]}>=" in str(error), error\n'
        '    assert sys.argv[3] in error.found\n'
        'else:\n'
        '    raise AssertionError("it opened")\n', tmp_path, name, package)
