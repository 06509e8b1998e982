"""The node's parameters as data, and the checks of their values."""

from dataclasses import dataclass, fields, replace
import re
import sys
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type, Union

from ..backends import DEVICES, PRECISIONS
from ..backends.options import BackendOptions, DEFAULTS, OPTIONS
from ..errors import SettingError
from ..policy.runtimes import read_runtimes, Runtime
from ..vision.preprocess import TURNS

Value = Union[str, int, float, bool, Tuple[str, ...]]
NO_LIST = ('', '~', 'null', 'None')  # what the ros2 command makes of a list without a value
# Text that ROS reads as a boolean or a number unless it is quoted (get_value in rcl's parse.c,
# C's strtod). `ros2 param dump` quotes only what Python reads so: 08, 1e5, nan stand bare in it.
_NOT_TEXT = re.compile(r'[yn]|[+-]?(nan(\(\w*\))?|inf(inity)?|0x[\da-f]*\.?[\da-f]*(p[+-]?\d+)?'
                       r'|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?)', re.ASCII | re.IGNORECASE)
REHEARSAL_MS = 4.0
NEVER_TUNED = ('gpu_mem_limit_mb', 'profile_directory')  # bounds and wishes of the user
_TYPE_NAMES = {bool: 'boolean', int: 'integer', float: 'double', str: 'string'}


@dataclass(frozen=True)
class Parameter:
    """A parameter: what `ros2 param describe` shows, and which values are allowed."""

    name: str
    default: Value  # its type is the parameter's type
    description: str
    unit: str = ''
    low: float = 0.0
    high: float = 0.0
    choices: Tuple[Union[str, int], ...] = ()
    live: bool = False  # may be set while the node runs
    # Parses a list of strings; raises SettingError.
    read: Optional[Callable[[Tuple[str, ...]], Any]] = None

    @property
    def kind(self) -> Type[Value]:
        """Return the Python type of the values."""
        return type(self.default)

    def constraints(self) -> str:
        """Return in words which values are allowed."""
        if self.choices:
            return f'one of {", ".join(map(str, self.choices))} {self.unit}'.rstrip()
        if self.read is not None:
            return "a list of strings, such as ['onnx:fp32@cpu', 'torch']"
        name = _TYPE_NAMES[self.kind]
        kind = f'an {name}' if self.kind is int else f'a {name}'
        if self.kind in (int, float):
            return f'{kind} from {self.low:.9g} to {self.high:.9g} {self.unit}'.rstrip()
        return kind

    def check(self, value: Any) -> Value:
        """Return `value` if it is allowed; raise SettingError otherwise."""
        if self.read is not None:
            return self._check_list(value, self.read)
        if type(value) is not self.kind:
            found = _TYPE_NAMES.get(type(value), type(value).__name__)
            fix = f'write {value}.0' if type(value) is int and self.kind is float else ''
            raise SettingError(f'{self.name} is the {found} {value!r}', self.constraints(), fix)
        if not self._allows(value):
            raise SettingError(f'{self.name} is {value!r}', self.constraints())
        if isinstance(value, str) and _NOT_TEXT.fullmatch(value):
            raise SettingError(f'{self.name} is {value!r}, which a file made by `ros2 param dump` '
                               'gives back as a number or a boolean', 'text that is no number',
                               f'write robot_{value}, or ./{value} if it is a path')
        checked: Value = value
        return checked

    def _check_list(self, value: Any, read: Callable[[Tuple[str, ...]], Any]) -> Tuple[str, ...]:
        """
        Check a list of strings.

        ROS does not know the type of an empty list: it arrives as None, as one of NO_LIST, as an
        empty list of any type or, if declared as a list of strings, as one empty string.
        """
        if value in NO_LIST:
            value = None
        if isinstance(value, str):
            raise SettingError(f'{self.name} is the string {value!r}', self.constraints(),
                               f"write ['{value}']")
        items = () if value is None else value
        is_list = isinstance(items, (list, tuple))
        if not is_list or not all(isinstance(item, str) for item in items):
            raise SettingError(f'{self.name} is {value!r}', self.constraints())
        texts = tuple(item for item in items if item)
        read(texts)
        return texts

    def _allows(self, value: Any) -> bool:
        if self.kind in (int, float) and not self.choices:
            # NaN is not. ROS reads a double below the smallest normal one from a file as a string.
            return bool(self.low <= value <= self.high and (
                value == 0 or abs(value) >= sys.float_info.min))
        return not self.choices or value in self.choices


@dataclass(frozen=True, kw_only=True)
class Settings(BackendOptions):
    """The checked values of all parameters; each field has the name of its parameter."""

    model: str
    backend: str
    precision: str
    device: str
    control_period_ms: float
    image_timeout: float
    frozen_timeout: float
    blank_guard: bool
    state_reset_gap: float
    max_linear_x: float
    max_linear_y: float
    max_acceleration: float
    enable_stamped_cmd_vel: bool
    stamp_source: str
    image_transport: str
    image_qos: str
    image_rotation: int
    realtime: bool
    allow_unverified: bool
    fallback_backends: Tuple[str, ...]
    rehearsal_ms: float
    tuned_for: str
    tuned_period_ms: float
    tuned_p50_ms: float
    tuned_p99_ms: float
    nvtx: bool
    hardware_id: str
    autostart: bool

    @property
    def runtime(self) -> Runtime:
        """Return the runtime that should drive; changing it is a hot swap."""
        return Runtime(self.backend, self.precision, self.device,
                       self.options.read_by(self.backend))

    @property
    def fallbacks(self) -> Tuple[Runtime, ...]:
        """Return the runtimes that take over when it fails, in this order."""
        return tuple(runtime._replace(options=self.options.read_by(runtime.backend))
                     for runtime in read_runtimes(self.fallback_backends))

    @property
    def options(self) -> BackendOptions:
        """Return the options of all backends."""
        return BackendOptions(**{
            field.name: getattr(self, field.name) for field in fields(BackendOptions)})

    def untuned(self) -> 'Settings':
        """Return these settings with the defaults for what `vla_nav tune` may have chosen."""
        options = {row.name: getattr(DEFAULTS, row.name) for row in OPTIONS
                   if row.name not in NEVER_TUNED}
        return replace(self, **options, rehearsal_ms=REHEARSAL_MS, tuned_for='',
                       tuned_period_ms=0.0, tuned_p50_ms=0.0, tuned_p99_ms=0.0)

    @property
    def period_s(self) -> float:
        """Return the control period in seconds."""
        return self.control_period_ms / 1000.0


MODEL = Parameter(
    'model', '', 'Directory of the policy bundle; empty: the bundle that ships with the package.')


def parameters(limits: Mapping[str, float], backends: Tuple[str, ...],
               rotation: int = 0, stamped: bool = False) -> Tuple[Parameter, ...]:
    """
    Return the table of parameters for a bundle's `limits` (m/s) and `rotation` (degrees).

    It depends on the bundle so that `ros2 param describe` shows the limits that apply; `backends`
    are the known ones, `stamped` is whether cmd_vel has a stamp by default.
    """
    return (
        MODEL,
        Parameter('backend', 'onnx', 'Backend that runs the policy. Setting it on a running node '
                  'opens and checks the new backend, then swaps them between two cycles.',
                  choices=backends, live=True),
        Parameter('precision', 'fp32', 'Precision of the layers. The bundle must contain a file '
                  'for it.', choices=PRECISIONS, live=True),
        Parameter('device', 'auto', 'Device that runs the policy. auto: a GPU of a kind on which '
                  '`vla_nav verify --device cuda` has passed on this machine, else the CPU. cuda: '
                  'fails if there is no usable GPU.',
                  choices=DEVICES, live=True),
        Parameter('control_period_ms', 20.0, 'Time budget of one cycle, and the interval at which '
                  'the last command is repeated until a new one is ready. Usual values are 10.0 '
                  'and 20.0.', 'ms', 5.0, 100.0, live=True),
        Parameter('image_timeout', 0.2, 'Stop when the image that the last command is based on is '
                  'older than this.', 's', 0.01, 2.0, live=True),
        Parameter('frozen_timeout', 1.0, 'Stop when no picture has been new for longer than this. '
                  '0 disables this check.', 's', 0.0, 10.0, live=True),
        Parameter('blank_guard', True, 'Stop on pictures that show nothing: one colour apart from '
                  'noise and small marks, as with a covered lens.', live=True),
        Parameter('state_reset_gap', 1.0, 'Reset the recurrent state of the policy after a longer '
                  'gap between two images.', 's', 0.01, 3600.0, live=True),
        _limit('x', 'forward and backward', limits),
        _limit('y', 'to the left and right', limits),
        Parameter('max_acceleration', 2.5, 'Maximum acceleration of each axis. Stops and lowered '
                  'limits take effect at once.', 'm/s2', 0.01, 100.0, live=True),
        Parameter('enable_stamped_cmd_vel', stamped, 'Publish cmd_vel as TwistStamped instead of '
                  'Twist. Nav2 uses the same name. The default is true from ROS 2 Lyrical on.'),
        Parameter('stamp_source', 'now', 'Stamp of a TwistStamped. now: when it is sent. image: '
                  'the stamp of the image that the command is based on, so that a base with a '
                  'timeout counts from there. Stops have the time of now.',
                  choices=('now', 'image'), live=True),
        Parameter('image_transport', 'raw', 'raw: sensor_msgs/Image on `image`. compressed: '
                  'sensor_msgs/CompressedImage on `image/compressed`.',
                  choices=('raw', 'compressed')),
        Parameter('image_qos', 'auto', 'Reliability of the image subscription. auto: reliable if '
                  'every publisher offers it, else best effort. sensor_data: best effort.',
                  choices=('auto', 'sensor_data', 'reliable')),
        Parameter('image_rotation', rotation, 'Clockwise rotation that makes the pictures '
                  'upright: 180 for a camera mounted upside down. EXIF is ignored. The default '
                  'comes from the policy bundle.', 'degrees', choices=tuple(TURNS)),
        Parameter('realtime', False, 'Request SCHED_FIFO, locked memory and a core for the '
                  'driving thread. The log and diagnostics show what was refused.'),
        Parameter('allow_unverified', False, 'Allow a backend and precision that have not passed '
                  '`vla_nav verify` for this bundle; diagnostics then warn continuously. An '
                  'untrained policy is refused anyway.'),
        *(Parameter(row.name, getattr(DEFAULTS, row.name), row.description, row.unit, row.low,
                    row.high, row.choices, row.live) for row in OPTIONS),
        Parameter('fallback_backends', (), 'Backends that take over, in this order, when the '
                  'backend fails to open at the start or fails while driving, such as '
                  "['onnx:fp32@cpu', 'torch']. Each is backend[:precision[@device]]; the "
                  'defaults are fp32 and auto. All are opened beforehand. Diagnostics warn until '
                  'backend is set again.', live=True, read=read_runtimes),
        Parameter('rehearsal_ms', REHEARSAL_MS, 'How long before the next picture is due to run '
                  'a small policy (under 5 MB, on the CPU) on the last one, so that the processor '
                  'has it at hand; the result is dropped. 0: never.', 'ms', 0.0, 20.0, live=True),
        Parameter('tuned_for', '', 'What `vla_nav tune` measured its settings for. On another '
                  'machine, library or model, the options of the backends are the defaults, and '
                  'diagnostics warn.', live=True),
        *(Parameter(f'tuned_{name}_ms', 0.0, f'{what} then; 0: not tuned.', 'ms', 0.0, 1000.0,
                    live=True)
          for name, what in (('period', 'Time between two steps'),
                             ('p50', 'Median time of a step'), ('p99', 'p99 of the steps'))),
        Parameter('nvtx', False, 'Show the stages of every cycle in NVIDIA Nsight Systems as NVTX '
                  'ranges. Needs the Python package nvtx.'),
        Parameter('hardware_id', '', 'hardware_id of all diagnostics, which identifies the robot; '
                  "empty: the node's full name, such as robot1/vla_nav_node."),
        Parameter('autostart', True, 'Configure and activate at the start. Set to false if a '
                  'lifecycle manager does that.'),
    )


def _limit(axis: str, directions: str, limits: Mapping[str, float]) -> Parameter:
    most = float(limits[f'linear_{axis}'])
    return Parameter(
        f'max_linear_{axis}', most, f'Maximum speed {directions}. The default, which is also the '
        'highest value, is what the policy was trained for.', 'm/s', 0.0, most, live=True)


def settings_of(table: Tuple[Parameter, ...], values: Mapping[str, Any]) -> Settings:
    """Return the settings for checked `values` by name, with defaults for missing ones."""
    checked: Dict[str, Any] = {
        row.name: row.check(values.get(row.name, row.default)) for row in table}
    return Settings(**checked)


def updated(settings: Settings, table: Tuple[Parameter, ...],
            values: Mapping[str, Any]) -> Settings:
    """
    Return `settings` with checked `values`.

    Names that are not in the table belong to ROS (use_sim_time) and are ignored. Raise
    SettingError if a value is not allowed or cannot change while the node runs.
    """
    rows = {row.name: row for row in table}
    known: Dict[str, Any] = {
        name: rows[name].check(value) for name, value in values.items() if name in rows}
    for name, value in known.items():
        if not rows[name].live and value != getattr(settings, name):
            raise SettingError(f'{name} cannot change while the node runs',
                               fix='restart the node with the new value')
    return replace(settings, **known)
