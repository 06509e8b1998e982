"""The whole watch, with cycles, a machine and a clock of the test."""

from dataclasses import replace

import pytest
from vla_nav_node.driving.slowdown.expected import Expected
from vla_nav_node.policy.runtimes import Runtime
from watched import INFO, Watched


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Return a node that has learned what is normal."""
    watched = Watched(tmp_path, monkeypatch)
    result = watched.drive(67)
    assert result.values['expected from'] == 'learned in 60 quiet s'
    assert float(result.values['infer expected p50 ms']) == pytest.approx(0.5, rel=0.02)
    return watched


def test_it_says_how_far_it_has_learned(tmp_path, monkeypatch):
    watched = Watched(tmp_path, monkeypatch)
    assert watched.drive(29).values == {'expected from': 'learning: 23 of 60 quiet s'}


def test_a_slow_down_with_a_cause_is_told_within_five_seconds(node, caplog):
    node.drive(60)
    node.others = 1.8
    assert node.named_within(10, infer=1.25) < 5.0
    assert node.result.warn
    assert node.result.message.startswith('infer is 2')
    assert 'other processes use 1.8 of 2 cores, 0.1 before' in node.result.message
    assert float(node.result.values['slower for s']) == pytest.approx(3.0, abs=1.1)
    assert node.result.values['slower because'].startswith('other processes use')
    node.drive(60, infer=1.25)
    assert [record.levelname for record in caplog.records] == ['WARNING']  # once
    node.others = 0.1
    node.drive(10)
    assert not node.result.message and 'slower because' not in node.result.values
    assert [record.levelname for record in caplog.records] == ['WARNING', 'INFO']


@pytest.mark.parametrize('hz', [20, 30])
def test_at_other_paces_it_is_as_quick(tmp_path, monkeypatch, hz):
    node = Watched(tmp_path, monkeypatch, hz=hz)
    node.drive(70)
    node.others = 1.8
    assert node.named_within(10, infer=1.25) < 5.0


def test_five_per_cent_are_not_told(node):
    node.others = 1.8
    node.drive(300, infer=1.05)
    assert not node.result.message


def test_without_a_cause_it_takes_longer_and_is_told_as_unknown(node):
    node.drive(60)
    assert 30 < node.named_within(120, infer=1.15) < 60
    assert node.result.message.endswith('unknown: nothing that this node can read has changed')
    assert node.result.warn


def test_on_a_virtual_machine_the_unknown_is_told_without_a_warning(tmp_path, monkeypatch):
    node = Watched(tmp_path, monkeypatch, flags='fpu hypervisor')
    node.drive(128)
    node.named_within(120, infer=1.15)
    assert 'it cannot read what the host of this virtual machine does' in node.result.message
    assert not node.result.warn
    node.others = 1.8
    node.drive(5, infer=1.15)
    assert node.result.warn


def test_larger_pictures_are_told_and_not_learned(node):
    node.duty = node.duty._replace(picture='1280x960 rgb8')
    assert node.named_within(10, prepare=4.0) < 5.0
    assert node.result.message.startswith('prepare is 28')
    assert 'pictures are 1280x960 rgb8, 640x480 rgb8 before' in node.result.message
    node.drive(600, prepare=4.0)
    assert node.result.warn and 'pictures are' in node.result.message


def test_a_swap_is_learned_anew(node):
    node.duty = node.duty._replace(wanted=Runtime('torch'), backend=replace(INFO, name='torch'))
    node.drive(30, infer=3.0)
    assert node.result.values['expected from'].startswith('learning: ')
    node.drive(67, infer=3.0)
    assert float(node.result.values['infer expected p50 ms']) == pytest.approx(1.5, rel=0.02)
    assert not node.result.message


def test_a_fallback_is_told_and_not_learned(node):
    node.duty = node.duty._replace(backend=replace(INFO, precision='int8'), fallback=True)
    assert node.named_within(10, infer=2.0) < 5.0
    assert 'a fallback drives: onnx (' in node.result.message
    node.duty = node.duty._replace(backend=INFO, fallback=False)
    node.drive(10)
    assert not node.result.message
    assert node.result.values['expected from'].startswith('learned')


def test_several_causes_the_most_specific_first(node):
    node.duty = node.duty._replace(picture='1280x960 rgb8')
    node.others, node.steal = 1.5, 0.2
    node.named_within(10, infer=1.3, prepare=4.0)
    message = node.result.message
    assert message.startswith('infer is 3') and ' and prepare is ' in message
    assert -1 < message.find('pictures') < message.find('steal') < message.find('other processes')


def test_a_loaded_machine_is_learned_from_only_for_want_of_a_quiet_one(tmp_path, monkeypatch):
    node = Watched(tmp_path, monkeypatch)
    node.others = 1.2
    node.drive(120, infer=1.5)
    assert node.result.values['expected from'] == 'learning: 0 of 60 quiet s'
    node.drive(75, infer=1.5)
    assert node.result.values['expected from'] == (
        'learned under load: other processes used 1.2 of 2 cores')
    node.others = 0.1
    node.drive(70)
    assert node.result.values['expected from'] == 'learned in 60 quiet s'
    node.others = 1.2
    assert node.named_within(10, infer=1.5) < 5.0


def test_what_changed_without_harm_explains_nothing_later(node):
    node.duty = node.duty._replace(picture='320x240 rgb8')
    node.drive(120)
    assert node.named_within(120, infer=1.3) > 30
    assert 'unknown' in node.result.message


def test_a_slower_pace_alone_is_no_warning(node, caplog):
    node.hz = 15
    node.named_within(120, infer=1.2)
    assert not node.result.warn
    assert 'pictures come 15 times a second, 50 before' in node.result.message
    assert [record.levelname for record in caplog.records] == ['INFO']


def test_when_no_pictures_come_it_is_not_slow(node, caplog):
    node.others = 1.8
    node.named_within(10, infer=1.5)
    node.hz = 0
    for _ in range(12):
        node.now_s += 1.0
        node.drive(1)
    assert not node.result.message
    assert [record.levelname for record in caplog.records] == ['WARNING', 'INFO']


def test_a_tuning_is_held_against_from_the_start(tmp_path, monkeypatch):
    node = Watched(tmp_path, monkeypatch, Expected(0.4, 0.6, 20.0))
    node.others = 1.8
    assert node.named_within(10) < 6.0
    assert 'infer is 25% slower than expected (p50 0.50 ms, not 0.40)' in node.result.message
    assert node.result.values['expected from'] == 'a tuning; learning: 0 of 60 quiet s'


def test_a_tuning_for_another_pace_or_another_backend_does_not_count(tmp_path, monkeypatch):
    node = Watched(tmp_path, monkeypatch, Expected(0.4, 0.6, 50.0))
    assert not node.drive(90).message
    assert node.result.values['infer expected p50 ms'] > '0.49'
    node = Watched(tmp_path, monkeypatch, Expected(0.4, 0.6, 20.0))
    node.drive(2)
    node.duty = node.duty._replace(wanted=Runtime('torch'))
    assert not node.drive(90).message


def test_reports_in_quick_succession_change_nothing(node):
    before = node.watch.update(node.duty)
    for _ in range(5):
        node.duty = node.duty._replace(at_s=node.duty.at_s + 0.1)
        assert node.watch.update(node.duty) == before
