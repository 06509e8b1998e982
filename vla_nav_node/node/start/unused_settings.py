"""
Refuse a start with settings that have no effect.

ROS silently accepts a misspelt parameter, a file for another node and a remapping of a name that
does not exist, so the robot would drive with other settings than the user thinks.
"""

from difflib import get_close_matches
from typing import Collection, Sequence

from rclpy.node import Node

from .ros_arguments import Override, parse, Remapping
from ...errors import SettingError

# Every node has these; not every ROS declares the second.
ROS_PARAMETERS = ('use_sim_time', 'start_type_description_service')
QOS = 'qos_overrides.'
# Launch files remap these for all nodes at once, used or not.
ROS_TOPICS = ('/clock', '/rosout', '/parameter_events', '/tf', '/tf_static')


def refuse_unused(node: Node, arguments: Sequence[str], names: Sequence[str],
                  shared: Collection[str] = ()) -> None:
    """
    Raise SettingError if a part of the command line has no effect on a node that declared all.

    `names` are the topics and services that can be remapped. `shared` are parameters of other
    nodes that may use the same file: they are allowed in its sections for many nodes.
    """
    parsed = parse(arguments)
    _refuse_other_nodes(node, parsed.overrides)
    own = [override for override in parsed.overrides
           if override.matches(node.get_fully_qualified_name())]
    _refuse_undeclared(node, own, shared)
    _refuse_unread(node, own)
    _refuse_remappings(node, parsed.remappings, names)


def _refuse_other_nodes(node: Node, overrides: Sequence[Override]) -> None:
    """Refuse a rule for another node, and a file whose sections are all for other nodes."""
    name = node.get_fully_qualified_name()
    for override in overrides:
        if not override.file and not override.matches(name):
            raise SettingError(f'{override.source} is for the node {override.section}; this node '
                               f'is {name}', fix='remove the node name from the rule')
    for file in dict.fromkeys(override.file for override in overrides if override.file):
        _check_file(node, file, [override for override in overrides if override.file == file])


def _check_file(node: Node, file: str, overrides: Sequence[Override]) -> None:
    """Refuse a file without a matching section; warn of sections that look like this node's."""
    name = node.get_fully_qualified_name()
    for override in overrides:
        declared = map(node.has_parameter, set(override.names) - set(ROS_PARAMETERS))
        if any(declared) and not override.matches(name):
            node.get_logger().warning(f'{override.source}: not for this node, {name}')
    if not any(override.matches(name) for override in overrides):
        sections = ', '.join(override.section for override in overrides if override.section)
        raise SettingError(f'{file} has no section for the node {name}'
                           + (f', only for {sections}' if sections else ''),
                           f'a section {name} or /**', 'rename a section, or remove the file')


def _refuse_undeclared(node: Node, own: Sequence[Override], shared: Collection[str]) -> None:
    """Refuse undeclared parameters; QoS overrides do not move a robot, so only warn of them."""
    allowed = {name for override in own if override.file and '*' in override.section
               for name in override.names if name in shared}
    undeclared = [name for name in node._parameter_overrides if not node.has_parameter(name)
                  and name not in ROS_PARAMETERS and name not in allowed]
    unknown = [name for name in undeclared if not name.startswith(QOS)]
    if unknown:
        raise SettingError(
            f'{node.get_fully_qualified_name()} has no parameter '
            + ', '.join(f'{name} ({_source(own, name)})' for name in unknown),
            fix='; '.join(_fix(name, list(node._parameters)) for name in unknown))
    for name in undeclared:
        node.get_logger().warning(f'{name} has no effect: this node does not read QoS overrides')


def _refuse_unread(node: Node, own: Sequence[Override]) -> None:
    """Refuse a section that ROS has not read: Humble supports no wildcard but /**."""
    for override in own:
        unread = [name for name in override.names if name not in node._parameter_overrides]
        if unread:
            raise SettingError(
                f'this ROS distribution does not read {", ".join(unread)} from {override.source}',
                f'a section {node.get_fully_qualified_name()} or /**')


def _refuse_remappings(node: Node, remappings: Sequence[Remapping], names: Sequence[str]) -> None:
    services = [service.srv_name for service in node.services]  # ROS's own, for parameters
    known = {*ROS_TOPICS, *(_full(node, name) for name in (*names, *services))}
    for remapping in remappings:
        if not _takes_effect(node, remapping, known):
            fix = (f'write -p {remapping.match}:={remapping.to}'
                   if node.has_parameter(remapping.match) else _fix(remapping.match, names))
            raise SettingError(
                f'{remapping.rule} remaps no name of {node.get_fully_qualified_name()}',
                'one of ' + ', '.join(names), fix)


def _takes_effect(node: Node, remapping: Remapping, known: Collection[str]) -> bool:
    if remapping.match.startswith('__'):  # the node's name or namespace
        return remapping.to in (node.get_name(), node.get_namespace())
    return (remapping.node in ('', node.get_name())
            and _full(node, remapping.match) in known)


def _full(node: Node, name: str) -> str:
    return node.resolve_topic_name(name, only_expand=True)


def _source(own: Sequence[Override], name: str) -> str:
    return next((override.source for override in reversed(own) if name in override.names),
                'from the command line')


def _fix(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f'write {near[0]} instead of {name}' if near else f'remove {name}'
