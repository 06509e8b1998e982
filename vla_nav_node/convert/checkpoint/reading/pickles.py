"""
Read a pickle as plain data: no class in it is looked up, none of its functions is called.

pickletools takes the bytes apart. What they build here are dicts, lists, tuples, numbers and
texts; an object of any class is an `Inert`, unless one of the caller's own `makers` stands for it.
"""

import pickletools
from typing import Any, BinaryIO, Callable, Dict, List, Mapping

from .inert import Inert, key_of, Malformed, name_of, named, Refused

MOST_STEPS = 5_000_000  # a tensor takes about 40, and no step makes more than 200 bytes
Makers = Mapping[str, Callable[..., Any]]


def read_pickle(stream: BinaryIO, makers: Makers,
                persistent: Callable[[Any], Any]) -> Any:
    """
    Read one pickle from a stream.

    A maker may return NotImplemented for arguments that it has no use for. `persistent` gives
    what lies outside the pickle. Raise Malformed or Refused.
    """
    machine = _Machine(makers, persistent)
    try:
        return machine.run(stream)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError,
            ValueError) as error:
        raise Malformed(f'pickle, step {machine.steps}: {error or type(error).__name__}') from None


LITERALS = {opcode.name for opcode in pickletools.opcodes if opcode.arg and opcode.name not in (
    'GLOBAL', 'INST', 'PERSID', 'PROTO', 'FRAME', 'EXT1', 'EXT2', 'EXT4', 'PUT', 'BINPUT',
    'LONG_BINPUT', 'GET', 'BINGET', 'LONG_BINGET')}
FRESH: Dict[str, Callable[[], Any]] = {
    'NONE': lambda: None, 'NEWTRUE': lambda: True, 'NEWFALSE': lambda: False,
    'EMPTY_LIST': list, 'EMPTY_DICT': dict, 'EMPTY_SET': set, 'EMPTY_TUPLE': tuple}


class _Machine:
    """The stack and memo of a pickle; a method for each operation, named as pickletools does."""

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
            if opcode.name in LITERALS:
                self.stack.append(argument)
            elif opcode.name in FRESH:
                self.stack.append(FRESH[opcode.name]())
            else:
                getattr(self, f'_{opcode.name.lower()}')(argument)
        return self.stack.pop()

    def _stop(self, _: Any) -> None:
        pass

    _proto = _frame = _stop

    # The stack.
    def _mark(self, _: Any) -> None:
        self.marked.append(self.stack)
        self.stack = []

    def _pop_mark(self, _: Any) -> List[Any]:
        items, self.stack = self.stack, self.marked.pop()
        return items

    def _pop(self, _: Any) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self._pop_mark(None)

    def _dup(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _last(self, count: int) -> List[Any]:
        if len(self.stack) < count:
            raise IndexError('the stack is too short')
        items = self.stack[-count:]
        del self.stack[-count:]
        return items

    def _put(self, place: int) -> None:
        self.memo[place] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: Any) -> None:
        self._put(len(self.memo))

    def _get(self, place: int) -> None:
        self.stack.append(self.memo[place])

    _binget = _long_binget = _get

    # Containers.
    def _tuple(self, _: Any) -> None:
        items = self._pop_mark(None)
        self.stack.append(tuple(items))

    def _tuple1(self, _: Any) -> None:
        self.stack.append(tuple(self._last(1)))

    def _tuple2(self, _: Any) -> None:
        self.stack.append(tuple(self._last(2)))

    def _tuple3(self, _: Any) -> None:
        self.stack.append(tuple(self._last(3)))

    def _list(self, _: Any) -> None:
        items = self._pop_mark(None)
        self.stack.append(items)

    def _frozenset(self, _: Any) -> None:
        items = self._pop_mark(None)
        self.stack.append(frozenset(map(key_of, items)))

    def _dict(self, _: Any) -> None:
        items = self._pop_mark(None)
        self.stack.append({})
        self._set(items)

    def _setitem(self, _: Any) -> None:
        self._set(self._last(2))

    def _setitems(self, _: Any) -> None:
        self._set(self._pop_mark(None))

    def _set(self, items: List[Any]) -> None:
        self._filled(dict).update(zip(map(key_of, items[::2]), items[1::2], strict=True))

    def _append(self, _: Any) -> None:
        items = self._last(1)
        self._filled(list).extend(items)

    def _appends(self, _: Any) -> None:
        items = self._pop_mark(None)
        self._filled(list).extend(items)

    def _additems(self, _: Any) -> None:
        items = self._pop_mark(None)
        self._filled(set).update(map(key_of, items))

    def _filled(self, kind: type) -> Any:
        """Return what the stack's top holds as `kind`, a list below the item that goes into it."""
        top = self.stack[-1]
        if isinstance(top, Inert):
            top.items = kind() if top.items is None else top.items
            top = top.items
        if type(top) is not kind:
            raise TypeError(f'a {type(top).__name__} is filled as a {kind.__name__}')
        return top

    # Names, and what would be made by them.
    def _global(self, name: str) -> None:
        module, _, rest = name.partition(' ')
        self.stack.append(named(module, rest))

    def _stack_global(self, _: Any) -> None:
        module, name = self._last(2)
        self.stack.append(named(module, name))

    def _ext1(self, code: int) -> None:
        self.stack.append(named('copyreg', f'extension_{code}'))

    _ext2 = _ext4 = _ext1

    def _reduce(self, _: Any) -> None:
        called, arguments = self._last(2)
        self._make(called, arguments)

    _newobj = _reduce

    def _newobj_ex(self, _: Any) -> None:
        made, arguments, named = self._last(3)
        self.stack.append(Inert(name_of(made), arguments, named, None))

    def _inst(self, name: str) -> None:
        arguments = self._pop_mark(None)
        self._global(name)
        self._make(self.stack.pop(), tuple(arguments))

    def _obj(self, _: Any) -> None:
        made, *arguments = self._pop_mark(None)
        self._make(made, tuple(arguments))

    def _make(self, made: Any, arguments: Any) -> None:
        name = name_of(made)
        result = self.makers[name](*arguments) if name in self.makers else NotImplemented
        if result is NotImplemented:
            result = Inert(name, arguments, None, None)
        self.stack.append(result)

    def _build(self, _: Any) -> None:
        """Keep an object's state; what a dict or a tensor has besides is of no use here."""
        state = self.stack.pop()
        if isinstance(self.stack[-1], Inert):
            self.stack[-1].state = state

    def _persid(self, name: str) -> None:
        self.stack.append(self.persistent(name))

    def _binpersid(self, _: Any) -> None:
        self._persid(self.stack.pop())
