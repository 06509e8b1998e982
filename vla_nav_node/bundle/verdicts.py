"""Which backend may drive in which precision: what `vla_nav verify` left in policy.yaml."""

import hashlib
import json
from typing import Any, Dict, Mapping, Tuple

from .bundle import Bundle, graph_name, WEIGHTS
from ..errors import BundleError
from ..types import BackendInfo

REFERENCE = ('torch', 'fp32')  # as it was trained; all others are held against it
STEPS = 1000  # of a rollout, at least: an error that adds up needs time to show

# What a precision may differ by from the reference.
# max, mean: of the speed, m/s, over all steps; the worse axis counts.
# state: of the new state after one step, as a share of its size, mean over all steps. Sound int8
#   graphs were seen to cost 0.005 to 0.018, saturated ones 0.028 and more: it shows there before
#   it shows in a speed.
# lost: share of paired episodes that the reference reaches and this one does not, net, of at least
#   so many episodes; asked for where the policy was trained in the simulator.
GATES: Dict[str, Dict[str, float]] = {
    'fp32': {'max': 0.0001, 'state': 0.0001},
    'fp16': {'max': 0.005, 'state': 0.005},
    'int8': {'mean': 0.01, 'state': 0.025, 'lost': 0.01, 'episodes': 200}}

UNTRAINED = 'is not trained (training.trained in its policy.yaml is not true)'
# What of the manifest decides which numbers come out of the same files.
DECISIVE = ('architecture', 'input', 'action')
MOST_TOLD = 3  # problems of a verdict in one line


def problem(bundle: Bundle, backend: str, precision: str) -> str:
    """Return why this backend may not drive the bundle in this precision; '' when it may."""
    if not is_trained(bundle):
        return UNTRAINED
    if (backend, precision) == REFERENCE:
        return ''
    verdict = verdict_of(bundle, backend, precision)
    if not verdict:
        return 'has not been verified'
    if verdict.get('files') != files_of(bundle, backend, precision):
        return 'was verified with other files'
    if verdict.get('manifest') != decisive_hash(bundle):
        return 'was verified with another architecture, input or action in policy.yaml'
    if verdict.get('gates') != GATES.get(precision):
        return 'was verified with other gates'
    if verdict.get('passed') is not True:
        return f'did not pass: {problem_told(verdict.get("problems"))}'
    return ''


def refuse(bundle: Bundle, backend: str, precision: str, allow_unverified: bool = False) -> None:
    """
    Raise BundleError unless this backend may drive the bundle in this precision.

    `allow_unverified` lets a trained policy through; an untrained one is never let through.
    """
    for name in reads(bundle, backend, precision):
        bundle.file(name)  # what there is not needs no verification, but another message
    found = problem(bundle, backend, precision)
    if not found or (allow_unverified and is_trained(bundle)):
        return
    what = f'{bundle.name} by {backend} in {precision} {found}'
    if not is_trained(bundle):
        raise BundleError(f'{bundle.name} {found}', 'a policy that has learned to drive',
                          'import or train one; untrained ones are for measuring speed')
    raise BundleError(what, "a verdict 'passed' for these files in its policy.yaml",
                      f"run 'vla_nav verify {bundle.directory}', or set allow_unverified")


def standing(bundle: Bundle, info: BackendInfo) -> Tuple[str, str]:
    """Return what diagnostics say of what drives, and why that is a warning ('' if it is none)."""
    found = problem(bundle, info.name, info.precision)
    if found:
        return f'no: {found}', f'it {found}; it drives because allow_unverified is set'
    if (info.name, info.precision) == REFERENCE:
        return ('the reference' if info.provider == 'eager' else
                f'the reference by {info.provider}, held against torch eager when it was opened'
                ), ''
    ran_on = verdict_of(bundle, info.name, info.precision).get('ran_on')
    ran_on = ran_on if isinstance(ran_on, dict) else {}
    told = 'passed on {library} {version}, {provider}, {device}'.format(
        **{key: ran_on.get(key, '?') for key in ('library', 'version', 'provider', 'device')})
    if ran_on.get('provider') != info.provider:
        return told, (f'it was verified on {ran_on.get("provider")}, not on {info.provider}: '
                      "run 'vla_nav verify' on this machine")
    return told, ''


def is_trained(bundle: Bundle) -> bool:
    """Tell whether the manifest says that the policy has learned to drive."""
    training = bundle.manifest.get('training')
    return isinstance(training, dict) and training.get('trained') is True


def verdict_of(bundle: Bundle, backend: str, precision: str) -> Mapping[str, Any]:
    """Return the verdict as it stands in the manifest; empty where there is none."""
    found: Any = bundle.manifest
    for key in ('verification', 'verdicts', backend, precision):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def reads(bundle: Bundle, backend: str, precision: str) -> Tuple[str, ...]:
    """Name the files that a backend drives by."""
    if backend == 'torch':
        return (WEIGHTS,)
    # TensorRT's own int8, with fixed scales, where the bundle has it.
    fixed = f'policy.{precision}.qdq.onnx'
    own = backend == 'tensorrt' and fixed in bundle.manifest['files']
    return (fixed if own else graph_name(precision),)


def files_of(bundle: Bundle, backend: str, precision: str) -> Dict[str, str]:
    """Return the SHA-256 of each file that a verdict is about, the reference's among them."""
    names = dict.fromkeys((*reads(bundle, backend, precision), WEIGHTS))
    return {name: bundle.manifest['files'].get(name, {}).get('sha256', '') for name in names}


def decisive_hash(bundle: Bundle) -> str:
    """Return the SHA-256 of what else decides the numbers: the parts of the manifest that do."""
    parts = {key: bundle.manifest[key] for key in DECISIVE}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def problem_told(problems: Any) -> str:
    """Return the problems of a verdict in one line."""
    listed = problems if isinstance(problems, list) else []
    return '; '.join(map(str, listed[:MOST_TOLD])) or 'its verdict does not say why'
