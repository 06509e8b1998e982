"""Write docs/troubleshooting.md from the data of the symptoms: python test/trouble.py."""

from pathlib import Path
import re
import sys

REPOSITORY = Path(__file__).resolve().parents[1]
PAGE = REPOSITORY / 'docs' / 'troubleshooting.md'
HEAD = """# Trouble explained

Written by `make trouble` from `vla_nav_node/doctor/symptoms/data/*.yaml`: change it there. A log or a traceback is explained by

```
vla_nav doctor --log FILE            # or - for a pasted one; without the command line installed:
python3 -m vla_nav_node.doctor.symptoms FILE
```

It names the known symptoms, each behind what causes it; lines that report an error and are not known are listed as "not known".
The node says the same when a backend fails to open, in the log and in the reason of a refused `ros2 param set`.

## CUDA initialization failure with error: 35

The report that this project began with met it with TensorRT 10.13 on an RTX A5000 under CUDA 12.6, and
proposed an older CUDA.

- **What it says.** 35 is cudaErrorInsufficientDriver: the *driver* is older than the CUDA that the library was built for, or there
  is no driver at all. TensorRT from PyPI by its plain name (`pip install tensorrt`) is the CUDA 13 build, which needs driver 580; a
  machine set up for CUDA 12.6 usually has a driver of the 560 branch. `pybind11::init(): factory function returned nullptr` behind it
  only follows from it.
- **Why its three cures do not help.** An older CUDA toolkit: TensorRT does not use the toolkit of the machine, it brings the CUDA
  runtime that it was built for, and asks the driver. TensorRT 8.6.1: not on PyPI (8.6.0 is, for Python 3.10 and older). ONNX
  Runtime's GPU provider in its place: it asks the same driver, and needs cuDNN 9 and its own CUDA; without them it runs on the CPU
  in silence, which is what was measured.
- **What does.** Either a newer driver, `sudo apt install nvidia-driver-580` and a reboot, or the build for the driver that is
  there: `pip uninstall tensorrt && pip install tensorrt-cu12`.

| CUDA that the library was built for | driver at least | TensorRT | onnxruntime-gpu (PyPI) | torch |
|---|---|---|---|---|
| 11 | 450 | 8.x | up to 1.18 | index cu118 |
| 12 | 525 | `tensorrt-cu12` | 1.19 to 1.26 | index cu126, cu128 |
| 13 | 580 | `tensorrt`, `tensorrt-cu13` | from 1.27 | index cu130 |
"""


def page():
    """Return the text of docs/troubleshooting.md."""
    sys.path.insert(0, str(REPOSITORY))
    from vla_nav_node.doctor.symptoms.catalogue import catalogue
    known = catalogue()
    parts = [HEAD]
    for title, names in known.topics.items():
        parts.append(f'\n## {title}\n')
        parts += [_section(known.symptoms[name]) for name in names]
    return ''.join(parts)


def _section(symptom):
    from vla_nav_node.doctor.symptoms.catalogue import platform_lines
    default = symptom.cases[-1]
    lines = [f'\n### {symptom.name}\n', f'{_plain(default.cause)}\n']
    if symptom.harmless:
        lines.append('Harmless.')
    lines.append(f'- **Fix.** {_plain(default.remedy)}')
    for case in symptom.cases[:-1]:
        lines.append(f'- **Or:** {_plain(case.cause)} **Fix.** {_plain(case.remedy)}')
    lines += [f'- **{platform}.** {text}' for platform, text in platform_lines(symptom)]
    if symptom.follows:
        lines.append('- Follows from: ' + ', '.join(f'[{name}](#{name})'
                                                    for name in symptom.follows) + '.')
    lines.append(f'- Source: {symptom.source}.')
    return '\n'.join(lines) + '\n'


def _plain(text):
    """Return a text with its facts as words in capitals, as in DRIVER."""
    return re.sub(r'\{(\w+)\}', lambda fact: fact[1].upper(), ' '.join(text.split()))


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
    print(f'{PAGE}: {len(page().splitlines())} lines')
