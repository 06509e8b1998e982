"""The settings as ROS parameters, with descriptions and reasons for refusals."""

from typing import Any, Callable, Dict, List, Sequence

from rcl_interfaces.msg import (
    FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult)
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from ..driving import settings
from ..errors import SettingError, VlaNavError


def declare(node: Node, rows: Sequence[settings.Parameter]) -> Dict[str, Any]:
    """Declare parameters and return their values by name; raise SettingError for a bad one."""
    return {row.name: _declare(node, row) for row in rows}


def _declare(node: Node, row: settings.Parameter) -> Any:
    try:
        # ROS cannot infer the type of an empty list; one empty string makes it a list of strings.
        default = [*row.default] or [''] if isinstance(row.default, tuple) else row.default
        return row.check(node.declare_parameter(row.name, default, descriptor(row)).value)
    except InvalidParameterValueException as error:
        raise SettingError(' '.join(str(error).split()), row.constraints()) from None


def descriptor(row: settings.Parameter) -> ParameterDescriptor:
    """Return the descriptor that `ros2 param describe` shows."""
    result = ParameterDescriptor(
        description=f'{row.description} [{row.unit}]' if row.unit else row.description,
        read_only=not row.live,
        # `row.check` checks the type: the refusal of ROS names neither the parameter nor a fix.
        dynamic_typing=True)
    if row.choices or row.read:
        result.additional_constraints = row.constraints()
    elif row.kind is float:
        result.floating_point_range = [FloatingPointRange(from_value=row.low, to_value=row.high)]
    elif row.kind is int:
        result.integer_range = [IntegerRange(from_value=int(row.low), to_value=int(row.high))]
    return result


def answer(action: Callable[[Dict[str, Any]], None],
           parameters: List[RosParameter]) -> SetParametersResult:
    """Call `action` with new values by name; if it raises, refuse them with the error."""
    try:
        action({parameter.name: parameter.value for parameter in parameters})
    except VlaNavError as error:
        return SetParametersResult(successful=False, reason=str(error))
    except Exception as error:  # noqa: BLE001  # opening a runtime must not stop the robot
        return SetParametersResult(
            successful=False, reason=f'{type(error).__name__}: {error}')
    return SetParametersResult(successful=True)
