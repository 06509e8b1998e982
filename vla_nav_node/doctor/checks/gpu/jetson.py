"""A Jetson's release, power mode, clocks and temperature."""

from pathlib import Path
import re
from typing import Iterator

from .nvidia import TEGRA
from ..check import Check, Finding, ok, skipped, warning
from ..place import Place

RELEASE = re.compile(r'R(\d+) \(release\), REVISION: ([\d.]+)')
MAXN = '0'  # nvpmodel's mode without limits, on every Jetson
HOT_C = 90.0  # the clocks fall from about 95 on


def run(place: Place) -> Iterator[Finding]:
    """Judge the power mode and the temperature."""
    text = place.text(place.etc / TEGRA)
    if not text:
        yield skipped('this machine is no Jetson')
        return
    release = RELEASE.search(text)
    mode = power_mode(place)
    if mode not in ('', MAXN):
        yield warning(f'the power mode is {mode}, which limits clocks and cores',
                      f'mode {MAXN} (MAXN), unless the battery decides', 'sudo nvpmodel -m 0')
    if int(place.text(clock(place, 'min')) or 0) < int(place.text(clock(place, 'max')) or 0):
        yield warning("the GPU's clock moves: a step after a pause is slower", 'fixed clocks',
                      'sudo jetson_clocks')
    hottest = max((int(place.text(path) or 0) / 1000 for path in
                   place.sys.glob('class/thermal/thermal_zone*/temp')), default=0.0)
    if hottest > HOT_C:
        yield warning(f'{hottest:.0f} C: the clocks are about to fall', f'under {HOT_C:g} C',
                      'sudo jetson_clocks --fan, and clean it')
    yield ok(f'L4T {release[1]}.{release[2]}' if release else f'L4T of unknown release: {text}')


def power_mode(place: Place) -> str:
    """Return the mode that nvpmodel keeps, '' if unknown."""
    found = re.search(r'pmode:0*(\d+)', place.text(
        place.etc.parent / 'var/lib/nvpmodel/status'))
    return found[1] if found else ''


def clock(place: Place, which: str) -> Path:
    """Return the file of the lowest or highest clock of the GPU."""
    return next(iter(place.sys.glob(f'class/devfreq/*gpu*/{which}_freq')), place.sys / 'none')


CHECK = Check('jetson', 'on a Jetson', '/etc/nv_tegra_release, the status of nvpmodel, devfreq '
              'and the thermal zones', run)
