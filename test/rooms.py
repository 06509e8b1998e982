"""
The rooms as the tree has them: who imports what, and a picture of it.

`python test/rooms.py` (make rooms) writes the picture into docs/architecture.md.
"""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / 'vla_nav_node'
ARCHITECTURE = REPOSITORY / 'docs' / 'architecture.md'
BEGIN, END = '<!-- make rooms -->\n```\n', '```\n<!-- end -->'
# The house, from the roof down: a room imports what stands below it, never above or beside.
ROOMS = ('cli', 'commands', 'demo', 'bench', 'sim', 'convert',  # the workstation
         'node', 'doctor', 'driving', 'policy', 'backends', 'bundle', 'vision', 'system', 'types',
         'errors')
ON_THE_ROBOT = ROOMS[ROOMS.index('node'):]
SOURCES = {'.'.join(path.relative_to(PACKAGE).with_suffix('').parts): path
           for path in sorted(PACKAGE.rglob('*.py')) if path != PACKAGE / '__init__.py'}


def room_of(module):
    """Return the room that a module stands in; files at the top are rooms of their own."""
    return module.split('.')[0]


def imports_of(module, top_level=False):
    """Return the full names that a module imports; those of its own package start with a dot."""
    tree = ast.parse(SOURCES[module].read_text(encoding='utf-8'))
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(module, node)


def _from(module, node):
    place = module.split('.')[:-node.level] if node.level else []
    base = '.'.join(place + (node.module.split('.') if node.module else []))
    names = [f'{base}.{alias.name}'.strip('.') for alias in node.names]
    if not node.level:
        return names
    return [f'.{name if name in SOURCES or f"{name}.__init__" in SOURCES else base}'
            for name in names]


def ours(module, top_level=False):
    """Return the modules of the package that a module imports."""
    for name in imports_of(module, top_level):
        assert not name.startswith(PACKAGE.name), f'{module} imports {name} by its full name'
        if name.startswith('.'):
            found = name.lstrip('.')
            yield found if found in SOURCES else f'{found}.__init__'


def picture():
    """Return which room imports which, as a matrix: a mark left of the diagonal points up."""
    arrows = {(room_of(module), room_of(name)) for module in SOURCES for name in ours(module)}
    width = max(map(len, ROOMS))
    heads = ''.join(f'{number:3}' for number in range(1, len(ROOMS) + 1))
    lines = [f'{"":3}{"imports":{width}} {heads}']
    for number, room in enumerate(ROOMS, start=1):
        if room == ON_THE_ROBOT[0]:
            lines.append(f'{"":3}{"":-<{width}}-{"":-<{3 * len(ROOMS)}} what runs on the robot')
        marks = ''.join('  \\' if other == room else '  x' if (room, other) in arrows else '  .'
                        for other in ROOMS)
        lines.append(f'{number:2} {room:{width}} {marks}')
    return ''.join(f'{line.rstrip()}\n' for line in lines)


def with_picture(text):
    """Return the text of docs/architecture.md with today's picture in it."""
    head, _, rest = text.partition(BEGIN)
    return head + BEGIN + picture() + END + rest.partition(END)[2]


if __name__ == '__main__':
    ARCHITECTURE.write_text(with_picture(ARCHITECTURE.read_text(encoding='utf-8')),
                            encoding='utf-8')
    print(picture(), end='')
