"""What stands for classes, functions and objects in a pickle that is read as data."""

from dataclasses import dataclass
from typing import Any

# What only an attack calls; to us it is as inert as the rest, but the user must hear of it.
HOSTILE = {'os', 'posix', 'nt', 'sys', 'subprocess', 'shutil', 'socket', 'runpy', 'pty', 'ctypes',
           'importlib', 'webbrowser', 'code', 'pdb', 'bdb', 'pip', 'commands', 'timeit',
           'pydoc', 'multiprocessing', 'asyncio', 'marshal', 'urllib', 'http', 'requests'}
HOSTILE_BUILTINS = {'__import__', 'breakpoint', 'compile', 'delattr', 'eval', 'exec', 'globals',
                    'input', 'locals', 'open', 'setattr', 'vars'}


class Malformed(ValueError):
    """The bytes are no sound pickle."""


class Refused(Exception):
    """The pickle is sound, and is not read."""


@dataclass(frozen=True)
class Named:
    """A class or a function, by its name alone."""

    name: str


@dataclass(eq=False, repr=False)
class Inert:
    """What a class would have made of its arguments, state, items and pairs."""

    __slots__ = ('kind', 'arguments', 'state', 'items')
    kind: str
    arguments: Any
    state: Any
    items: Any  # a dict or a list, where it was filled as one


def key_of(value: Any) -> Any:
    """Return what may be hashed: a tuple in tuples may take for ever, or all of C's stack."""
    return Inert('builtins.tuple', value, None, None) if isinstance(value, tuple) else value


def name_of(made: Any) -> str:
    """Return the name of what a pickle calls."""
    return made.name if isinstance(made, Named) else f'{type(made).__name__}()'


def named(module: Any, name: Any) -> Named:
    """Return a class or function by name, or raise Refused for one that only attacks call."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError('a class whose name is no text')
    module = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module)
    if module.split('.')[0] in HOSTILE or module == 'builtins' and name in HOSTILE_BUILTINS:
        raise Refused(f'holds the Python object {module}.{name}, and loading it would run code')
    return Named(f'{module}.{name}')
