"""The checks, in the order in which they are shown."""

from typing import List, Sequence, Tuple

from .check import Check
from .gpu import (
    cuda_majors, engines, gpu_state, jetson, kernels, libraries, nvidia, providers)
from .machine import core_quota, disk_space, governor, realtime_limits, shared_memory
from .policy import bundle_verdicts, control_loop, tuned_settings
from .python import interpreter, numpy_abi, onnxruntime_packages
from .ros import base_stop, camera, command_topic, discovery, installation, large_images
from ...errors import SettingError

CHECKS: Tuple[Check, ...] = tuple(module.CHECK for module in (
    interpreter, numpy_abi, onnxruntime_packages,
    nvidia, cuda_majors, kernels, providers, libraries, engines, gpu_state, jetson,
    governor, core_quota, realtime_limits, disk_space, shared_memory,
    installation, discovery, large_images, camera, command_topic, base_stop,
    bundle_verdicts, tuned_settings, control_loop))


def chosen(names: Sequence[str]) -> List[Check]:
    """Return the checks of these names, all for none; raise SettingError for an unknown one."""
    known = {check.name: check for check in CHECKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SettingError(f'no check is named {", ".join(unknown)}', 'one of: '
                           + ', '.join(known), 'vla_nav doctor --list')
    return [known[name] for name in names] or list(CHECKS)
