"""Whether the settings of `vla_nav tune` were measured on this machine, library and model."""

from typing import Iterator

from ..check import Check, Finding, ok, skipped, warning
from ..place import Place


def run(place: Place) -> Iterator[Finding]:
    """Compare the fingerprint of the settings in the cache with today's."""
    facts = place.policy().facts
    if not facts.get('tuned'):
        yield skipped('no settings of vla_nav tune are in the cache for this bundle and backend'
                      if 'runs' in facts else 'the policy does not open')
        return
    path, written, problem = facts['tuned']
    if problem:
        yield warning(f'{path}: {problem.partition("; fix:")[0]}', 'settings that were tuned for '
                      f'{facts["fingerprint"]}', f'vla_nav tune {facts["directory"]}')
    else:
        yield ok(f'tuned for this machine: {written}')


CHECK = Check('tuned', 'where vla_nav tune has run', "the fingerprint tuned_for in the user's "
              'cache', run)
