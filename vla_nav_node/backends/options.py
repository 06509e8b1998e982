"""The options of the backends beyond precision and device."""

from dataclasses import dataclass, replace
from typing import Dict, Tuple

from ..errors import SettingError

CHOICES: Dict[str, Tuple[str, ...]] = {
    'torch_mode': ('auto', 'eager', 'cuda_graph', 'script', 'compile'),
    'onnx_provider': ('auto', 'cpu', 'cuda', 'tensorrt'),
    'cudnn_conv_algo_search': ('HEURISTIC', 'EXHAUSTIVE', 'DEFAULT'),
    'arena_extend_strategy': ('kSameAsRequested', 'kNextPowerOfTwo')}
# The options that each backend reads; a change of any other leaves the backend running.
READ_BY: Dict[str, Tuple[str, ...]] = {
    'torch': ('torch_mode',),
    'onnx': ('onnx_provider', 'cudnn_conv_algo_search', 'gpu_mem_limit_mb',
             'arena_extend_strategy', 'cudnn_conv_use_max_workspace', 'profile_directory'),
    'tensorrt': ('profile_directory',)}


@dataclass(frozen=True)
class BackendOptions:
    """The options of all backends; the fields have the names of the node's parameters."""

    torch_mode: str = 'auto'
    onnx_provider: str = 'auto'
    cudnn_conv_algo_search: str = 'HEURISTIC'
    gpu_mem_limit_mb: int = 0  # 0: no limit
    arena_extend_strategy: str = 'kSameAsRequested'
    cudnn_conv_use_max_workspace: bool = True
    profile_directory: str = ''  # '': no profile

    def __post_init__(self) -> None:
        """Raise SettingError for an unknown choice or a negative limit."""
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingError(f'{name} is {getattr(self, name)!r}',
                                   'one of ' + ', '.join(choices))
        if self.gpu_mem_limit_mb < 0:
            raise SettingError(f'gpu_mem_limit_mb is {self.gpu_mem_limit_mb}', '0 or more')

    def read_by(self, backend: str) -> 'BackendOptions':
        """Return the options that a backend reads, with defaults for the rest."""
        return replace(DEFAULTS, **{name: getattr(self, name) for name in READ_BY[backend]})


DEFAULTS = BackendOptions()
