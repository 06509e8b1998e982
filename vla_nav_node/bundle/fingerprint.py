"""What a measurement on this machine holds for, as one line of text."""

from pathlib import Path
from typing import Dict, List

from .bundle import Bundle
from .verdicts import files_read
from ..system.machine import cores, cpu_model
from ..types import BackendInfo

SEPARATOR, EQUALS = '; ', '='
DATE = 'date'  # told, never compared


def fingerprint(bundle: Bundle, info: BackendInfo, date: str = '') -> str:
    """
    Return the processor or GPU, the runtime, its library and the model, such as 'cores=2; ...'.

    On a GPU it has the driver, too; `date` is an ISO date for the reader.
    """
    file, = files_read(bundle, info.name, info.precision)
    facts = {
        'processor': cpu_model(), 'cores': str(cores()),
        'runtime': f'{info.name}:{info.precision}', 'device': info.device,
        'driver': '' if info.device == 'cpu' else gpu_driver(),
        'library': f'{info.library} {info.version}',
        'model': str(bundle.manifest['files'][file]['sha256'])[:16], DATE: date}
    return SEPARATOR.join(f'{key}{EQUALS}{_plain(value)}' for key, value in facts.items() if value)


def differences(written: str, now: str) -> List[str]:
    """Return in words how two fingerprints differ; empty if a measurement of one holds here."""
    before, after = _read(written), _read(now)
    names = [name for name in {**before, **after} if name != DATE]
    return [f'{name} is {after.get(name, "unknown")} instead of {before.get(name, "unknown")}'
            for name in names if before.get(name) != after.get(name)]


def tuning_problem(bundle: Bundle, tuned_for: str, info: BackendInfo) -> str:
    """Return why settings that were tuned for a fingerprint do not hold here; '' if they do."""
    found = differences(tuned_for, fingerprint(bundle, info))
    return ('they were tuned for something else: ' + ', '.join(found)
            + '; fix: vla_nav tune, or call ~/retune') if found else ''


def gpu_driver() -> str:
    """Return the version of NVIDIA's kernel module, '' if it does not tell."""
    try:
        return Path('/sys/module/nvidia/version').read_text().strip()
    except OSError:
        return ''


def _plain(value: str) -> str:
    return ' '.join(value.replace(';', ',').split())


def _read(text: str) -> Dict[str, str]:
    return {key.strip(): value.strip() for key, _, value in
            (part.partition(EQUALS) for part in text.split(SEPARATOR.strip())) if key.strip()}
