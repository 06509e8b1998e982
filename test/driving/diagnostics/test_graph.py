"""What is said of the graph around the commands."""

from hypothesis import given, strategies as st
import pytest

from vla_nav_node.driving.diagnostics.graph import (
    Endpoint, GraphReport, listed, MOST_NAMES, problems, Topic, TWIST, TWIST_STAMPED, unheard)

BASE = Endpoint('/base', TWIST)
STAMPED = Endpoint('/stamped_base', TWIST_STAMPED)
STRICT = Endpoint('/strict_base', TWIST, conflict='volatile publisher')


def test_nothing_is_wrong_where_a_base_listens_and_nobody_else_drives():
    assert problems(GraphReport(readers=(BASE,))) == []
    assert unheard(GraphReport(readers=(BASE,))) == ''


@pytest.mark.parametrize(('ours', 'theirs', 'value'), [
    (TWIST, TWIST_STAMPED, 'true'), (TWIST_STAMPED, TWIST, 'false')])
@pytest.mark.parametrize('listeners', [0, 1])
def test_a_base_that_expects_the_other_type_is_named_with_the_parameter(
        ours, theirs, value, listeners):
    readers = (Endpoint('/base', theirs), *[Endpoint('/recorder', ours)] * listeners)
    graph = GraphReport(kind=ours, listeners=listeners, readers=readers)
    said = (f'{theirs} is expected on /cmd_vel by /base, and this node publishes {ours}; start it '
            f'with enable_stamped_cmd_vel:={value}')
    assert problems(graph) == [said]
    assert unheard(graph) == ('' if listeners else f'nobody listens to cmd_vel: {said}')


def test_a_type_that_no_parameter_gives_is_named():
    said, = problems(GraphReport(listeners=0, readers=(Endpoint('/x', 'std_msgs/msg/String'),)))
    assert said.startswith('std_msgs/msg/String is expected on /cmd_vel by /x')
    assert said.endswith('remap cmd_vel or that topic')


def test_a_quality_of_service_that_does_not_fit_is_named():
    said, = problems(GraphReport(listeners=1, readers=(BASE, STRICT)))
    assert '/strict_base asks for on /cmd_vel does not fit (volatile publisher)' in said


def test_who_hears_by_one_subscription_is_not_deaf_by_another():
    assert problems(GraphReport(readers=(
        BASE, BASE._replace(kind=TWIST_STAMPED), BASE._replace(conflict='deadline')))) == []


def test_a_base_that_is_listed_but_not_connected_may_be_dead():
    said, = problems(GraphReport(listeners=0, readers=(BASE,)))
    assert '/base is listed, but not connected' in said and 'killed' in said


def test_where_nobody_listens_the_topics_of_bases_are_named():
    said, = problems(GraphReport(listeners=0, elsewhere=(
        Topic('/diff_cont/cmd_vel_unstamped', TWIST), Topic('/omni/cmd_vel', TWIST_STAMPED))))
    assert said == (
        'nobody listens to cmd_vel: start the base, or remap cmd_vel to its topic; '
        f'/diff_cont/cmd_vel_unstamped has a subscriber of {TWIST}: remap cmd_vel to it; '
        f'/omni/cmd_vel has a subscriber of {TWIST_STAMPED}: remap cmd_vel to it and start it '
        'with enable_stamped_cmd_vel:=true')


def test_somebody_else_at_the_wheels_is_named_first():
    said = problems(GraphReport(
        listeners=0, clock='the time stands', namesakes=1,
        rivals=(Endpoint('/joy', TWIST), Endpoint('/nav2', TWIST_STAMPED))))
    assert said[0].startswith(
        f'somebody else publishes on /cmd_vel: /joy, /nav2 ({TWIST_STAMPED}); the base obeys')
    assert said[1].startswith('2 nodes are named /vla_nav_node: ')
    assert said[2] == 'the time stands'
    assert said[3].startswith('nobody listens to cmd_vel')


@given(st.lists(st.text(st.characters(categories=['L'])), max_size=9))
def test_lists_of_names_stay_short_and_count_the_rest(names):
    unique = list(dict.fromkeys(names))
    said = listed(names)
    assert said.startswith(', '.join(unique[:MOST_NAMES]))
    assert said.endswith(f' and {len(unique) - MOST_NAMES} more') == (len(unique) > MOST_NAMES)
