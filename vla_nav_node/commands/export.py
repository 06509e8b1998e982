"""`vla_nav export`: write and check the step graphs of a bundle or a preset."""

import argparse
from pathlib import Path
from typing import Optional, Sequence

from ..bundle.bundle import Bundle, load_bundle, SHIPPED
from ..convert.export.step_file import export_bundle, marks_of
from ..convert.export.step_graph import PRECISIONS
from ..convert.structure.presets import PRESETS, write_preset
from ..errors import SettingError
from ..system.outputs import write_json

EXAMPLE = 'vla_nav export ~/policies/mine --precision fp32 fp16'
TRAINED = "before it may drive it has to pass 'vla_nav verify'"
UNTRAINED = 'its weights are not trained: it serves to measure speed, but may not drive'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument('model', nargs='?', default=str(SHIPPED), metavar='BUNDLE_OR_PRESET',
                        help='bundle directory (default: the one that ships), or a structure '
                        'without trained weights: ' + ', '.join(PRESETS))
    parser.add_argument('--out', type=Path, help='directory to write (default: the bundle itself)')
    parser.add_argument('--precision', nargs='+', default=list(PRECISIONS), choices=PRECISIONS)
    parser.add_argument('--json', type=Path, help='write a list of the graphs to this file')


def run(args: argparse.Namespace) -> int:
    """Export, and print the bundle's graphs; return 0."""
    bundle = _export(args.model, args.out, args.precision)
    report = {name: {**entry, **marks_of(bundle.file(name))}
              for name, entry in bundle.manifest['files'].items() if name.endswith('.onnx')}
    print(f'{bundle.name} in {bundle.directory}')
    for name, facts in report.items():
        print(f'  {name}  {facts["bytes"] / 1e6:.1f} MB  sha256 {facts["sha256"][:12]}...')
    print(TRAINED if bundle.manifest.get('training', {}).get('trained') else UNTRAINED)
    if args.json:
        write_json(args.json, report)
    return 0


def _export(model: str, out: Optional[Path], precisions: Sequence[str]) -> Bundle:
    """Export a bundle, or a preset after writing it as a bundle."""
    if model not in PRESETS or Path(model).is_dir():
        return export_bundle(load_bundle(model), out, precisions)
    if out is None:
        raise SettingError(f'the preset {model} has no directory yet', '--out DIR')
    bundle = write_preset(model, out.expanduser())
    missing = [precision for precision in precisions if precision not in bundle.precisions]
    return export_bundle(bundle, None, missing) if missing else bundle
