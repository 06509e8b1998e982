"""The fix for each error by which ROS refuses to start."""

import re
from typing import Mapping, Sequence, Tuple

from ...errors import SettingError

NAME = 'letters, digits and _, not starting with a digit'
FILE = ('a node name or /**, below it ros__parameters, below that the parameters, as in '
        'config/vla_nav_node.yaml')
HIGHEST_DOMAIN = 232  # of DDS: each domain has ports of its own

# Pattern of the message, what is expected, fix; the first match counts.
KINDS: Sequence[Tuple[str, str, str]] = (
    ('trailing', '', 'write its value after it'),
    ("params file: '.*Error opening YAML file", 'a file that exists and that you may read',
     'check the path after --params-file, relative to the current directory'),
    ('params file: .*alias', FILE, 'write the values without & and *'),
    ('params file: .*same type', 'lists whose values have one type',
     'write [0.1, 1.0] or ["a", "1"], not [0.1, 1] or ["a", 1]'),
    ('params file: .*before ros__parameters', FILE, 'put ros__parameters: below the node '
     'name, and at least one parameter below it'),
    ('params file', FILE, 'correct the file at that line: spaces instead of tabs, brackets '
     'and quotes closed, names of ' + NAME),
    ("override rule: '-[a-z-]+ [^']*:=", 'a value in YAML, and a node name without /',
     'quote it for the shell: -p "NAME:=VALUE", -p "NAME:=[\'a\', \'b\']"'),
    ('override rule', '-p NAME:=VALUE', 'write := between name and value'),
    ('remap rule.*__ns', 'a namespace such as /robot1: a /, then ' + NAME,
     'write -r __ns:=/NAMESPACE'),
    ('remap rule.*__node', 'a name of ' + NAME, 'write -r __node:=NAME'),
    ('remap rule', '-r FROM:=TO with names of topics or services',
     'write := between the names; each part between / has ' + NAME + '; a parameter is '
     '-p NAME:=VALUE'),
    ('log level', 'debug, info, warn, error or fatal', 'write --log-level info, or '
     '--log-level LOGGER:=info'),
    ('log directory', 'a writable directory', 'set ROS_LOG_DIR to one'),
    ('external configuration', '', 'remove --log-config-file'),
    ('[Ee]nclave', 'a name such as /robot/vla_nav_node', 'write --enclave /NAME'),
    ('SECURITY', 'a keystore with keys for this enclave', 'see docs/security.md, or set '
     'ROS_SECURITY_ENABLE=false'),
    ('DOMAIN_ID', f'a number from 0 to {HIGHEST_DOMAIN}', 'set ROS_DOMAIN_ID to one'),
    ('librmw|RMW|rmw_', 'an installed middleware',
     'install the one that RMW_IMPLEMENTATION names, or unset it'),
)


def explain(text: str) -> SettingError:
    """Return the error for a message of rcl."""
    found = re.sub(r',? at \S+:\d+', '', ' '.join(text.split()))  # source lines of rcl
    found = found.replace('failed to initialize rcl: ', '').replace('. Error: error not set', '')
    unknown = re.fullmatch(r'\[(.*)\]', found)  # rclpy's list of arguments
    if unknown:
        return SettingError(f'ROS does not know {unknown[1]} after --ros-args', '-p NAME:=VALUE, '
                            '-r FROM:=TO, --params-file FILE or --log-level LEVEL',
                            'put one of these before it')
    for pattern, expected, fix in KINDS:
        if re.search(pattern, found):
            return SettingError(found, expected, fix)
    return SettingError(found, fix='check the command line and the environment variables '
                        'ROS_*, RMW_* and RCUTILS_*')


def check_domain(environment: Mapping[str, str]) -> None:
    """Raise for an invalid domain, for which Fast DDS ends the process or takes another one."""
    domain = environment.get('ROS_DOMAIN_ID', '')
    number = int(domain) if re.fullmatch(r'\s*[0-9]{1,9}', domain) else -1
    if domain and not 0 <= number <= HIGHEST_DOMAIN and 'zenoh' not in environment.get(
            'RMW_IMPLEMENTATION', ''):
        raise explain(f'ROS_DOMAIN_ID is {domain!r}')
