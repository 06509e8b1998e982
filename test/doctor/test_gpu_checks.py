"""GPUs: skipped without one, and judged on planted answers, which no GPU here can give."""

from dataclasses import asdict
import json

import pytest
from vla_nav_node.backends.tensorrt.engine_cache import Engine, EngineCache, EngineKey
from vla_nav_node.doctor.checks.check import FAILED, OK, SKIPPED, WARNING
from vla_nav_node.doctor.checks.child import Answer
from vla_nav_node.doctor.checks.gpu import (
    cuda_majors, engines, gpu_state, jetson, kernels, libraries, nvidia, providers)
from vla_nav_node.doctor.checks.place import Place
from vla_nav_node.doctor.examination import run
from vla_nav_node.doctor.probes.mapped import gpu_libraries

ORT, TORCH = libraries.PROBES['onnxruntime'], libraries.PROBES['torch']
TRT = libraries.PROBES['tensorrt']
ORIN = ['Orin', '8.7', 'uuid-1']


class Told(Place):
    """A place whose probes have answered already."""

    def heavy(self, module, *arguments):
        return Answer(self.told.get(module, {}))


def told(tmp_path, gpu=True, **answers):
    place = Told(proc=tmp_path / 'proc', sys=tmp_path / 'sys', etc=tmp_path / 'etc')
    place.told = answers
    if gpu:
        device = tmp_path / 'sys/bus/pci/devices/0000:01:00.0'
        device.mkdir(parents=True, exist_ok=True)
        (device / 'vendor').write_text('0x10de\n')
        (device / 'class').write_text('0x030200\n')
    return place


@pytest.fixture
def everything_installed(monkeypatch):
    """Let every library be there, as far as the checks look."""
    monkeypatch.setattr(libraries.util, 'find_spec', lambda name: name)


@pytest.mark.parametrize('module', [nvidia, cuda_majors, kernels, gpu_state, jetson])
def test_without_nvidia_hardware_all_is_skipped_with_the_reason(tmp_path, module):
    result = run(module.CHECK, told(tmp_path, gpu=False))
    assert result.status == SKIPPED and ('no NVIDIA GPU' in result.worst.found
                                         or 'no Jetson' in result.worst.found)


def test_other_cards_of_nvidia_and_other_gpus_do_not_count(tmp_path):
    place = told(tmp_path)
    device = tmp_path / 'sys/bus/pci/devices/0000:01:00.0'
    (device / 'class').write_text('0x040300\n')  # its sound
    assert nvidia.why_none(place)
    (device / 'class').write_text('0x030000\n')
    assert not nvidia.why_none(place)
    (device / 'vendor').write_text('0x1002\n')
    assert nvidia.why_none(place)


def test_a_gpu_without_its_driver_fails(tmp_path):
    place = Place(sys=told(tmp_path).sys)
    result = run(nvidia.CHECK, place)
    if result.status == OK:
        pytest.skip('there is a driver here')
    assert result.status == FAILED and 'driver' in result.worst.remedy


def test_a_cuda_newer_than_the_driver(tmp_path, everything_installed):
    place = told(tmp_path, **{nvidia.PROBE: {'cuda': 12040}, TRT: {'cuda': 13},
                              ORT: {'cuda': 12}, TORCH: {'cuda': '12.6'}})
    result = run(cuda_majors.CHECK, place)
    assert result.status == FAILED
    assert 'TensorRT is built for CUDA 13, the driver supports 12.4' in result.worst.found
    assert result.worst.expected == 'a driver >= 580'
    assert 'tensorrt-cu12' in result.worst.remedy and 'toolkit' in result.worst.remedy
    assert [finding.status for finding in result.findings] == [FAILED, WARNING, OK]


@pytest.mark.parametrize('capability, held, runs', [
    ('8.6', ['sm_80'], True), ('8.6', ['sm_87'], False), ('8.7', ['sm_80', 'sm_90'], True),
    ('12.0', ['sm_80', 'sm_90'], False), ('12.0', ['sm_90', 'compute_90'], True),
    ('7.5', ['sm_80', 'compute_80'], False), ('9.0', ['sm_90a'], True)])
def test_kernels_for_a_capability(capability, held, runs):
    assert kernels.has_kernels(capability, held) is runs


@pytest.mark.parametrize('facts, status, words', [
    ({'architectures': ['sm_80', 'sm_90']}, FAILED, 'sm_80 sm_90'),
    ({'architectures': ['sm_120'], 'product_error': ['no kernel image', '', '']}, FAILED,
     'no kernel image'),
    ({'architectures': ['sm_120'], 'product': 64.0}, OK, 'has kernels')])
def test_torch_on_a_new_gpu(tmp_path, everything_installed, facts, status, words):
    place = told(tmp_path, **{nvidia.PROBE: {'gpu': ['RTX 5090', '12.0', 'u']},
                              TORCH: {'version': '2.6', **facts}})
    result = run(kernels.CHECK, place)
    assert (result.status, words in result.worst.found) == (status, True)


def test_onnx_runtime_of_cuda_13_on_an_old_gpu(tmp_path, everything_installed):
    place = told(tmp_path, **{nvidia.PROBE: {'gpu': ['V100', '7.0', 'u']}, ORT: {'cuda': 13}})
    assert run(kernels.CHECK, place).status == FAILED


LOADED = {'missing': ['libcublasLt.so.13', 'libcudnn.so.9'], 'error': ['no', '', '']}


@pytest.mark.parametrize('gpu, status', [(True, FAILED), (False, WARNING)])
def test_a_provider_that_is_listed_but_does_not_load(
        tmp_path, everything_installed, gpu, status):
    place = told(tmp_path, gpu, **{ORT: {'ran': {'CUDAExecutionProvider': LOADED}}})
    result = run(providers.CHECK, place)
    assert result.status == status and 'libcublasLt.so.13' in result.worst.found
    assert 'onnxruntime-gpu[cuda,cudnn]' in result.worst.remedy


def test_a_provider_whose_nodes_run_elsewhere(tmp_path, everything_installed):
    place = told(tmp_path, **{ORT: {'ran': {'CUDAExecutionProvider': {
        'session': ['CUDAExecutionProvider'], 'missing': [],
        'error': ['MatMul on CPUExecutionProvider', 'every node on CUDA', 'fp16']}}}})
    assert run(providers.CHECK, place).worst.found == 'MatMul on CPUExecutionProvider'


def test_a_real_session_on_the_cpu():
    result = run(providers.CHECK, Place())
    assert result.status == OK and 'nodes on CPUExecutionProvider' in result.worst.found


def test_two_cudnns_in_one_process(tmp_path, everything_installed):
    maps = tmp_path / 'maps'
    maps.write_text(''.join(
        f'7f{number:010x}-7f{number + 1:010x} r-xp 0 08:01 9   {path}\n' for number, path in
        enumerate(['/usr/lib/libcudnn.so.9', '/usr/lib/libcudnn.so.9', '/lib/libc.so.6',
                   '/venv/nvidia/cudnn/lib/libcudnn.so.9', '/venv/nvidia/libcudnn_ops.so.9'])))
    mapped = gpu_libraries(maps)
    assert list(mapped) == ['libcudnn'] and len(mapped['libcudnn']) == 2
    result = run(libraries.CHECK, told(tmp_path, **{TORCH: {'libraries': mapped}}))
    assert result.status == FAILED and 'maps 2 copies of libcudnn' in result.worst.found
    assert 'LD_LIBRARY_PATH' in result.worst.remedy
    mapped['libcudnn'].pop()
    assert run(libraries.CHECK, told(tmp_path, **{TORCH: {'libraries': mapped}})).status == OK


@pytest.mark.parametrize('gpu, status', [(True, FAILED), (False, WARNING)])
def test_tensorrt_says_error_35(tmp_path, everything_installed, monkeypatch, gpu, status):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    place = told(tmp_path, gpu, **{TRT: {
        'package': 'tensorrt', 'version': '10.13.2.6', 'logged': [
            'CUDA initialization failure with error: 35'], 'start': ['no driver', '', 'update']}})
    result = run(engines.CHECK, place)
    assert result.status == status and 'error: 35' in result.worst.found


def test_engines_of_another_tensorrt_and_of_another_gpu(tmp_path, everything_installed,
                                                        monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    cache = EngineCache(engines.cache_directory())
    key = EngineKey('model', '10.3', 'Orin', '8.7', 'uuid-1', 'fp16', 'shapes', 1)
    for changes in ({}, {'tensorrt': '8.6'}, {'uuid': 'uuid-2', 'gpu': 'A5000'}):
        cache.store(EngineKey(**{**asdict(key), **changes}), Engine(b'plan', {}))
    (cache.directory / 'torn.engine').write_bytes(json.dumps({}).encode())
    place = told(tmp_path, **{TRT: {'package': 'tensorrt', 'version': '10.3'},
                              nvidia.PROBE: {'gpu': ORIN}})
    result = run(engines.CHECK, place)
    texts = sorted(finding.found for finding in result.unwell)
    assert result.status == WARNING and len(texts) == 3
    assert sum('TensorRT 8.6' in text for text in texts) == 1
    assert sum('the GPU A5000' in text for text in texts) == 1
    assert all(finding.remedy.startswith('rm ') for finding in result.unwell)


STATE = dict(zip(gpu_state.FIELDS, (
    'A5000', 'Enabled', '1695', '1695', '80.1', '230.0', '60', '400', '24564', '0x0')))


@pytest.mark.parametrize('changes, words', [
    ({}, ''), ({'persistence_mode': 'Disabled'}, 'persistence'),
    ({'clocks_throttle_reasons.active': '0x0000000000000020'}, 'its temperature'),
    ({'clocks_throttle_reasons.active': '0x0000000000000001'}, ''),  # idle
    ({'clocks_throttle_reasons.active': '[Not Supported]'}, '')])
def test_the_state_of_a_gpu(changes, words):
    *unwell, well = gpu_state.judge({**STATE, **changes})
    assert [words in finding.found for finding in unwell] == [True] * bool(words)
    assert well.status == OK


def test_a_jetson(tmp_path):
    files = {'etc/nv_tegra_release': '# R36 (release), REVISION: 3.0, GCID: 1, BOARD: generic\n',
             'var/lib/nvpmodel/status': 'pmode:0002 fmode:quiet\n',
             'sys/class/devfreq/17000000.gpu/min_freq': '306000000',
             'sys/class/devfreq/17000000.gpu/max_freq': '918000000',
             'sys/class/thermal/thermal_zone0/temp': '96000'}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    result = run(jetson.CHECK, Place(etc=tmp_path / 'etc', sys=tmp_path / 'sys'))
    assert [finding.remedy.split(',')[0] for finding in result.unwell] == [
        'sudo nvpmodel -m 0', 'sudo jetson_clocks', 'sudo jetson_clocks --fan']
    assert result.findings[-1].found == 'L4T 36.3.0'
