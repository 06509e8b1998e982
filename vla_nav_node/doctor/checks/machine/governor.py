"""The processor's governor: whether its clock waits for work before it rises."""

from collections import Counter
from typing import Iterator

from ..check import Check, Finding, ok, skipped, warning
from ..place import Place

STEADY = 'performance'


def run(place: Place) -> Iterator[Finding]:
    """Read the governor of every core."""
    files = place.sys.glob('devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor')
    found = Counter(filter(None, map(place.text, files)))
    if not found:
        yield skipped('the kernel shows no governor (a virtual machine, or a fixed clock)')
        return
    slow = {name: count for name, count in found.items() if name != STEADY}
    listed = ', '.join(f'{name} on {count} core(s)' for name, count in found.items())
    if slow:
        yield warning(f'the governor is {listed}: a step after a pause starts at a low clock',
                      STEADY, 'sudo cpupower frequency-set -g performance')
    else:
        yield ok(listed)


CHECK = Check('governor', 'where the kernel shows one', '/sys/devices/system/cpu/*/cpufreq', run)
