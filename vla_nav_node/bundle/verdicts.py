"""Which backend may drive in which precision: the verdicts of `vla_nav verify` in policy.yaml."""

import hashlib
import json
from typing import Any, Dict, Mapping, Tuple

from .bundle import Bundle, graph_name, WEIGHTS
from ..errors import BundleError
from ..types import BackendInfo

REFERENCE = ('torch', 'fp32')  # as it was trained; all others are compared with it
STEPS = 1000  # of a rollout, at least: an error that accumulates needs time to show

# The largest difference of a precision from the reference.
# max, mean: of the speed, m/s, over all steps; the worse axis counts.
# state: of the new state after one step, relative to its size, mean over all steps. Sound int8
#   graphs measured 0.005 to 0.018, saturated ones 0.028 and more: the error shows here before it
#   shows in a speed.
# lost: net share of paired episodes that the reference completes and this one does not, over at
#   least `episodes`; required where the policy was trained in the simulator.
THRESHOLDS: Dict[str, Dict[str, float]] = {
    'fp32': {'max': 0.0001, 'state': 0.0001},
    'fp16': {'max': 0.005, 'state': 0.005},
    'int8': {'mean': 0.01, 'state': 0.025, 'lost': 0.01, 'episodes': 200}}

UNTRAINED = 'is not trained (training.trained in its policy.yaml is not true)'
# The parts of the manifest that change the output of the same files.
DECISIVE = ('architecture', 'input', 'action')
MOST_JOINED = 3  # problems of a verdict in one line


def refusal_reason(bundle: Bundle, backend: str, precision: str) -> str:
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
    if verdict.get('gates') != THRESHOLDS.get(precision):
        return 'was verified with other thresholds'
    if verdict.get('passed') is not True:
        return f'did not pass: {join_problems(verdict.get("problems"))}'
    return ''


def require_verified(bundle: Bundle, backend: str, precision: str,
                     allow_unverified: bool = False) -> None:
    """
    Raise BundleError unless this backend may drive the bundle in this precision.

    `allow_unverified` permits a trained policy; an untrained one is never permitted.
    """
    for name in files_read(bundle, backend, precision):
        bundle.file(name)  # a missing file raises its own message
    reason = refusal_reason(bundle, backend, precision)
    if not reason or (allow_unverified and is_trained(bundle)):
        return
    if not is_trained(bundle):
        raise BundleError(f'{bundle.name} {reason}', 'a policy that has learned to drive',
                          'import or train one; untrained ones are for measuring speed')
    raise BundleError(f'{bundle.name} by {backend} in {precision} {reason}',
                      "a verdict 'passed' for these files in its policy.yaml",
                      f"run 'vla_nav verify {bundle.directory}', or set allow_unverified")


def verification_status(bundle: Bundle, info: BackendInfo) -> Tuple[str, str]:
    """Return the running backend's verification for diagnostics, and a warning or ''."""
    reason = refusal_reason(bundle, info.name, info.precision)
    if reason:
        return f'no: {reason}', f'it {reason}; it drives because allow_unverified is set'
    if (info.name, info.precision) == REFERENCE:
        by = '' if info.provider == 'eager' else \
            f' by {info.provider}, compared with torch eager when it was opened'
        return f'the reference{by}', ''
    ran_on = verdict_of(bundle, info.name, info.precision).get('ran_on')
    ran_on = ran_on if isinstance(ran_on, dict) else {}
    verified = 'passed on {library} {version}, {provider}, {device}'.format(
        **{key: ran_on.get(key, '?') for key in ('library', 'version', 'provider', 'device')})
    if ran_on.get('provider') == info.provider:
        return verified, ''
    return verified, (f'it was verified on {ran_on.get("provider")}, not on {info.provider}: '
                      "run 'vla_nav verify' on this machine")


def is_trained(bundle: Bundle) -> bool:
    """Return whether the manifest marks the policy as trained."""
    training = bundle.manifest.get('training')
    return isinstance(training, dict) and training.get('trained') is True


def verdict_of(bundle: Bundle, backend: str, precision: str) -> Mapping[str, Any]:
    """Return the verdict in the manifest; empty if there is none."""
    verdict: Any = bundle.manifest
    for key in ('verification', 'verdicts', backend, precision):
        verdict = verdict.get(key) if isinstance(verdict, dict) else None
    return verdict if isinstance(verdict, dict) else {}


def files_read(bundle: Bundle, backend: str, precision: str) -> Tuple[str, ...]:
    """Return the names of the files that a backend reads."""
    if backend == 'torch':
        return (WEIGHTS,)
    fixed_scales = f'policy.{precision}.qdq.onnx'  # TensorRT's int8, if the bundle has it
    if backend == 'tensorrt' and fixed_scales in bundle.manifest['files']:
        return (fixed_scales,)
    return (graph_name(precision),)


def files_of(bundle: Bundle, backend: str, precision: str) -> Dict[str, str]:
    """Return the SHA-256 of each file that a verdict covers, the reference's included."""
    names = dict.fromkeys((*files_read(bundle, backend, precision), WEIGHTS))
    return {name: bundle.manifest['files'].get(name, {}).get('sha256', '') for name in names}


def decisive_hash(bundle: Bundle) -> str:
    """Return the SHA-256 of the manifest's parts that change the output of the same files."""
    parts = {key: bundle.manifest[key] for key in DECISIVE}
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def join_problems(problems: Any) -> str:
    """Return the first problems of a verdict in one line."""
    listed = problems if isinstance(problems, list) else []
    return '; '.join(map(str, listed[:MOST_JOINED])) or 'its verdict does not say why'
