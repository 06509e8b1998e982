"""The table of parameters and its checks."""

from dataclasses import fields, replace
import math
from pathlib import Path

import pytest
from vla_nav_node.backends import BACKENDS
from vla_nav_node.backends.options import BackendOptions, OPTIONS
from vla_nav_node.driving.parameters import parameters, Settings, settings_of, updated
from vla_nav_node.errors import SettingError
import yaml

REPOSITORY = Path(__file__).parents[2]
OPTION_NAMES = {option.name for option in OPTIONS}
TABLE = parameters({'linear_x': 0.8, 'linear_y': 0.6}, ('torch', 'onnx'))


def row(name):
    """Return a parameter of the table."""
    return next(row for row in TABLE if row.name == name)


def test_table_and_settings_have_the_same_names():
    names = [entry.name for entry in TABLE]
    assert sorted(names) == sorted(field.name for field in fields(Settings))
    assert len(set(names)) == len(names)


def test_defaults_are_those_of_the_documentation():
    settings = settings_of(TABLE, {})
    assert settings == Settings(
        model='', backend='onnx', precision='fp32', device='auto', control_period_ms=20.0,
        image_timeout=0.2, frozen_timeout=1.0, blank_guard=True,
        state_reset_gap=1.0, max_linear_x=0.8,
        max_linear_y=0.6, max_acceleration=2.5, enable_stamped_cmd_vel=False, stamp_source='now',
        image_transport='raw', image_qos='auto', image_rotation=0, realtime=False,
        allow_unverified=False, torch_mode='auto', onnx_provider='auto',
        cudnn_conv_algo_search='HEURISTIC', gpu_mem_limit_mb=0,
        arena_extend_strategy='kSameAsRequested', cudnn_conv_use_max_workspace=True,
        profile_directory='', fallback_backends=(), rehearsal_ms=4.0, tuned_for='',
        tuned_period_ms=0.0, tuned_p50_ms=0.0, tuned_p99_ms=0.0, nvtx=False,
        hardware_id='', autostart=True)
    assert settings.period_s == pytest.approx(0.02)
    assert settings.runtime == ('onnx', 'fp32', 'auto', BackendOptions())
    assert settings.options == BackendOptions()


def test_an_option_of_another_backend_is_kept_and_swaps_nothing():
    before = settings_of(TABLE, {})
    after = updated(before, TABLE, {'torch_mode': 'script'})
    assert after.runtime == before.runtime
    assert after.options == BackendOptions(torch_mode='script')
    on_torch = updated(after, TABLE, {'backend': 'torch'})
    assert on_torch.runtime == ('torch', 'fp32', 'auto', BackendOptions(torch_mode='script'))


@pytest.mark.parametrize('nothing', [None, [], (), [''], '', '~', 'null', 'None'])
def test_no_fallbacks_in_all_ways_that_ros_sends_them(nothing):
    assert row('fallback_backends').check(nothing) == ()


def test_fallbacks_mean_the_same_whatever_else_is_set():
    settings = settings_of(TABLE, {'fallback_backends': ['onnx:int8@cpu', 'torch'],
                                   'precision': 'fp16', 'device': 'cuda',
                                   'torch_mode': 'script', 'onnx_provider': 'cpu'})
    assert settings.fallbacks == (
        ('onnx', 'int8', 'cpu', BackendOptions(onnx_provider='cpu')),
        ('torch', 'fp32', 'auto', BackendOptions(torch_mode='script')))
    assert [str(runtime) for runtime in settings.fallbacks] == ['onnx:int8@cpu', 'torch:fp32@auto']


def test_every_option_is_a_parameter_and_read_by_a_backend():
    names = [field.name for field in fields(BackendOptions)]
    assert [name for name in names if not row(name).live] == ['profile_directory']
    assert sorted(names) == sorted(option.name for option in OPTIONS)
    assert {name for option in OPTIONS for name in option.read_by} == set(BACKENDS)


@pytest.mark.parametrize('wrong', [{'torch_mode': 'jit'}, {'onnx_provider': 'CUDA'},
                                   {'gpu_mem_limit_mb': -1}])
def test_options_check_themselves(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        BackendOptions(**wrong)


@pytest.mark.parametrize('entry', TABLE, ids=lambda entry: entry.name)
def test_every_default_is_allowed_and_described(entry):
    assert entry.check(entry.default) == entry.default
    assert entry.description.endswith('.')


@pytest.mark.parametrize(('name', 'value', 'message'), [
    ('backend', 'openvino', "backend is 'openvino'; expected one of torch, onnx"),
    ('backend', 3, 'backend is the integer 3; expected one of torch, onnx'),
    ('image_timeout', 0.0, 'image_timeout is 0.0; expected a double from 0.01 to 2 s'),
    ('image_timeout', math.nan, 'image_timeout is nan; expected a double from 0.01 to 2 s'),
    ('image_timeout', math.inf, 'image_timeout is inf; expected a double from 0.01 to 2 s'),
    ('image_timeout', 1, 'image_timeout is the integer 1; expected a double from 0.01 to 2 s; '
                         'fix: write 1.0'),
    ('image_timeout', True, 'image_timeout is the boolean True; expected a double from 0.01 to '
                            '2 s'),
    ('image_timeout', None, 'image_timeout is the NoneType None; expected a double from 0.01 to '
                            '2 s'),
    ('max_linear_y', 0.7, 'max_linear_y is 0.7; expected a double from 0 to 0.6 m/s'),
    ('max_linear_x', 5e-324, 'max_linear_x is 5e-324; expected a double from 0 to 0.8 m/s'),
    ('max_linear_x', -0.1, 'max_linear_x is -0.1; expected a double from 0 to 0.8 m/s'),
    ('gpu_mem_limit_mb', 2.0, 'gpu_mem_limit_mb is the double 2.0; expected an integer from 0 to '
                              '1000000 MB'),
    ('gpu_mem_limit_mb', -1, 'gpu_mem_limit_mb is -1; expected an integer from 0 to 1000000 MB'),
    ('image_rotation', 45, 'image_rotation is 45; expected one of 0, 90, 180, 270 degrees'),
    ('image_rotation', 180.0, 'image_rotation is the double 180.0; expected one of 0, 90, 180, '
     '270 degrees'),
    ('image_rotation', '90', "image_rotation is the string '90'; expected one of 0, 90, 180, 270 "
     'degrees'),
    ('image_rotation', False, 'image_rotation is the boolean False; expected one of 0, 90, 180, '
     '270 degrees'),
    ('torch_mode', 'jit', "torch_mode is 'jit'; expected one of auto, eager, cuda_graph, script, "
                          'compile'),
    ('fallback_backends', 'torch', "fallback_backends is the string 'torch'; expected a list of "
     "strings, such as ['onnx:fp32@cpu', 'torch']; fix: write ['torch']"),
    ('fallback_backends', [1], 'fallback_backends is [1]; expected a list of strings, such as '
     "['onnx:fp32@cpu', 'torch']"),
    ('fallback_backends', ['onnx/fp32'], "fallback_backends has 'onnx/fp32'; expected backend"
     "[:precision[@device]]; fix: write it like 'onnx:fp16@cpu' or 'torch'"),
    ('fallback_backends', ['openvino'], "fallback_backends has 'openvino': backend 'openvino'; "
     'expected one of: torch, onnx, tensorrt'),
    ('fallback_backends', ['torch:fp32', 'torch@auto'], 'fallback_backends names the same twice: '
     'torch:fp32, torch@auto'),
    ('enable_stamped_cmd_vel', 1, 'enable_stamped_cmd_vel is the integer 1; expected a boolean'),
])
def test_a_bad_value_is_refused_with_what_is_allowed(name, value, message):
    with pytest.raises(SettingError) as refused:
        row(name).check(value)
    assert str(refused.value) == message


def test_all_changes_are_checked_before_any_applies():
    settings = settings_of(TABLE, {})
    assert updated(settings, TABLE, {'image_timeout': 0.5, 'use_sim_time': True}) == replace(
        settings, image_timeout=0.5)
    with pytest.raises(SettingError, match='backend'):
        updated(settings, TABLE, {'image_timeout': 0.5, 'backend': 'none'})


def test_a_parameter_that_is_not_live_cannot_change():
    settings = settings_of(TABLE, {})
    assert updated(settings, TABLE, {'image_qos': 'auto'}) == settings
    with pytest.raises(SettingError, match='image_qos cannot change while the node runs'):
        updated(settings, TABLE, {'image_qos': 'reliable'})


@pytest.mark.parametrize(('name', 'low', 'high'), [
    ('image_timeout', 0.01, 2.0), ('control_period_ms', 5.0, 100.0),
    ('frozen_timeout', 0.0, 10.0)])
def test_no_position_of_a_slider_lets_the_robot_drive_blind(name, low, high):
    assert (row(name).low, row(name).high) == (low, high)
    for value in (low - 0.001, high + 0.001):
        with pytest.raises(SettingError, match=f'{name} is'):
            row(name).check(value)


def test_the_distribution_decides_whether_commands_have_a_stamp():
    for stamped in (False, True):
        table = parameters({'linear_x': 0.8, 'linear_y': 0.6}, ('onnx',), stamped=stamped)
        assert settings_of(table, {}).enable_stamped_cmd_vel == stamped
        assert settings_of(table, {'enable_stamped_cmd_vel': True}).enable_stamped_cmd_vel


def test_the_rotation_is_the_bundles_unless_the_user_sets_it():
    table = parameters({'linear_x': 0.8, 'linear_y': 0.6}, ('onnx',), 270)
    assert settings_of(table, {}).image_rotation == 270
    assert settings_of(table, {'image_rotation': 0}).image_rotation == 0
    with pytest.raises(SettingError, match='image_rotation cannot change while the node runs'):
        updated(settings_of(table, {}), table, {'image_rotation': 90})


def test_no_file_or_directory_can_be_set_while_the_node_runs():
    free = [one.name for one in TABLE if one.kind is str and not one.choices]
    # Free text; the last two are only compared and shown.
    assert free == ['model', 'profile_directory', 'tuned_for', 'hardware_id']
    settings = settings_of(TABLE, {})
    for name in set(free) - {'tuned_for'}:
        assert not row(name).live
        with pytest.raises(SettingError, match=f'{name} cannot change while the node runs'):
            updated(settings, TABLE, {name: '/tmp/chosen/by/a/stranger'})
    for path in ('/tmp/a', '../a', 'onnx:/tmp/a', 'onnx:fp32@/tmp/a'):  # the list of runtimes
        with pytest.raises(SettingError):
            updated(settings, TABLE, {'fallback_backends': [path]})


@pytest.mark.parametrize('entry', parameters({'linear_x': 0.8, 'linear_y': 0.8}, tuple(BACKENDS)),
                         ids=lambda entry: entry.name)
def test_the_documentation_describes_every_parameter_as_ros_does(entry):
    page = 'docs/parameters.md' if entry.name in OPTION_NAMES else 'README.md'
    rows = [line for line in (REPOSITORY / page).read_text(encoding='utf-8').splitlines()
            if line.startswith(f'| `{entry.name}` |')]
    assert [line.split(' | ', 3)[-1].removesuffix(' |') for line in rows] == [entry.description]


def test_the_parameter_file_has_every_default():
    path = REPOSITORY / 'config' / 'vla_nav_node.yaml'
    values = yaml.safe_load(path.read_text(encoding='utf-8'))['/**']['ros__parameters']
    # The bundle's and the distribution's, as comments.
    limits = {'max_linear_x', 'max_linear_y', 'image_rotation', 'enable_stamped_cmd_vel'}
    # ROS cannot tell the type of an empty list; one empty string stands for none.
    assert values.pop('fallback_backends') == ['']
    assert values == {row.name: row.default for row in TABLE
                      if row.name not in {'fallback_backends', *limits}}
    assert all(f'# {name}: ' in path.read_text(encoding='utf-8') for name in limits)
