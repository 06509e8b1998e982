"""Plain YAML is read and written; anything else is refused."""

import contextlib

from hypothesis import given, settings, strategies as st
import pytest
from vla_nav_node.bundle import plain_yaml
from vla_nav_node.bundle.plain_yaml import NotPlain

BOMB = 'l0: &l0 [x, x]\n' + ''.join(
    f'l{k}: &l{k} [{", ".join([f"*l{k - 1}"] * 10)}]\n' for k in range(1, 7))


@pytest.mark.parametrize('text, message', [
    (BOMB, 'anchor or alias'), ('a: &x 1', 'anchor or alias'), ('a: &x [1]\nb: *x', 'anchor'),
    ('&x a: 1', 'anchor'), ('[&x {}]', 'anchor'), ('a: *x', 'anchor or alias'),
    ('a: {<<: {b: 1}}', 'merges'), ('<<: [{b: 1}]', 'merges'),
    ('a: 1\nb: 2\na: 3', "'a' twice"), ('x: {a: 1, a: 1}', "'a' twice"),
    ('- {1: a, 1.0: b}', 'twice'), ('"a": 1\na: 2', "'a' twice"), ('? a\n: 1\n? a\n: 2', 'twice'),
    ('!!set {a, a}', 'twice'), ('!!python/name:os.system', 'constructor'),
    ('x' * (plain_yaml.MOST_BYTES + 1), 'more than')])
def test_what_is_not_plain_is_refused_in_one_line(text, message):
    with pytest.raises(NotPlain, match=message) as refused:
        plain_yaml.load(text)
    assert len(str(refused.value)) <= 300 and '\n' not in str(refused.value)


def test_a_value_that_stands_in_two_places_is_written_twice():
    shared = {'mean': [1.0, 2.0]}
    text = plain_yaml.dump({'a': shared, 'b': shared, 'c': [shared, shared]})
    assert '&' not in text and '*' not in text
    assert plain_yaml.load(text) == {'a': shared, 'b': shared, 'c': [shared, shared]}


def test_what_cannot_be_written_is_told():
    endless = {}
    endless['again'] = endless
    for mapping in (endless, {'a': object()}):
        with pytest.raises(NotPlain):
            plain_yaml.dump(mapping)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-2 ** 63, 2 ** 63)
    | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.text(max_size=8), inner, max_size=4), max_leaves=12)


@given(st.dictionaries(st.text(max_size=8), PLAIN, max_size=4))
@settings(max_examples=150, deadline=None)
def test_plain_data_comes_back_as_it_was(mapping):
    assert plain_yaml.load(plain_yaml.dump(mapping)) == mapping


@given(st.text() | st.binary())
@settings(max_examples=150, deadline=None)
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(NotPlain):
        plain_yaml.load(text)


@pytest.mark.parametrize('text, value', [('1e-5', 1e-5), ('-2E3', -2000.0), ('1.5e2', 150.0)])
def test_numbers_are_numbers_as_everybody_writes_them(text, value):
    assert plain_yaml.load(f'eps: {text}') == {'eps': value}
    assert plain_yaml.load(plain_yaml.dump({'name': text})) == {'name': text}
