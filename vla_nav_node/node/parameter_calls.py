"""The settings as ROS parameters, with descriptions and reasons for refusals."""

from difflib import get_close_matches
from typing import Any, Callable, Dict, List, Sequence, Tuple

from rcl_interfaces.msg import (
    FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from ..doctor.symptoms import explained
from ..driving import parameters as table_of
from ..errors import SettingError, VlaNavError


def declare(node: Node, rows: Sequence[table_of.Parameter]) -> Dict[str, Any]:
    """Declare parameters and return their values by name; raise SettingError for a bad one."""
    return {row.name: _declare(node, row) for row in rows}


def _declare(node: Node, row: table_of.Parameter) -> Any:
    try:
        declared = node.declare_parameter(row.name, stored(row.default), descriptor(row))
    except InvalidParameterValueException as error:
        raise SettingError(' '.join(str(error).split()), row.constraints()) from None
    value = row.check(declared.value)
    if isinstance(value, tuple) and stored(value) != declared.value:
        node.set_parameters([RosParameter(row.name, value=stored(value))])
    return value


def stored(value: table_of.Value) -> Any:
    """
    Return a value as ROS stores it.

    ROS cannot infer the type of an empty list, and a dump of it would be null or untyped; one
    empty string makes it a list of strings.
    """
    return [*value] or [''] if isinstance(value, tuple) else value


def descriptor(row: table_of.Parameter) -> ParameterDescriptor:
    """Return the descriptor that `ros2 param describe` shows."""
    result = ParameterDescriptor(
        description=f'{row.description} [{row.unit}]' if row.unit else row.description,
        read_only=not row.live,
        # `row.check` checks the type: the refusal of ROS names neither the parameter nor a fix.
        dynamic_typing=True)
    if row.choices or row.read:
        result.additional_constraints = row.constraints()
    if row.kind is int:  # for choices too: rqt_reconfigure fails on an integer without a range
        result.integer_range = [_integer_range(row)]
    elif row.kind is float:
        result.floating_point_range = [FloatingPointRange(from_value=row.low, to_value=row.high)]
    return result


def _integer_range(row: table_of.Parameter) -> IntegerRange:
    """Return the range of an integer; its choices lie at equal distances."""
    if not row.choices:
        return IntegerRange(from_value=int(row.low), to_value=int(row.high))
    first, second, *_, last = map(int, row.choices)
    return IntegerRange(from_value=first, to_value=last, step=second - first)


def set_parameters(node: Node, table: Tuple[table_of.Parameter, ...], now: table_of.Settings,
                   parameters: Sequence[RosParameter],
                   store: Callable[[List[RosParameter]], SetParametersResult]
                   ) -> SetParametersResult:
    """
    Check new values by the table, and `store` them; refuse them with the error.

    rclpy's own refusals name neither what is expected nor a fix. A fixed parameter that keeps its
    value is accepted, so that `ros2 param load` takes what `ros2 param dump` wrote.
    """
    try:
        allowed = _allowed(node, table, now, parameters)
    except SettingError as error:
        return SetParametersResult(successful=False, reason=str(error))
    return store(allowed) if allowed else SetParametersResult(successful=True)


def _allowed(node: Node, table: Tuple[table_of.Parameter, ...], now: table_of.Settings,
             parameters: Sequence[RosParameter]) -> List[RosParameter]:
    """Return what to store; raise SettingError."""
    rows = {row.name: row for row in table}
    for parameter in parameters:
        name, row = parameter.name, rows.get(parameter.name)
        if not node.has_parameter(name):
            near = get_close_matches(name, rows, 1)
            raise SettingError(f'{node.get_fully_qualified_name()} has no parameter {name}',
                               fix=f'write {near[0]} instead' if near else '')
        if row is not None and parameter.type_ == RosParameter.Type.NOT_SET:
            raise SettingError(f'{name} cannot be deleted', row.constraints(),
                               f'set it to its default, {stored(row.default)!r}')
    new = table_of.updated(now, table, {one.name: one.value for one in parameters})
    own = [RosParameter(name, value=stored(getattr(new, name)))
           for name in (one.name for one in parameters) if name in rows and rows[name].live]
    of_ros = [one for one in parameters if one.name not in rows
              and node.get_parameter(one.name).value != one.value]
    return own + of_ros


def changed_parameters(before: table_of.Settings,
                       after: table_of.Settings) -> List[RosParameter]:
    """Return the parameters whose values differ."""
    return [RosParameter(name, value=stored(value)) for name, value in vars(after).items()
            if value != getattr(before, name)]


def answer(action: Callable[[Dict[str, Any]], None],
           parameters: List[RosParameter]) -> SetParametersResult:
    """Call `action` with new values by name; if it raises, refuse them with the error."""
    try:
        action({parameter.name: parameter.value for parameter in parameters})
    except Exception as error:  # noqa: BLE001  # opening a runtime must not stop the robot
        what = str(error) if isinstance(error, VlaNavError) else f'{type(error).__name__}: {error}'
        return SetParametersResult(successful=False, reason=explained(error, what))
    return SetParametersResult(successful=True)
