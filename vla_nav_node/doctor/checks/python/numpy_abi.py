"""Whether the compiled extensions that are installed were built for this NumPy."""

from typing import Iterator

from ..check import Check, failed, Finding, ok, warning
from ..place import Place
from ....system.install_lines import pip_line

MOST_NAMED = 5


def run(place: Place) -> Iterator[Finding]:
    """Judge what extensions_probe reads in the files."""
    answer = place.heavy('vla_nav_node.doctor.probes.extensions_probe')
    facts = answer.facts
    if answer.problem or 'error' in facts or 'numpy' not in facts:
        error = (facts.get('error') or [answer.last_line])[0]
        yield failed(f'NumPy cannot be imported: {answer.problem or error}', 'a NumPy that starts',
                     pip_line('numpy>=1.21'))
        return
    old = facts['built_for_1']
    if old and int(facts['numpy'].split('.')[0]) >= 2:
        names = ', '.join(sorted({name for name, _ in old})[:MOST_NAMED])
        yield failed(f'NumPy is {facts["numpy"]}, but {names} '
                     f'{"is" if len(old) == 1 else "are"} compiled for NumPy 1 ({old[0][1]}): an '
                     'import ends in "_ARRAY_API not found"', 'extensions built for NumPy 2, or '
                     'NumPy 1', pip_line('numpy<2') + ', or install newer versions of them')
    for path in facts['copies'][1:]:
        yield warning(f'a second NumPy is in {path}; {facts["copies"][0]} is used', 'one NumPy',
                      f'uninstall one, or take {path} out of PYTHONPATH')
    yield ok(f'NumPy {facts["numpy"]}; {facts["count"]} compiled extensions are for it')


CHECK = Check('numpy', 'everywhere', "every installed extension's file: the NumPy that it asks "
              'for', run)
