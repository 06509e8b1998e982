"""The sentences about the graph around the command topic."""

from hypothesis import given, strategies as st
import pytest

from vla_nav_node.driving.diagnostics.graph import (
    Endpoint, GraphReport, listed, MAX_NAMES, no_receiver, problems, Topic, TWIST, TWIST_STAMPED)

BASE = Endpoint('/base', TWIST)
STAMPED = Endpoint('/stamped_base', TWIST_STAMPED)
STRICT = Endpoint('/strict_base', TWIST, conflict='volatile publisher')


def test_nothing_is_wrong_where_only_this_node_drives_a_base():
    assert problems(GraphReport(subscribers=(BASE,))) == []
    assert no_receiver(GraphReport(subscribers=(BASE,))) == ''


@pytest.mark.parametrize(('ours', 'theirs', 'value'), [
    (TWIST, TWIST_STAMPED, 'true'), (TWIST_STAMPED, TWIST, 'false')])
@pytest.mark.parametrize('connected', [0, 1])
def test_a_base_that_expects_the_other_type_is_named_with_the_parameter(
        ours, theirs, value, connected):
    subscribers = (Endpoint('/base', theirs), *[Endpoint('/recorder', ours)] * connected)
    graph = GraphReport(kind=ours, connected=connected, subscribers=subscribers)
    sentence = (f'this node publishes {ours} on /cmd_vel; expected {theirs} (subscribed by '
                f'/base); fix: start this node with enable_stamped_cmd_vel:={value}')
    assert problems(graph) == [sentence]
    assert no_receiver(graph) == ('' if connected else f'no node receives cmd_vel: {sentence}')


def test_a_type_that_no_parameter_selects_is_named():
    strange = Endpoint('/x', 'std_msgs/msg/String')
    text, = problems(GraphReport(connected=0, subscribers=(strange,)))
    assert 'expected std_msgs/msg/String (subscribed by /x); ' in text
    assert text.endswith('fix: remap cmd_vel or the other topic')


def test_a_quality_of_service_that_does_not_fit_is_named():
    text, = problems(GraphReport(connected=1, subscribers=(BASE, STRICT)))
    assert 'by /strict_base on /cmd_vel is incompatible (volatile publisher); fix: ' in text


def test_a_node_that_receives_by_one_subscription_may_have_others():
    assert problems(GraphReport(subscribers=(
        BASE, BASE._replace(kind=TWIST_STAMPED), BASE._replace(conflict='deadline')))) == []


def test_a_base_that_is_listed_but_not_connected_may_be_dead():
    text, = problems(GraphReport(connected=0, subscribers=(BASE,)))
    assert '/base is listed, but not connected' in text and 'killed' in text


def test_without_a_subscriber_the_topics_of_bases_are_named():
    text, = problems(GraphReport(connected=0, elsewhere=(
        Topic('/diff_cont/cmd_vel_unstamped', TWIST), Topic('/omni/cmd_vel', TWIST_STAMPED))))
    assert text == (
        'no node receives cmd_vel: start the base, or remap cmd_vel to its topic; '
        f'/diff_cont/cmd_vel_unstamped has a subscriber of {TWIST}: remap cmd_vel to it; '
        f'/omni/cmd_vel has a subscriber of {TWIST_STAMPED}: remap cmd_vel to it and start '
        'this node with enable_stamped_cmd_vel:=true')


def test_another_publisher_is_named_first():
    text = problems(GraphReport(
        connected=0, clock='the time has stopped', namesakes=1,
        other_publishers=(Endpoint('/joy', TWIST), Endpoint('/nav2', TWIST_STAMPED))))
    assert text[0].startswith(
        f'another publisher on /cmd_vel: /joy, /nav2 ({TWIST_STAMPED}); the base obeys')
    assert text[1].startswith('2 nodes are named /vla_nav_node: ')
    assert text[2] == 'the time has stopped'
    assert text[3].startswith('no node receives cmd_vel')


@given(st.lists(st.text(st.characters(categories=['L'])), max_size=9))
def test_lists_of_names_stay_short_and_count_the_rest(names):
    unique = list(dict.fromkeys(names))
    text = listed(names)
    assert text.startswith(', '.join(unique[:MAX_NAMES]))
    assert text.endswith(f' and {len(unique) - MAX_NAMES} more') == (len(unique) > MAX_NAMES)
