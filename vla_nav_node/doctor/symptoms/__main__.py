"""`python -m vla_nav_node.doctor.symptoms FILE|-`: explain a log."""

import json
import sys
from typing import List

from . import as_json, explain_file, report_lines
from ...errors import VlaNavError

USAGE = 'usage: python -m vla_nav_node.doctor.symptoms [--json] FILE|-'


def main(arguments: List[str]) -> int:
    """Print the explanation; return 0 if no symptom is known, 1 if one is, 2 without a log."""
    files = [argument for argument in arguments if argument != '--json']
    if len(files) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        explanation = explain_file(files[0])
    except VlaNavError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(as_json(explanation), indent=1) if '--json' in arguments
          else '\n'.join(report_lines(explanation)))
    return 1 if any(not one.harmless for one in explanation.findings) else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
