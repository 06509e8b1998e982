"""The node's parameters as data, and the pure checks of what a user sets."""

from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, Type, Union

from ..backends import DEVICES, PRECISIONS
from ..backends.options import BackendOptions, CHOICES, DEFAULTS
from ..errors import SettingError
from ..policy.runtime_spec import read_runtimes, Runtime
from ..vision.preprocess import TURNS

Value = Union[str, int, float, bool, Tuple[str, ...]]
_TYPE_NAMES = {bool: 'boolean', int: 'integer', float: 'double', str: 'string'}


@dataclass(frozen=True)
class Parameter:
    """One parameter: what `ros2 param describe` tells of it, and what is allowed."""

    name: str
    default: Value  # its type is the parameter's type
    description: str
    unit: str = ''
    low: float = 0.0
    high: float = 0.0
    choices: Tuple[Union[str, int], ...] = ()
    live: bool = False  # may be set while the node runs
    # What reads the strings of a list, and raises SettingError.
    read: Optional[Callable[[Tuple[str, ...]], Any]] = None

    @property
    def kind(self) -> Type[Value]:
        """Return the Python type of the values."""
        return type(self.default)

    def constraints(self) -> str:
        """Say in words what a value must be."""
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
        """Return `value` if it is allowed, else raise a SettingError that says what is."""
        if self.read is not None:
            return self._check_list(value, self.read)
        if type(value) is not self.kind:
            found = _TYPE_NAMES.get(type(value), type(value).__name__)
            fix = f'write {value}.0' if type(value) is int and self.kind is float else ''
            raise SettingError(f'{self.name} is the {found} {value!r}', self.constraints(), fix)
        if not self._allows(value):
            raise SettingError(f'{self.name} is {value!r}', self.constraints())
        checked: Value = value
        return checked

    def _check_list(self, value: Any, read: Callable[[Tuple[str, ...]], Any]) -> Tuple[str, ...]:
        """
        Check a list of strings.

        ROS cannot tell the type of an empty list: it comes as none, as an empty list of anything
        or, where it is told to be of strings, as that of one empty string.
        """
        if isinstance(value, str):
            raise SettingError(f'{self.name} is the string {value!r}', self.constraints(),
                               f"write ['{value}']")
        items = () if value is None else value
        listed = isinstance(items, (list, tuple))
        if not listed or not all(isinstance(item, str) for item in items):
            raise SettingError(f'{self.name} is {value!r}', self.constraints())
        texts = tuple(item for item in items if item)
        read(texts)
        return texts

    def _allows(self, value: Any) -> bool:
        if self.kind in (int, float) and not self.choices:
            return bool(self.low <= value <= self.high)  # NaN is not
        return not self.choices or value in self.choices


@dataclass(frozen=True)
class Settings:
    """The values of all parameters, checked; the fields are named as the parameters are."""

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
    image_transport: str
    image_qos: str
    image_rotation: int
    realtime: bool
    allow_unverified: bool
    torch_mode: str
    onnx_provider: str
    cudnn_conv_algo_search: str
    gpu_mem_limit_mb: int
    arena_extend_strategy: str
    cudnn_conv_use_max_workspace: bool
    profile_directory: str
    fallback_backends: Tuple[str, ...]
    nvtx: bool
    hardware_id: str

    @property
    def runtime(self) -> Runtime:
        """Return what decides which runtime drives; a change of it is a hot swap."""
        return Runtime(self.backend, self.precision, self.device,
                       self.options.read_by(self.backend))

    @property
    def spares(self) -> Tuple[Runtime, ...]:
        """Return what is to drive when that fails, in this order."""
        return tuple(runtime._replace(options=self.options.read_by(runtime.backend))
                     for runtime in read_runtimes(self.fallback_backends))

    @property
    def options(self) -> BackendOptions:
        """Return the options of all backends."""
        return BackendOptions(**{
            field.name: getattr(self, field.name) for field in fields(BackendOptions)})

    @property
    def period_s(self) -> float:
        """Return the control period in seconds."""
        return self.control_period_ms / 1000.0


MODEL = Parameter(
    'model', '', 'Directory of the policy bundle; empty: the bundle that ships with the package.')


def parameters(limits: Mapping[str, float], backends: Tuple[str, ...],
               rotation: int = 0) -> Tuple[Parameter, ...]:
    """
    Give the table of parameters for a bundle's `limits` and `rotation`, and the known `backends`.

    It depends on the bundle, so that `ros2 param describe` shows the limits that really hold.
    """
    return (
        MODEL,
        Parameter('backend', 'onnx', 'Runtime that runs the policy. Setting it on a running node '
                  'swaps it between two cycles, once the new one has been opened and checked.',
                  choices=backends, live=True),
        Parameter('precision', 'fp32', 'Precision of the layers; the bundle must have a file for '
                  'it.', choices=PRECISIONS, live=True),
        Parameter('device', 'auto', 'Where the policy runs. auto: a GPU of a kind on which '
                  '`vla_nav verify --device cuda` has passed on this machine, else the CPU; cuda '
                  'is refused where it cannot be had.',
                  choices=DEVICES, live=True),
        Parameter('control_period_ms', 20.0, 'Budget of one cycle, and the interval at which the '
                  'last command is repeated while no newer one comes. Usual: 10.0 or 20.0; at '
                  'most 100.0.',
                  'ms', 0.1, 100.0, live=True),
        Parameter('image_timeout', 0.2, 'The robot stops when the image that its command is '
                  'founded on is older than this.', 's', 0.01, 10.0, live=True),
        Parameter('frozen_timeout', 1.0, 'The robot stops when no picture has been new for longer '
                  'than this; 0 turns this guard off.', 's', 0.0, 3600.0, live=True),
        Parameter('blank_guard', True, 'The robot stops on pictures that show nothing: one colour '
                  'but for noise and small marks, as of a covered lens.', live=True),
        Parameter('state_reset_gap', 1.0, 'A longer gap between two images resets the recurrent '
                  'state of the policy.', 's', 0.01, 3600.0, live=True),
        _limit('x', 'forward', limits),
        _limit('y', 'sideways', limits),
        Parameter('max_acceleration', 2.5, 'Most change of each axis of the command; stopping, '
                  'and slowing down to a lowered limit, is at once.', 'm/s2', 0.01, 100.0,
                  live=True),
        Parameter('enable_stamped_cmd_vel', False, 'Publish cmd_vel as TwistStamped instead of '
                  "Twist (the name is Nav2's)."),
        Parameter('image_transport', 'raw', 'raw: sensor_msgs/Image on `image`; compressed: '
                  'sensor_msgs/CompressedImage on `image/compressed`.',
                  choices=('raw', 'compressed')),
        Parameter('image_qos', 'auto', 'Reliability of the image subscription. auto: reliable '
                  'where every publisher offers it, else best effort; sensor_data: best effort.',
                  choices=('auto', 'sensor_data', 'reliable')),
        Parameter('image_rotation', rotation, 'How far the pictures are turned clockwise to be '
                  'upright: 180 for a camera that hangs upside down. EXIF is ignored. The default '
                  'is what the policy bundle says.', 'degrees', choices=tuple(TURNS)),
        Parameter('realtime', False, 'Ask the machine for SCHED_FIFO, locked memory and a core '
                  'for the driving thread; what it refuses is told in the log and in '
                  'diagnostics.'),
        Parameter('allow_unverified', False, 'Drive by a backend and precision that vla_nav '
                  'verify has not passed for this bundle; diagnostics then warn all the time. An '
                  'untrained policy is refused all the same.'),
        _option('torch_mode', 'How the torch backend runs a step. auto: cuda_graph on a GPU, '
                'eager on the CPU; script: TorchScript, frozen; compile: torch.compile, which '
                'opens slowly and needs a C++ compiler (CPU) or triton (GPU).'),
        _option('onnx_provider', 'What the onnx backend runs on. auto: cuda or cpu, as device '
                'says; tensorrt: its TensorRT provider, then cuda, and nothing on the CPU.'),
        _option('cudnn_conv_algo_search', 'How onnx on cuda chooses its convolutions; DEFAULT is '
                "cuDNN's slow fallback mode since ONNX Runtime 1.20."),
        _option('gpu_mem_limit_mb', "Most memory of the GPU that onnx's arena may take; 0: no "
                'limit.', 'MB', 0, 1_000_000),
        _option('arena_extend_strategy', "By how much onnx's arena on the GPU grows."),
        _option('cudnn_conv_use_max_workspace', 'Whether the convolutions of onnx on cuda may '
                'take all the workspace that they are fastest with.'),
        # Not live: whoever reaches the graph would choose where on the disk this user writes.
        _option('profile_directory', 'Directory that onnx and tensorrt write a profile of their '
                'layers to while they open; empty: none.', live=False),
        Parameter('fallback_backends', (), 'What drives on, in this order, when the backend '
                  "fails to open at the start or fails in mid-drive: ['onnx:fp32@cpu', 'torch'], "
                  'each backend[:precision[@device]] with fp32 and auto if left out. All are '
                  'opened beforehand; diagnostics warn until backend is set again.',
                  live=True, read=read_runtimes),
        Parameter('nvtx', False, 'Show the stages of every cycle to NVIDIA Nsight Systems as NVTX '
                  'ranges; needs the Python package nvtx.'),
        Parameter('hardware_id', '', 'hardware_id of all diagnostics: which robot they are of; '
                  "empty: the node's full name, such as robot1/vla_nav_node."),
    )


def _option(name: str, description: str, unit: str = '', low: float = 0.0,
            high: float = 0.0, live: bool = True) -> Parameter:
    return Parameter(name, getattr(DEFAULTS, name), description, unit, low, high,
                     CHOICES.get(name, ()), live)


def _limit(axis: str, word: str, limits: Mapping[str, float]) -> Parameter:
    most = float(limits[f'linear_{axis}'])
    return Parameter(
        f'max_linear_{axis}', most, f'Most speed {word}, either way. The default and the upper '
        'end of the range are what the policy bundle was trained for.', 'm/s', 0.0, most,
        live=True)


def settings_of(table: Tuple[Parameter, ...], values: Mapping[str, Any]) -> Settings:
    """Check `values` (by name; missing ones get their default) and freeze them."""
    checked: Dict[str, Any] = {
        row.name: row.check(values.get(row.name, row.default)) for row in table}
    return Settings(**checked)


def changed(settings: Settings, table: Tuple[Parameter, ...],
            values: Mapping[str, Any]) -> Settings:
    """
    Give the settings with `values` put in, after checking each of them.

    Names that are not in the table belong to ROS (use_sim_time) and are left alone.
    """
    rows = {row.name: row for row in table}
    known: Dict[str, Any] = {
        name: rows[name].check(value) for name, value in values.items() if name in rows}
    for name, value in known.items():
        if not rows[name].live and value != getattr(settings, name):
            raise SettingError(f'{name} cannot change while the node runs', fix='start it anew')
    return replace(settings, **known)
