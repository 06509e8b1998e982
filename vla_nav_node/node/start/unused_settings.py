"""
Refuse a start at which something that the user set reaches nobody.

ROS takes a misspelt parameter, a file for another node and a remapping of nothing without a word,
and the robot drives by what the user thinks was changed.
"""

from difflib import get_close_matches
from typing import Collection, Iterable, List, Sequence

from rclpy.node import Node

from .ros_arguments import Override, read, Remapping
from ...errors import SettingError

# Any node has these; not every ROS declares the second.
ROS_PARAMETERS = ('use_sim_time', 'start_type_description_service')
QOS = 'qos_overrides.'
# Launch files remap these for all nodes at once, whether they use them or not.
ROS_TOPICS = ('/clock', '/rosout', '/parameter_events', '/tf', '/tf_static')


def refuse_unheard(node: Node, arguments: Sequence[str], topics: Sequence[str],
                   neighbours: Collection[str] = ()) -> None:
    """
    Raise SettingError for what of a node's command line reaches nobody; all is declared by now.

    `topics` can be remapped, services too. `neighbours` are parameters of the nodes that this one
    shares files with: there they may stand in a section for many nodes.
    """
    told = read(arguments)
    _refuse_others(node, told.overrides)
    ours = [override for override in told.overrides
            if override.fits(node.get_fully_qualified_name())]
    _refuse_undeclared(node, ours, neighbours)
    _refuse_unread(node, ours)
    _refuse_remappings(node, told.remappings, topics)


def _refuse_others(node: Node, overrides: Sequence[Override]) -> None:
    """Refuse what is for another node: a rule of the command line, a file in all its sections."""
    name = node.get_fully_qualified_name()
    for override in overrides:
        if not override.file and not override.fits(name):
            raise SettingError(f'{override.source} is for the node {override.section}, and this '
                               f'is {name}', fix='leave the name of the node out')
    for file in dict.fromkeys(override.file for override in overrides if override.file):
        _refuse_file(node, file, [override for override in overrides if override.file == file])


def _refuse_file(node: Node, file: str, found: Sequence[Override]) -> None:
    """Refuse a file for others alone; a section of ours for others may be another robot's."""
    name = node.get_fully_qualified_name()
    for override in found:
        ours = map(node.has_parameter, set(override.names) - set(ROS_PARAMETERS))
        if any(ours) and not override.fits(name):
            node.get_logger().warning(f'{override.source}: not for this node, {name}')
    if not any(override.fits(name) for override in found):
        there = ', '.join(override.section for override in found if override.section)
        raise SettingError(f'{file} has nothing for the node {name}, only for '
                           f'{there or "nobody"}', f'a section {name} or /**',
                           'rename a section, or leave the file out')


def _refuse_undeclared(node: Node, ours: Sequence[Override],
                       neighbours: Collection[str]) -> None:
    """Refuse names that nobody declares; of a topic's QoS, which moves no robot, only warn."""
    shared = {name for override in ours if override.file and '*' in override.section
              for name in override.names if name in neighbours}
    undeclared = [name for name in node._parameter_overrides if not node.has_parameter(name)
                  and name not in ROS_PARAMETERS and name not in shared]
    unknown = [name for name in undeclared if not name.startswith(QOS)]
    if unknown:
        raise SettingError(
            f'{node.get_fully_qualified_name()} has no parameter '
            + ', '.join(f'{name} ({_source(ours, name)})' for name in unknown),
            fix='; '.join(_advice(name, list(node._parameters)) for name in unknown))
    for name in undeclared:
        node.get_logger().warning(f'{name} changes nothing: this node reads no QoS from there')


def _refuse_unread(node: Node, ours: Sequence[Override]) -> None:
    """Refuse a section for this node that ROS has not read: Humble knows no wildcard but /**."""
    for override in ours:
        lost = [name for name in override.names if name not in node._parameter_overrides]
        if lost:
            raise SettingError(f'this ROS does not read {", ".join(lost)} from {override.source}',
                               f'a section {node.get_fully_qualified_name()} or /**')


def _refuse_remappings(node: Node, remappings: Sequence[Remapping],
                       topics: Sequence[str]) -> None:
    own = [service.srv_name for service in node.services]  # those of ROS: of the parameters
    there = {*ROS_TOPICS, *_full(node, [*topics, *own])}
    for remapping in remappings:
        if not _takes_effect(node, remapping, there):
            fix = (f'write -p {remapping.match}:={remapping.to}'
                   if node.has_parameter(remapping.match) else _advice(remapping.match, topics))
            raise SettingError(
                f'{remapping.rule} remaps nothing of {node.get_fully_qualified_name()}',
                'one of ' + ', '.join(topics), fix)


def _takes_effect(node: Node, remapping: Remapping, there: Collection[str]) -> bool:
    if remapping.match.startswith('__'):  # the node's name or namespace
        return remapping.to in (node.get_name(), node.get_namespace())
    return (remapping.node in ('', node.get_name())
            and _full(node, [remapping.match])[0] in there)


def _full(node: Node, names: Iterable[str]) -> List[str]:
    return [node.resolve_topic_name(name, only_expand=True) for name in names]


def _source(ours: Sequence[Override], name: str) -> str:
    return next((override.source for override in reversed(ours) if name in override.names),
                'of the command line')


def _advice(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f'write {near[0]} for {name}' if near else f'leave {name} out'
