"""What ROS says when it cannot start, in the user's words: what to do about each kind of it."""

import re
from typing import Mapping, Sequence, Tuple

from ...errors import SettingError

NAME = 'letters, digits and _, no digit first'
FILE = ('a name of a node or /** outermost, ros__parameters below it, the parameters below that, '
        'as in config/vla_nav_node.yaml')
HIGHEST_DOMAIN = 232  # of DDS: each domain has ports of its own

# What the message has in it, what is expected, what to do; the first that fits.
KINDS: Sequence[Tuple[str, str, str]] = (
    ('trailing', '', 'write its value behind it'),
    ("params file: '.*Error opening YAML file", 'a file that is there and that you may read',
     'check the path behind --params-file, from the directory that you start in'),
    ('params file: .*alias', FILE, 'write the values out, without & and *'),
    ('params file: .*same type', 'lists of values of one type',
     'write [0.1, 1.0] or ["a", "1"], not [0.1, 1] or ["a", 1]'),
    ('params file: .*before ros__parameters', FILE, 'put ros__parameters: below the name of the '
     'node, and at least one parameter below it'),
    ('params file', FILE, 'mend the file at that line: spaces instead of tabs, brackets and '
     'quotes closed, names of ' + NAME),
    ("override rule: '-[a-z-]+ [^']*:=", 'a value in YAML, and a name of a node without /',
     'quote it for the shell: -p "NAME:=VALUE", -p "NAME:=[\'a\', \'b\']"'),
    ('override rule', '-p NAME:=VALUE', 'write := between name and value'),
    ('remap rule.*__ns', 'a namespace such as /robot1: a / first, then ' + NAME,
     'write -r __ns:=/NAMESPACE'),
    ('remap rule.*__node', 'a name of ' + NAME, 'write -r __node:=NAME'),
    ('remap rule', '-r FROM:=TO, both names of topics or services',
     'write := between them, and names of ' + NAME + ', with / between their parts; a parameter '
     'is -p NAME:=VALUE'),
    ('log level', 'debug, info, warn, error or fatal', 'write --log-level info, or '
     '--log-level LOGGER:=info'),
    ('log directory', 'a directory that you may write to', 'set ROS_LOG_DIR to one'),
    ('external configuration', '', 'leave --log-config-file out'),
    ('[Ee]nclave', 'a name such as /robot/vla_nav_node', 'write --enclave /NAME'),
    ('SECURITY', 'a keystore with keys for this enclave', 'see docs/security.md, or set '
     'ROS_SECURITY_ENABLE=false'),
    ('DOMAIN_ID', f'a number from 0 to {HIGHEST_DOMAIN}', 'set ROS_DOMAIN_ID to one'),
    ('librmw|RMW|rmw_', 'a middleware that is installed',
     'install the one that RMW_IMPLEMENTATION names, or unset it'),
)


def explain(text: str) -> SettingError:
    """Return the error for what rcl says."""
    said = re.sub(r',? at \S+:\d+', '', ' '.join(text.split()))  # places in rcl's sources
    said = said.replace('failed to initialize rcl: ', '').replace('. Error: error not set', '')
    unknown = re.fullmatch(r'\[(.*)\]', said)  # of rclpy: what stands behind --ros-args
    if unknown:
        return SettingError(f'ROS takes no {unknown[1]} behind --ros-args', '-p NAME:=VALUE, '
                            '-r FROM:=TO, --params-file FILE or --log-level LEVEL',
                            'put one of these before it')
    for pattern, expected, fix in KINDS:
        if re.search(pattern, said):
            return SettingError(said, expected, fix)
    return SettingError(said, fix='look for what it names on the command line and in the '
                        'environment (ROS_*, RMW_*, RCUTILS_*)')


def check_domain(environment: Mapping[str, str]) -> None:
    """Raise for a domain that DDS does not have: Fast DDS ends the process, or takes another."""
    domain = environment.get('ROS_DOMAIN_ID', '')
    number = int(domain) if re.fullmatch(r'\s*[0-9]{1,9}', domain) else -1
    if domain and not 0 <= number <= HIGHEST_DOMAIN and 'zenoh' not in environment.get(
            'RMW_IMPLEMENTATION', ''):
        raise explain(f'ROS_DOMAIN_ID is {domain!r}')
