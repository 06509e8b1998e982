"""The arrows of the design point one way, and driving on onnx loads no torch."""

import ast
from graphlib import TopologicalSorter
import os
from pathlib import Path
import subprocess
import sys

import pytest
import tiny

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / 'vla_nav_node'
SOURCES = {'.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path
           for path in sorted(PACKAGE.rglob('*.py'))}
FRAMEWORKS = {'torch', 'onnx', 'onnxruntime', 'tensorrt', 'safetensors'}
MAY_USE_FRAMEWORKS = ('backends.', 'network', 'pooling', 'convert.', 'tools.', 'sim.')
MAY_USE_ROS = ('node', 'context', 'camera', 'parameters', 'reach', 'ros_messages', 'ros_graph',
               'sim.sim_', 'tools.demo', 'tools.cycle_profile', 'tools.node_bench.')
ON_TOP = ('node', 'cli', 'tools.', 'sim.')  # what nothing below may import
# Below the simulator, but they can take pictures there or drive there when they are asked to.
MAY_USE_THE_SIMULATOR = ('convert.frames', 'convert.verify')


def is_ros(name):
    """Tell whether a module is part of ROS 2."""
    root = name.split('.')[0]
    return root in ('rclpy', 'cv_bridge') or root.endswith(('_msgs', '_srvs', '_interfaces'))


def imports_of(module, top_level=False):
    """Give the full names that a module imports; its own package's start with a dot."""
    tree = ast.parse(SOURCES[module].read_text(encoding='utf-8'))
    nodes = tree.body if top_level else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(module, node)


def _from(module, node):
    parts = node.module.split('.') if node.module else []
    if not node.level and parts[0] != PACKAGE.name:
        return [f'{node.module}.{alias.name}' for alias in node.names]
    place = module.split('.')[:-node.level] if node.level else []
    base = '.'.join(place + (parts if node.level else parts[1:]))
    names = [f'{base}.{alias.name}'.strip('.') for alias in node.names]
    return [f'.{name if name in SOURCES else base}' for name in names]


def ours(module, top_level=False):
    """Give the modules of the package that a module imports."""
    for name in imports_of(module, top_level):
        if name.startswith(('.', f'{PACKAGE.name}.')):
            found = name[len(PACKAGE.name):] if name[0] != '.' else name
            found = found.lstrip('.')
            if found in SOURCES or f'{found}.__init__' in SOURCES:
                yield found if found in SOURCES else f'{found}.__init__'


def among(module, places):
    """Tell whether a module is one of these places; a place may be a prefix that ends openly."""
    return any(module == place or (place[-1] in '._' and module.startswith(place))
               or (place == 'tools.demo' and module.startswith(place)) for place in places)


@pytest.mark.parametrize('module', SOURCES)
def test_only_the_border_imports_ros(module):
    used = [name for name in imports_of(module) if is_ros(name)]
    assert not used or among(module, MAY_USE_ROS)


@pytest.mark.parametrize('module', SOURCES)
def test_only_those_who_run_networks_import_frameworks(module):
    used = [name for name in imports_of(module) if name.split('.')[0] in FRAMEWORKS]
    assert not used or among(module, MAY_USE_FRAMEWORKS)
    if module.startswith('backends.') or module in ('node', 'cli'):
        assert not [name for name in imports_of(module, top_level=True)
                    if name.split('.')[0] in FRAMEWORKS]


@pytest.mark.parametrize('module', SOURCES)
def test_nothing_below_imports_what_is_on_top(module):
    used = [name for name in ours(module) if among(name, ON_TOP)]
    assert not used or among(module, ('cli', 'tools.', 'sim.', *MAY_USE_THE_SIMULATOR))
    assert not among(module, MAY_USE_THE_SIMULATOR) or not [
        name for name in ours(module, top_level=True) if among(name, ON_TOP)]


@pytest.mark.parametrize('module', ['errors', 'interfaces', 'preprocess', 'safety', 'atomic',
                                    'cdr', 'garbage', 'realtime', 'image_header', 'machine',
                                    'progress', 'image_format', 'blank', 'stale', 'senders'])
def test_leaves_import_only_leaves(module):
    assert set(ours(module)) <= {'errors', 'interfaces'}


def test_no_imports_go_round():
    graph = {module: set(ours(module, top_level=True)) - {module} for module in SOURCES}
    assert list(TopologicalSorter(graph).static_order())


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
EXTRAS = FRAMEWORKS | {'mujoco', 'rclpy', 'cv_bridge', 'rich', 'matplotlib', 'tqdm', 'scipy'}
ALONE = [module for module in SOURCES
         if ('.' not in module or module.startswith('backends.'))
         and module not in ('network', 'pooling') and not among(module, MAY_USE_ROS)]


def test_what_drives_is_imported_without_any_extra_or_ros():
    assert {'bundle', 'policy', 'cycle', 'cli', 'backends.torch_backend'} <= set(ALONE)
    run(WITHOUT.format(extras=EXTRAS), *ALONE)


def test_bundles_need_neither_a_framework_nor_ros(tmp_path):
    tiny.write_tiny(tmp_path / 'policy')
    run(WITHOUT.format(extras=EXTRAS)
        .replace('sys.argv[1:]', '["bundle"]')
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
        '    assert f"vla_nav_node[{sys.argv[2]}]" in str(error), error\n'
        '    assert sys.argv[3] in error.found\n'
        'else:\n'
        '    raise AssertionError("it opened")\n', tmp_path, name, package)
