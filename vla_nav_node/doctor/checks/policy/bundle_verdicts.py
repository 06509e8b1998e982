"""The bundle: its files by their hashes, and which backends may drive it."""

from typing import Iterator

from ..check import Check, failed, Finding, ok, told, warning
from ..place import Place

DEFAULT = ('onnx', 'fp32')  # of the node


def run(place: Place) -> Iterator[Finding]:
    """Judge the files, then the verdict of what drives by default."""
    answer = place.policy()
    facts = answer.facts
    if 'name' not in facts:
        parts = facts.get('error') or [f'reading the bundle {answer.problem}', '', '']
        yield told(parts, 'a sound bundle', 'vla_nav import or vla_nav export makes one')
        return
    allowed = [f'{name} {precision}' for name, precision, reason in facts['verdicts']
               if not reason]
    reasons = {(name, precision): reason for name, precision, reason in facts['verdicts']}
    reason = reasons.get(DEFAULT, 'has no such graph')
    if reason:
        say = warning if allowed else failed
        yield say(f'{facts["name"]} by onnx in fp32, as the node drives by default: it {reason}',
                  'a passed verdict for these files', f'vla_nav verify {facts["directory"]}')
    yield ok(f'{facts["name"]}: {facts["bytes"] / 1e6:.1f} MB, hashes right; may drive: '
             + (', '.join(allowed) or 'nothing'))


CHECK = Check('bundle', 'everywhere', 'policy.yaml, the SHA-256 of every file, the verdicts of '
              'vla_nav verify', run)
