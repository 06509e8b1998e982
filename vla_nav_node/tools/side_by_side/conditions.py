"""The machine that figures belong to, and whether it was left alone meanwhile."""

from contextlib import contextmanager
from typing import Any, Dict, Iterator, List

from .. import machine

MODULES = ('onnxruntime', 'torch', 'numpy', 'cv2')


@contextmanager
def on_this_machine() -> Iterator[Dict[str, Any]]:
    """Give a description that is complete once the context is left."""
    found = machine.describe(MODULES)
    before = machine.now()
    yield found
    found['during'] = machine.now().since(before)
    found['disturbance'] = machine.disturbance(found)


def told(found: Dict[str, Any]) -> List[str]:
    """Give lines for people."""
    versions = ', '.join(f'{name} {version}' for name, version in found['versions'].items())
    lines = [f'{found["cpu"]}, {found["cores"]} cores; {found["platform"]}; Python '
             f'{found["python"]}; {versions}']
    if found['disturbance']:
        lines.append(f'This machine was not idle: {found["disturbance"]}. Judge the ratios, not '
                     'the times.')
    return lines
