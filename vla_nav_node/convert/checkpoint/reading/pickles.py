"""
Read a pickle as plain data: no class in it is looked up, none of its functions is called.

pickletools splits the bytes into operations. They build dicts, lists, tuples, numbers and texts
here; an object of any class becomes an `OpaqueObject`, unless the caller has a maker for it.
"""

from dataclasses import dataclass
import pickletools
from typing import Any, BinaryIO, Callable, Dict, List, Mapping

MOST_STEPS = 5_000_000  # a tensor takes about 40, and no step makes more than 200 bytes
# Modules and functions that only an attack calls. They would do no harm here, but the user must
# be warned of the file.
HOSTILE = {'os', 'posix', 'nt', 'sys', 'subprocess', 'shutil', 'socket', 'runpy', 'pty', 'ctypes',
           'importlib', 'webbrowser', 'code', 'pdb', 'bdb', 'pip', 'commands', 'timeit',
           'pydoc', 'multiprocessing', 'asyncio', 'marshal', 'urllib', 'http', 'requests'}
HOSTILE_BUILTINS = {'__import__', 'breakpoint', 'compile', 'delattr', 'eval', 'exec', 'globals',
                    'input', 'locals', 'open', 'setattr', 'vars'}
Makers = Mapping[str, Callable[..., Any]]


class Malformed(ValueError):
    """The bytes are no valid pickle."""


class Refused(Exception):
    """The pickle is valid, but not of a kind that is read."""


@dataclass(frozen=True)
class GlobalName:
    """The full name of a class or function that a pickle refers to."""

    name: str


@dataclass(eq=False, repr=False)
class OpaqueObject:
    """An object of any class, as the data that the class would have got."""

    __slots__ = ('kind', 'arguments', 'state', 'items')
    kind: str
    arguments: Any
    state: Any
    items: Any  # a dict or a list, if it was filled as one


def hashable(value: Any) -> Any:
    """Return a key for a dict or set: hashing nested tuples may take for ever, or C's stack."""
    return OpaqueObject('builtins.tuple', value, None, None) if isinstance(value, tuple) else value


def read_pickle(stream: BinaryIO, makers: Makers,
                persistent: Callable[[Any], Any]) -> Any:
    """
    Read one pickle from a stream.

    A maker builds an object of the class it is listed under, or returns NotImplemented for
    arguments that it does not know. `persistent` returns what lies outside the pickle. Raise
    Malformed or Refused.
    """
    machine = _Machine(makers, persistent)
    try:
        return machine.run(stream)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError,
            ValueError) as error:
        raise Malformed(f'pickle, step {machine.steps}: {error or type(error).__name__}') from None


class _Machine:
    """The stack and memo of a pickle."""

    def __init__(self, makers: Makers, persistent: Callable[[Any], Any]) -> None:
        self.makers, self.persistent = makers, persistent
        self.stack: List[Any] = []
        self.marked: List[List[Any]] = []  # the stacks below the marks
        self.memo: Dict[int, Any] = {}
        self.steps = 0

    def run(self, stream: BinaryIO) -> Any:
        for opcode, argument, _ in pickletools.genops(stream):
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise Refused(f'holds more than {MOST_STEPS} Python values beside the weights')
            if opcode.name in OPERATIONS:
                OPERATIONS[opcode.name](self, argument)
            elif opcode.arg:
                self.stack.append(argument)
            else:
                raise LookupError(f'{opcode.name} is not supported')
        return self.stack.pop()

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.take_marked()

    def take(self, count: int) -> List[Any]:
        """Remove the last values from the stack and return them."""
        if len(self.stack) < count:
            raise IndexError('the stack is too short')
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def mark(self) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def take_marked(self) -> List[Any]:
        """Remove the values behind the last mark and return them."""
        items, self.stack = self.stack, self.marked.pop()
        return items

    def memoize(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    def top_as(self, kind: type) -> Any:
        """Return the top's content, to be filled as a dict, list or set."""
        top = self.stack[-1]
        if isinstance(top, OpaqueObject):
            top.items = kind() if top.items is None else top.items
            top = top.items
        if type(top) is not kind:
            raise TypeError(f'a {type(top).__name__} is filled as a {kind.__name__}')
        return top

    def set_items(self, items: List[Any]) -> None:
        self.top_as(dict).update(zip(map(hashable, items[::2]), items[1::2], strict=True))

    def make_dict(self, items: List[Any]) -> None:
        self.stack.append({})
        self.set_items(items)

    def extend(self, items: List[Any]) -> None:
        self.top_as(list).extend(items)

    def add_items(self, items: List[Any]) -> None:
        self.top_as(set).update(map(hashable, items))

    def make(self, made: Any, arguments: Any) -> None:
        """Push what a class or function would have returned."""
        name = _name_of(made)
        result = self.makers[name](*arguments) if name in self.makers else NotImplemented
        if result is NotImplemented:
            result = OpaqueObject(name, arguments, None, None)
        self.stack.append(result)

    def make_object(self, made: Any, *arguments: Any) -> None:
        self.make(made, arguments)

    def make_with_keywords(self, made: Any, arguments: Any, keywords: Any) -> None:
        self.stack.append(OpaqueObject(_name_of(made), arguments, keywords, None))

    def build(self) -> None:
        """Keep an object's state; that of a dict or a tensor is of no use here."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], OpaqueObject):
            self.stack[-1].state = state


def _name_of(made: Any) -> str:
    return made.name if isinstance(made, GlobalName) else f'{type(made).__name__}()'


def _global_name(module: Any, name: Any) -> GlobalName:
    """Return a class or function by name; raise Refused if only attacks call it."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError('a class whose name is no text')
    module = {'__builtin__': 'builtins', 'copy_reg': 'copyreg'}.get(module, module)
    if module.split('.')[0] in HOSTILE or module == 'builtins' and name in HOSTILE_BUILTINS:
        raise Refused(f'holds the Python object {module}.{name}, and loading it would run code')
    return GlobalName(f'{module}.{name}')


# By pickletools' names of operations. Others that have an argument push it: numbers and texts.
OPERATIONS: Dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(('STOP', 'PROTO', 'FRAME'), lambda machine, _: None),
    'NONE': lambda machine, _: machine.push(None),
    'NEWTRUE': lambda machine, _: machine.push(True),
    'NEWFALSE': lambda machine, _: machine.push(False),
    'EMPTY_LIST': lambda machine, _: machine.push([]),
    'EMPTY_DICT': lambda machine, _: machine.push({}),
    'EMPTY_SET': lambda machine, _: machine.push(set()),
    'EMPTY_TUPLE': lambda machine, _: machine.push(()),
    'MARK': lambda machine, _: machine.mark(),
    'POP_MARK': lambda machine, _: machine.take_marked(),
    'POP': lambda machine, _: machine.pop(),
    'DUP': lambda machine, _: machine.push(machine.stack[-1]),
    'MEMOIZE': lambda machine, _: machine.memoize(len(machine.memo)),
    **dict.fromkeys(('PUT', 'BINPUT', 'LONG_BINPUT'),
                    lambda machine, place: machine.memoize(place)),
    **dict.fromkeys(('GET', 'BINGET', 'LONG_BINGET'),
                    lambda machine, place: machine.push(machine.memo[place])),
    'TUPLE': lambda machine, _: machine.push(tuple(machine.take_marked())),
    'TUPLE1': lambda machine, _: machine.push(tuple(machine.take(1))),
    'TUPLE2': lambda machine, _: machine.push(tuple(machine.take(2))),
    'TUPLE3': lambda machine, _: machine.push(tuple(machine.take(3))),
    'LIST': lambda machine, _: machine.push(machine.take_marked()),
    'FROZENSET': lambda machine, _: machine.push(
        frozenset(map(hashable, machine.take_marked()))),
    'DICT': lambda machine, _: machine.make_dict(machine.take_marked()),
    'SETITEM': lambda machine, _: machine.set_items(machine.take(2)),
    'SETITEMS': lambda machine, _: machine.set_items(machine.take_marked()),
    'APPEND': lambda machine, _: machine.extend(machine.take(1)),
    'APPENDS': lambda machine, _: machine.extend(machine.take_marked()),
    'ADDITEMS': lambda machine, _: machine.add_items(machine.take_marked()),
    'GLOBAL': lambda machine, name: machine.push(_global_name(*name.split(' ', 1))),
    'STACK_GLOBAL': lambda machine, _: machine.push(_global_name(*machine.take(2))),
    **dict.fromkeys(('EXT1', 'EXT2', 'EXT4'), lambda machine, code: machine.push(
        _global_name('copyreg', f'extension_{code}'))),
    **dict.fromkeys(('REDUCE', 'NEWOBJ'), lambda machine, _: machine.make(*machine.take(2))),
    'NEWOBJ_EX': lambda machine, _: machine.make_with_keywords(*machine.take(3)),
    'INST': lambda machine, name: machine.make(
        _global_name(*name.split(' ', 1)), tuple(machine.take_marked())),
    'OBJ': lambda machine, _: machine.make_object(*machine.take_marked()),
    'BUILD': lambda machine, _: machine.build(),
    'PERSID': lambda machine, name: machine.push(machine.persistent(name)),
    'BINPERSID': lambda machine, _: machine.push(machine.persistent(machine.stack.pop()))}
