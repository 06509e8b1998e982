"""A manifest has the known keys, at every depth, and no others."""

import copy
from dataclasses import fields
import inspect

import pytest
import tiny
from vla_nav_node.bundle.bundle import load_bundle, MANIFEST, parse_manifest
from vla_nav_node.bundle.manifest import problems_of
from vla_nav_node.bundle.manifest_keys import LAYER, TRAINING, unknown_keys
from vla_nav_node.errors import BundleError
import yaml


def mappings_of(value, place=()):
    """Yield the path of every mapping in a document."""
    pairs = value.items() if isinstance(value, dict) else \
        enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield place
    for key, inner in pairs:
        yield from mappings_of(inner, (*place, key))


SHIPPED = yaml.safe_load((load_bundle().directory / MANIFEST).read_text())
# Where any name is right: precisions, backends, files, outcomes, limits (whose table is another).
OPEN = {('files',), ('verification', 'tolerance'), ('verification', 'verdicts'),
        ('quantization',)}
PLACES = [place for place in mappings_of(SHIPPED)
          if place not in OPEN and place[-1:] not in (('outcomes',), ('files',), ('onnx',))]


def put(place, key, value):
    """Return the manifest that ships with one entry added."""
    manifest = copy.deepcopy(SHIPPED)
    inner = manifest
    for step in place:
        inner = inner[step]
    inner[key] = value
    return manifest


def test_the_manifest_that_ships_has_no_strange_key_and_each_table_is_met():
    assert list(unknown_keys(SHIPPED)) == []
    assert len(PLACES) > 60


@pytest.mark.parametrize('place', PLACES, ids=lambda place: '.'.join(map(str, place)) or 'top')
def test_an_unknown_key_is_refused_wherever_it_stands(place):
    found = problems_of(put(place, 'l0', 'x'))
    assert any('l0 is unknown' in problem or 'a mapping of' in problem for problem in found)


@pytest.mark.parametrize('place, key, value', [
    (('training',), 'loss', {'deep': 1}), (('input',), 'height', [[1]]), ((), 'name', [['x']]),
    (('training', 'plan'), 'seed', [{}]), (('quantization', 'int8'), 'notes', {'x': 1}),
    (('verification',), 'proof', {'a': {'b': {'c': {'d': 1}}}}),
    (('training',), 'imported', {'a': [[1]]}), (('training',), 'imported', {1: 2}),
    (('verification',), 'proof', {'k' * 101: 1}), (('verification',), 'proof', [0] * 1001)])
def test_what_is_nested_where_a_plain_value_belongs_is_refused(place, key, value):
    assert problems_of(put(place, key, value))


def test_figures_of_others_have_a_place_and_stay_plain():
    figures = {'site': {'runs': [1, 2.5, None], 'who': 'us', 'good': True}, 'n': 3}
    for place, key in ((('verification',), 'proof'), (('training',), 'imported')):
        assert problems_of(put(place, key, figures)) == []


def test_many_problems_are_told_in_a_short_message():
    text = yaml.safe_dump({**tiny.manifest(), 'files': {}, **{f'k{n}': 1 for n in range(5000)}})
    with pytest.raises(BundleError) as refused:
        parse_manifest(text)
    assert len(str(refused.value)) < 1000


def test_a_key_of_any_size_or_kind_is_told_in_short():
    for key in ('k' * 100_000, 3, None, 2.5, True):
        with pytest.raises(BundleError) as refused:
            parse_manifest(yaml.safe_dump({**tiny.manifest(), 'files': {}, key: 1}))
        assert len(str(refused.value)) < 1000


def test_the_table_of_layers_has_what_torch_takes_and_nothing_else():
    network = pytest.importorskip('vla_nav_node.backends.torch.network',
                                  reason='PyTorch is not installed')
    taken = {name for layer in network.LAYERS.values()
             for name in inspect.signature(layer).parameters}
    assert set(LAYER) == {'type', *taken} - {'self', 'device', 'dtype', 'args', 'kwargs'}


def test_the_table_of_a_plan_has_what_a_training_writes():
    plan = pytest.importorskip('vla_nav_node.sim.training.plan')
    assert set(TRAINING['plan']) == {field.name for field in fields(plan.Plan)}
