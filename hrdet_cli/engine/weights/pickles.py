"""Pickles of state dicts, interpreted: nothing that they name is looked up, and nothing is called.

A pickle is a program. Here its instructions are read one by one, and only those that make numbers, texts,
tuples, lists, dictionaries, tensors and arrays do so. mmdetection's files also hold objects of their
libraries (histories of losses, numpy numbers, configurations): where these are of a known few, something
empty takes their place.
"""

import pickle
import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any, cast

import torch
from torch import Tensor

from hrdet_cli.engine.weights.numpy_arrays import PickledArray, PickledType, array_of

STORAGES: Mapping[str, torch.dtype] = MappingProxyType(
    {
        "torch.DoubleStorage": torch.float64,
        "torch.FloatStorage": torch.float32,
        "torch.HalfStorage": torch.float16,
        "torch.BFloat16Storage": torch.bfloat16,
        "torch.LongStorage": torch.int64,
        "torch.IntStorage": torch.int32,
        "torch.ShortStorage": torch.int16,
        "torch.CharStorage": torch.int8,
        "torch.ByteStorage": torch.uint8,
        "torch.BoolStorage": torch.bool,
    }
)
"""What weights consist of."""
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
_TENSORS = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_ARRAYS = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
_BUFFERS = ("numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer")
"""How arrays are made, the second in protocol 5."""
_BYTES = ("_codecs.encode", "builtins.bytes")
"""How protocol 2 has bytes; the second where there are none."""
_MEANT = ("collections.OrderedDict", "torch.Size", *_BYTES, *STORAGES, *_PARAMETERS, *_TENSORS)
_INERT_PACKAGES = ("addict", "argparse", "datetime", "mmcv", "mmdet", "mmengine", "numpy", "pathlib")
_INERT = (
    "builtins.getattr",  # mmengine's histories name their methods by it
    *("builtins.dict", "builtins.float", "builtins.int", "builtins.list", "builtins.set"),
    *("collections.Counter", "collections.defaultdict", "torch.device", *map(str, STORAGES.values())),
)
_PUSHED = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING", "BINSTRING"),
    *("SHORT_BINUNICODE", "BINUNICODE8", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
)
_REMEMBERING = ("BINPUT", "LONG_BINPUT", "MEMOIZE")
_EMPTY: Mapping[str, Callable[[], object]] = MappingProxyType(
    {
        "NONE": lambda: None,
        "NEWTRUE": lambda: True,
        "NEWFALSE": lambda: False,
        "EMPTY_TUPLE": tuple,
        "EMPTY_LIST": list,
        "EMPTY_DICT": dict,
    }
)
_NUM_COMBINED: Mapping[str, int | None] = MappingProxyType(
    {
        "TUPLE1": 1,
        "TUPLE2": 2,
        "TUPLE3": 3,
        "TUPLE": None,
        "APPEND": 1,
        "APPENDS": None,
        "SETITEM": 2,
        "SETITEMS": None,
    }
)
"""How many values each takes from the stack; None: all to the last mark."""
_PLAIN_KEYS = (str, int, float, bytes, bool, type(None))
"""By exact type; the hash of a tuple within a tuple can take forever."""


class StandIn:
    """Takes the place of an object whose content nobody needs."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Storage:
    """A tensor's memory.

    Attributes:
        content: ``(bytes,)`` uint8.
    """

    content: Tensor
    dtype: torch.dtype


@dataclass(frozen=True, slots=True)
class _Name:
    text: str


def read_pickle(
    file: IO[bytes],
    *,
    storage_of: Callable[[str, torch.dtype, int], Storage] | None = None,
    has_arrays: bool = False,
) -> tuple[object, list[str]]:
    """Interpret the pickle at a file's position, and stop behind it.

    Args:
        file: Is read no further than the pickle's end.
        storage_of: Gives the memory of a key, a dtype and a number of elements; None where there is none.
        has_arrays: NumPy's arrays become tensors where they are values of a dictionary; else they count as
            objects that nobody needs.

    Returns:
        Tensors and plain types, in dicts, lists and tuples, with `StandIn` in the place of other objects; and
        the names in the pickle that are not of the known few, sorted.

    Raises:
        pickle.UnpicklingError: It has instructions that no state dict needs.
        Exception: Anything, if the file is damaged.
    """
    machine = _Machine(storage_of, has_arrays=has_arrays)
    try:
        for instruction, argument, _ in pickletools.genops(file):
            machine.step(instruction.name, argument)
    except Exception:
        if machine.unknown:  # says more
            return None, sorted(machine.unknown)
        raise
    (result,) = machine.stack
    return result, sorted(machine.unknown)


class _Machine:
    def __init__(
        self, storage_of: Callable[[str, torch.dtype, int], Storage] | None, *, has_arrays: bool
    ) -> None:
        self.stack: list[Any] = []
        self.unknown: set[str] = set()
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._storage_of = storage_of
        self._has_arrays = has_arrays

    def step(self, instruction: str, argument: Any) -> None:
        stack = self.stack
        if instruction in _PUSHED:
            stack.append(argument)
        elif instruction in _EMPTY:
            stack.append(_EMPTY[instruction]())
        elif instruction in _REMEMBERING:
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
        elif instruction in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif instruction == "MARK":
            self._marks.append(stack)
            self.stack = []
        elif instruction in _NUM_COMBINED:
            self._combine(instruction)
        elif instruction not in ("PROTO", "FRAME", "STOP"):
            self._make(instruction, argument)

    def _make(self, instruction: str, argument: Any) -> None:
        """Make, or finish, what is more than a value."""
        stack = self.stack
        if instruction == "GLOBAL":
            stack.append(self._name(*argument.split(" ", 1)))
        elif instruction == "STACK_GLOBAL":
            name = stack.pop()
            stack.append(self._name(stack.pop(), name))
        elif instruction in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(self._made(stack.pop(), arguments))
        elif instruction == "BINPERSID":
            stack.append(self._storage(*stack.pop()))
        elif instruction == "BUILD":
            state = stack.pop()  # of what is neither: attributes, which none of ours has
            if isinstance(stack[-1], PickledArray | PickledType):
                stack[-1].set_state(state)
        else:
            raise pickle.UnpicklingError(f"instruction {instruction}")

    def _combine(self, instruction: str) -> None:
        number = _NUM_COMBINED[instruction]
        if number is None:
            items, self.stack = self.stack, self._marks.pop()
        else:
            items = [self.stack.pop() for _ in range(number)][::-1]
        if instruction.startswith("TUPLE"):
            self.stack.append(tuple(items))
        else:
            _fill(self.stack[-1], items)

    def _name(self, module: str, name: str) -> _Name:
        text = f"{'builtins' if module == '__builtin__' else module}.{name}"  # its name in Python 2
        is_known = text in _MEANT or text in _INERT or module.partition(".")[0] in _INERT_PACKAGES
        if not is_known:
            self.unknown.add(text)
        return _Name(text)

    def _made(self, maker: object, arguments: Any) -> object:
        if self._has_arrays and isinstance(maker, _Name):
            if maker.text == "numpy.dtype":
                return PickledType(arguments[0])
            if maker.text in _ARRAYS:
                return PickledArray()
            if maker.text in _BUFFERS:
                content, kind, shape, order = arguments
                return PickledArray(array_of(content, kind, shape, is_fortran=order == "F"))
        return _made(maker, arguments)

    def _storage(
        self, kind: str, storage: _Name, key: str, _device: str, num_elements: int, view: object = None
    ) -> Storage:
        is_usual = kind == "storage" and type(key) is str and type(num_elements) is int and view is None
        if self._storage_of is None or not is_usual:
            raise pickle.UnpicklingError("memory of another kind")
        if storage.text not in STORAGES:
            self.unknown.add(storage.text)
            return cast("Storage", StandIn())
        return self._storage_of(key, STORAGES[storage.text], num_elements)


def _fill(target: object, items: list[Any]) -> None:
    """Put items into what takes them: a list, or a dictionary of alternating keys and values."""
    if type(target) is list:
        target.extend(items)
    elif type(target) is dict:
        keys = items[::2]
        if not all(type(key) in _PLAIN_KEYS for key in keys):
            raise pickle.UnpicklingError("a key that is neither text nor number")
        values = (item.tensor if isinstance(item, PickledArray) else item for item in items[1::2])
        target.update(zip(keys, values, strict=True))
    elif type(target) is not StandIn:
        raise pickle.UnpicklingError(f"items for a {type(target).__name__}")


def _made(maker: object, arguments: Any) -> object:
    """What calling a name would make, as far as state dicts need it."""
    if not isinstance(maker, _Name):
        raise pickle.UnpicklingError("a call of what has no name")
    name = maker.text
    if name == "collections.OrderedDict":
        made: dict[Any, Any] = {}
        for pair in arguments[0] if arguments else ():
            _fill(made, list(pair))
        return made
    if name in _TENSORS:
        storage, offset, size, stride = arguments[:4]
        return _tensor(storage, offset, size, stride)
    if name in _PARAMETERS or name == "torch.Size":
        return arguments[0]
    if name in _BYTES:
        return arguments[0].encode("latin-1") if arguments else b""
    return StandIn()


def _tensor(storage: object, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> object:
    """A view of memory that reaches nowhere beyond it, because torch would make it larger."""
    if not isinstance(storage, Storage):
        return StandIn()
    if not all(type(number) is int for number in (offset, *size, *stride)):
        raise pickle.UnpicklingError("a tensor's size that is no number")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    num_elements = len(storage.content) // storage.dtype.itemsize
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= num_elements):
        raise pickle.UnpicklingError("a tensor beyond its memory")
    empty = torch.empty(0, dtype=storage.dtype)
    return empty.set_(storage.content.untyped_storage(), offset, size, stride)
