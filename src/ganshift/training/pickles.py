"""Pickles of other tools, run without running a line of theirs.

A pickle is a program. Here it is run by an interpreter of our own, which builds plain containers, numbers and tensors,
and calls nothing but the functions of `_CALLS`, all written here. An object of any other class becomes a `Record` of
its name, arguments and state, so that nothing is ever imported. What a file claims is compared with its length before
memory is taken, every operation counts, and keys are of types that take no time to hash: torch's own reader of weights
alone ends the process at a key of tuples within tuples.
"""

import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from torch import Tensor

MOST_COPIES = 4
"""Bytes of storages and tensors together, as a multiple of the file's length: a tensor counts again under each name."""
MOST_STEPS = 1_000_000
"""Operations of a file: three networks of a thousand tensors together take a hundred thousand."""
MOST_BITS = 80
"""Of a whole number; torch's magic number has as many."""
MOST_SIDES = 8
"""Of a tensor."""
MOST_ARGUMENTS = 16
"""Of a call."""
MOST_CHARACTERS = 200
"""Of a name, and of what is said of a file."""
WHOLE_MODEL = "holds a whole model, which is not read: save its state_dict() in the program that wrote it"

_CLASS = re.compile(r"[A-Za-z_][\w.]* _*[A-Z]\w*", re.ASCII)
"""A module and a class in it: by custom no function starts with a capital letter."""
_DTYPES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
_VALUES: dict[str, Any] = {
    **{f"torch {name}Storage": dtype for name, dtype in _DTYPES.items()},
    **{f"torch.cuda {name}Storage": dtype for name, dtype in _DTYPES.items()},
    **{str(dtype).replace(".", " "): dtype for dtype in _DTYPES.values()},
    "numpy ndarray": "ndarray",
}
"""What names stand for that are neither called nor recorded."""
_DICTS = ("collections OrderedDict", "dnnlib.util EasyDict")

Of = TypeVar("Of")


class RefusedError(ValueError):
    """What a file does that none may, as the rest of a sentence that starts with the file."""


@dataclass(eq=False)
class Record:
    """An object of a class that is not here."""

    name: str
    """Its module and class."""
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle names, as "module name"."""

    path: str

    def __str__(self) -> str:
        return self.path[:MOST_CHARACTERS].replace(" ", ".")


class Budget:
    """What reading a file may still take."""

    def __init__(self, length: int) -> None:
        self.length, self.bytes, self.steps = length, MOST_COPIES * length, MOST_STEPS

    def take_bytes(self, count: int) -> None:
        """Allow so many bytes of storages, tensors and texts."""
        self.bytes -= count
        if count < 0 or self.bytes < 0:
            raise RefusedError("claims more values than it has bytes")

    def take_steps(self, count: int = 1) -> None:
        """Allow so many operations."""
        self.steps -= count
        if self.steps < 0:
            raise RefusedError(f"takes more than {MOST_STEPS:,} operations to read")


class Storages:
    """The storages that persistent ids name, each made once, as tensors of one dimension."""

    def __init__(self, budget: Budget, read: Callable[[str], bytes] | None = None) -> None:
        self.budget, self.read = budget, read
        self.made: dict[Any, Tensor] = {}

    def __call__(self, kind: Any, dtype: Any, key: Any, location: Any, count: Any = None, view: Any = None) -> Tensor:
        """Make one, and fill it if there is something to `read` it with; else it is filled later."""
        if kind == "module":  # the name and source of a class, in the older file of torch
            raise RefusedError(WHOLE_MODEL)
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(count) is not int or view is not None:
            raise RefusedError("refers to something outside of it that is no storage")
        if key_of(key) not in self.made:
            self.budget.take_bytes(count * dtype.itemsize)
            self.made[key] = torch.empty(count, dtype=dtype)
            if self.read:
                fill(self.made[key], self.read(of_type(str, key)))
        if self.made[key].dtype != dtype or len(self.made[key]) != count:
            raise RefusedError("has a storage of two types or lengths")
        return self.made[key]


def fill(storage: Tensor, raw: bytes) -> None:
    """Give a storage its bytes."""
    if len(raw) != storage.nbytes:
        raise RefusedError("has a storage of another length than it says")
    if raw:
        storage.copy_(torch.frombuffer(bytearray(raw), dtype=storage.dtype))


def run_pickle(
    file: BinaryIO | BytesIO,
    budget: Budget,
    storages: "Storages | None" = None,
    further_calls: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
) -> Any:
    """Run one pickle, to its end and no further, and return what it builds.

    `storages` make what persistent ids name; without them there may be none. `further_calls` are what this pickle may
    call beside `_CALLS`: functions of the budget and the arguments, by module and name.
    """
    calls = {**_CALLS, **further_calls}
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, given, _ in pickletools.genops(file):
        budget.take_steps()
        argument: Any = given
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4":
                if argument.bit_length() > MOST_BITS:
                    raise RefusedError(f"has a number of {argument.bit_length():,} bits")
                stack.append(argument)
            case "FLOAT" | "BINFLOAT" | "BINBYTES" | "SHORT_BINBYTES" | "BINBYTES8" | "STRING" | "BINSTRING":
                stack.append(argument)
            case "SHORT_BINSTRING" | "UNICODE" | "BINUNICODE" | "SHORT_BINUNICODE" | "BINUNICODE8":
                stack.append(argument)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "MARK":
                marks.append(len(stack))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_SET":
                stack.append(set())
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                marks.append(len(stack) - int(opcode.name[-1]))
                stack.append(tuple(since_mark()))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "APPEND":
                value = stack.pop()
                of_type(list, stack[-1]).append(value)
            case "APPENDS":
                items = since_mark()
                of_type(list, stack[-1]).extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                of_type(dict, stack[-1])[key_of(key)] = value
            case "SETITEMS":
                items = since_mark()
                of_type(dict, stack[-1]).update(zip(map(key_of, items[::2]), items[1::2], strict=True))
            case "ADDITEMS":
                items = since_mark()
                of_type(set, stack[-1]).update(map(key_of, items))
            case "GLOBAL":
                module, _, name = argument.partition(" ")
                stack.append(_named(module, name, calls))
            case "STACK_GLOBAL":
                name, module = of_type(str, stack.pop()), of_type(str, stack.pop())
                stack.append(_named(module, name, calls))
            case "NEWOBJ":
                arguments, made = of_type(tuple, stack.pop()), of_type(_Name, stack.pop())
                stack.append({} if made.path in _DICTS and not arguments else Record(str(made), arguments))
            case "REDUCE":
                arguments, called = of_type(tuple, stack.pop()), of_type(_Name, stack.pop())
                if called.path not in calls or len(arguments) > MOST_ARGUMENTS:
                    raise RefusedError(f"asks for a call of {called}, which no checkpoint needs")
                stack.append(calls[called.path](budget, *arguments))
            case "BUILD":
                state = stack.pop()
                match stack[-1]:
                    case Record(state=None):
                        stack[-1].state = state
                    case dict() if isinstance(state, dict):  # attributes of one, such as the versions of its layers
                        pass
                    case other:
                        raise RefusedError(f"changes a {type(other).__name__} in a way that no checkpoint needs")
            case "BINPERSID" if storages is not None:
                stack.append(storages(*of_type(tuple, stack.pop())))
            case other:
                raise RefusedError(f"uses the operation {other}, which no checkpoint needs")
    raise RefusedError("has no end")


def of_type(kind: type[Of], value: Any) -> Of:
    """The value, which must be of this very type."""
    if type(value) is not kind:
        raise RefusedError(f"has a {type(value).__name__} in place of a {kind.__name__}")
    return value


def key_of(value: Any) -> Any:
    """A key of a dict or set: nothing that takes long to hash, or that collides with many others."""
    if not isinstance(value, str | bytes | int | None) or (isinstance(value, int) and value.bit_length() > 64):
        raise RefusedError(f"has a {type(value).__name__} as a key")
    return value


def _named(module: str, name: str, calls: Mapping[str, Any]) -> Any:
    """What a module and a name in it stand for; nothing is imported."""
    if len(module) + len(name) > MOST_CHARACTERS:
        raise RefusedError(f"asks for a name of {len(module) + len(name):,} characters")
    path = f"{module} {name}"
    if path in _VALUES:
        return _VALUES[path]
    if path not in calls and not _CLASS.fullmatch(path):
        raise RefusedError(f"asks for {_Name(path)}, which no checkpoint needs")
    return _Name(path)


def _tensor(budget: Budget, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """A tensor that lies within its storage and has no more values than that."""
    sides = (offset, *of_type(tuple, size), *of_type(tuple, stride))
    plain = len(sides) <= 1 + 2 * MOST_SIDES and all(type(side) is int and side >= 0 for side in sides)
    if not isinstance(storage, Tensor) or len(size) != len(stride) or not plain:
        raise RefusedError("has a tensor whose shape is none")
    count = prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if count > len(storage) or (count and last >= len(storage)):
        raise RefusedError("has a tensor that reaches beyond its storage")
    budget.take_bytes(count * storage.element_size())
    return storage.as_strided(size, stride, offset)


def _ordered_dict(budget: Budget, *pairs: Any) -> dict[Any, Any]:
    """A dict of nothing, or of a list of pairs."""
    items = of_type(list, pairs[0]) if pairs else []
    budget.take_steps(len(items))
    return {key_of(key): value for key, value in items}


def _set(budget: Budget, items: Any) -> set[Any]:
    budget.take_steps(len(of_type(list, items)))
    return set(map(key_of, items))


def _encoded(budget: Budget, text: Any, encoding: Any) -> bytes:
    """The bytes that Python 3 writes as a text for older protocols."""
    budget.take_bytes(len(of_type(str, text)))
    return text.encode("latin-1")


def _number(budget: Budget, kind: Any, raw: Any) -> int | float:
    """A number of NumPy's, from the record of its type and its bytes."""
    code, order = of_type(Record, kind).arguments[0], kind.state[1]
    if not (isinstance(code, str) and re.fullmatch("[bifu][1248]", code) and order in ("|", "<", ">")):
        raise RefusedError("has a NumPy number whose type is none")
    if len(of_type(bytes, raw)) != np.dtype(code).itemsize:
        raise RefusedError("has a NumPy number of another length than it says")
    value: int | float = np.frombuffer(raw, np.dtype(code).newbyteorder(order)).item()
    return value


_CALLS: dict[str, Callable[..., Any]] = {
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda budget, tensor, *rest: of_type(Tensor, tensor),
    "torch Size": lambda budget, size: of_type(tuple, size),
    "collections OrderedDict": _ordered_dict,
    "builtins set": _set,
    "__builtin__ set": _set,
    "_codecs encode": _encoded,
    "numpy dtype": lambda budget, *arguments: Record("numpy.dtype", arguments),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # NumPy 1 and 2
    _CALLS[f"{_module} scalar"] = _number
    _CALLS[f"{_module} _reconstruct"] = lambda budget, *arguments: Record("numpy.ndarray", arguments)
"""What a pickle may call, by module and name."""
