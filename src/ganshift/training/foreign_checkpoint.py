"""Checkpoints of other tools, read without running a line of theirs.

A pickle is a program. Here it is run by an interpreter of our own, which builds plain containers, numbers and tensors,
and calls nothing but the functions of `_CALLS`, all written here. An object of any other class becomes a `Record` of
its name, arguments and state, so that nothing is ever imported. What a file claims is compared with its length before
memory is taken, and every operation counts.
"""

import pickletools
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, first_line, printable
from ..files import read_file
from .checkpoint import check_packing

MOST_BYTES = 16 * 2**30
"""Longer files are refused."""
MOST_COPIES = 4
"""Bytes of storages and tensors together, as a multiple of the file's length: a tensor counts again under each name."""
MOST_STEPS = 1_000_000
"""Operations of a file: three networks of a thousand tensors together take a hundred thousand."""
MOST_BITS = 80
"""Of a whole number; torch's magic number has as many."""
MOST_SIDES = 8
"""Of a tensor."""
MOST_DEPTH = 64
"""Modules within one another."""
MOST_CHARACTERS = 200
"""Of the name of a layer, and of what is said of a file."""

_OLD_FILE = b"\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
"""What follows the mark of a pickle in files of `torch.save` before its version 1.6."""
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


class _Refused(Exception):
    """What a file does that none may, as the rest of a sentence."""


@dataclass(eq=False)
class Record:
    """An object of a class that is not here."""

    name: str
    """Its module and class."""
    arguments: tuple[Any, ...] = ()
    state: Any = None


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A pickled torch module as plain data."""

    name: str
    """Its class, with the module that it was defined in where the file has that."""
    arguments: Mapping[str, Any]
    """The named arguments that it was made with, where its tool keeps them."""
    weights: Mapping[str, Tensor]
    """Parameters and buffers under the names of a state dict."""


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle names, as "module name"."""

    path: str

    def __str__(self) -> str:
        return self.path[:MOST_CHARACTERS].replace(" ", ".")


class _Budget:
    """What reading a file may still take."""

    def __init__(self, length: int) -> None:
        self.bytes, self.steps = MOST_COPIES * length, MOST_STEPS

    def take_bytes(self, count: int) -> None:
        """Allow so many bytes of storages, tensors and texts."""
        self.bytes -= count
        if count < 0 or self.bytes < 0:
            raise _Refused("claims more values than it has bytes")

    def take_steps(self, count: int = 1) -> None:
        """Allow so many operations."""
        self.steps -= count
        if self.steps < 0:
            raise _Refused(f"takes more than {MOST_STEPS:,} operations to read")


def read_checkpoint(path: Path) -> Any:
    """What is in a checkpoint: a zip or an old file of `torch.save`, or a bare pickle, told by its first bytes.

    Containers come as dict, list, tuple and set, parameters as tensors, and modules in the outermost dict as
    `StoredNetwork`s. Raises a `UserError` that names the file if it cannot be read, is damaged or cut short, or asks
    for anything that no checkpoint needs.
    """
    try:
        data = read_file(path, MOST_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        content = _content(data, _Budget(len(data)))
        return {key: _as_network(value) for key, value in content.items()} if isinstance(content, dict) else content
    except _Refused as refused:
        raise UserError(f"{path} is not read: it {printable(str(refused))}") from None
    except Exception as error:  # of damaged or hostile bytes, readers raise anything
        reason = printable(first_line(error))[:MOST_CHARACTERS]
        raise UserError(f"{path} is no checkpoint, or is damaged ({reason}): download it again") from None


def _content(data: bytes, budget: _Budget) -> Any:
    if data.startswith(b"PK"):
        return _of_zip(data, budget)
    if data[2:].startswith(_OLD_FILE):
        return _of_old_file(data, budget)
    return _run(BytesIO(data), budget, load_bytes=lambda inner: _of_old_file(inner, budget))


def _of_zip(data: bytes, budget: _Budget) -> Any:
    """The file of `torch.save` since its version 1.6: a pickle, and every storage as a member."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        check_packing(archive, len(data))
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise _Refused("is a zip, but none that torch writes")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise _Refused("has its numbers in big-endian order")
        storages = _Storages(budget, lambda key: archive.read(f"{root}data/{key}"))
        return _run(BytesIO(archive.read(pickles[0])), budget, storages)


def _of_old_file(data: bytes, budget: _Budget) -> Any:
    """The older file of `torch.save`, which pickled modules also hold their storages in.

    Five pickles (a magic number, a version, facts of the machine, the content, the keys of storages), then the storages.
    """
    if not data[2:].startswith(_OLD_FILE):
        raise _Refused("holds a file that is none of torch's")
    file = BytesIO(data[2 + len(_OLD_FILE) :])
    _, machine = (_run(file, budget) for _ in range(2))
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise _Refused("has its numbers in big-endian order")
    storages = _Storages(budget)
    content = _run(file, budget, storages)
    keys = [_key(key) for key in _of_type(list, _run(file, budget))]
    if len(keys) != len(storages.made) or set(keys) != set(storages.made):
        raise _Refused("lists other storages than it uses")
    for storage in map(storages.made.__getitem__, keys):
        if int.from_bytes(file.read(8), "little") != len(storage):
            raise _Refused("has a storage of another length than it says")
        _fill(storage, file.read(storage.nbytes))
    return content


class _Storages:
    """The storages that persistent ids name, each made once, as tensors of one dimension."""

    def __init__(self, budget: _Budget, read: Callable[[str], bytes] | None = None) -> None:
        self.budget, self.read = budget, read
        self.made: dict[Any, Tensor] = {}

    def __call__(self, kind: Any, dtype: Any, key: Any, location: Any, count: Any, view: Any = None) -> Tensor:
        """Make one, and fill it if there is something to `read` it with; else it is filled later."""
        if kind != "storage" or not isinstance(dtype, torch.dtype) or type(count) is not int or view is not None:
            raise _Refused("refers to something outside of it that is no storage")
        if _key(key) not in self.made:
            self.budget.take_bytes(count * dtype.itemsize)
            self.made[key] = torch.empty(count, dtype=dtype)
            if self.read:
                _fill(self.made[key], self.read(_of_type(str, key)))
        if self.made[key].dtype != dtype or len(self.made[key]) != count:
            raise _Refused("has a storage of two types or lengths")
        return self.made[key]


def _fill(storage: Tensor, raw: bytes) -> None:
    if len(raw) != storage.nbytes:
        raise _Refused("has a storage of another length than it says")
    if raw:
        storage.copy_(torch.frombuffer(bytearray(raw), dtype=storage.dtype))


def _run(
    file: BinaryIO,
    budget: _Budget,
    storages: _Storages | None = None,
    load_bytes: Callable[[bytes], Any] | None = None,
) -> Any:
    """Run one pickle, to its end and no further, and return what it builds.

    `load_bytes` reads a file within the file; without it there may be none.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, argument, _ in pickletools.genops(file):
        budget.take_steps()
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "INT" | "BININT" | "BININT1" | "BININT2" | "LONG" | "LONG1" | "LONG4":
                if argument.bit_length() > MOST_BITS:
                    raise _Refused(f"has a number of {argument.bit_length():,} bits")
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
                _of_type(list, stack[-1]).append(value)
            case "APPENDS":
                items = since_mark()
                _of_type(list, stack[-1]).extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _of_type(dict, stack[-1])[_key(key)] = value
            case "SETITEMS":
                items = since_mark()
                _of_type(dict, stack[-1]).update(zip(map(_key, items[::2]), items[1::2], strict=True))
            case "ADDITEMS":
                items = since_mark()
                _of_type(set, stack[-1]).update(map(_key, items))
            case "GLOBAL":
                stack.append(_named(argument))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_named(f"{_of_type(str, module)} {_of_type(str, name)}"))
            case "NEWOBJ":
                arguments, made = _of_type(tuple, stack.pop()), _of_type(_Name, stack.pop())
                stack.append({} if made.path in _DICTS and not arguments else Record(str(made), arguments))
            case "REDUCE":
                arguments, called = _of_type(tuple, stack.pop()), _of_type(_Name, stack.pop())
                if called.path not in _CALLS:
                    raise _Refused(f"asks for a call of {called}, which no checkpoint needs")
                if called.path == _LOAD_BYTES:
                    if load_bytes is None:
                        raise _Refused("holds a file within it where none belongs")
                    (inner,) = arguments
                    budget.take_bytes(len(_of_type(bytes, inner)))
                    stack.append(load_bytes(inner))
                else:
                    stack.append(_CALLS[called.path](budget, *arguments))
            case "BUILD":
                state = stack.pop()
                match stack[-1]:
                    case Record(state=None):
                        stack[-1].state = state
                    case dict() if isinstance(state, dict):  # attributes of one, such as the versions of its layers
                        pass
                    case other:
                        raise _Refused(f"changes a {type(other).__name__} in a way that no checkpoint needs")
            case "BINPERSID" if storages is not None:
                stack.append(storages(*_of_type(tuple, stack.pop())))
            case other:
                raise _Refused(f"uses the operation {other}, which no checkpoint needs")
    raise _Refused("has no end")


def _of_type(kind: type[Of], value: Any) -> Of:
    if type(value) is not kind:
        raise _Refused(f"has a {type(value).__name__} in place of a {kind.__name__}")
    return value


def _key(value: Any) -> Any:
    """A key of a dict or set: nothing that takes long to hash, or that collides with many others."""
    if not isinstance(value, str | bytes | int | None) or (isinstance(value, int) and value.bit_length() > 64):
        raise _Refused(f"has a {type(value).__name__} as a key")
    return value


def _named(path: str) -> Any:
    """What a module and a name in it stand for; nothing is imported."""
    if path in _VALUES:
        return _VALUES[path]
    if path not in _CALLS and not _CLASS.fullmatch(path):
        raise _Refused(f"asks for {_Name(path)}, which no checkpoint needs")
    return _Name(path)


def _tensor(budget: _Budget, storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    """A tensor that lies within its storage and has no more values than that."""
    sides = (offset, *_of_type(tuple, size), *_of_type(tuple, stride))
    plain = len(sides) <= 1 + 2 * MOST_SIDES and all(type(side) is int and side >= 0 for side in sides)
    if not isinstance(storage, Tensor) or len(size) != len(stride) or not plain:
        raise _Refused("has a tensor whose shape is none")
    count = prod(size)
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if count > len(storage) or (count and last >= len(storage)):
        raise _Refused("has a tensor that reaches beyond its storage")
    budget.take_bytes(count * storage.element_size())
    return storage.as_strided(size, stride, offset)


def _ordered_dict(budget: _Budget, *pairs: Any) -> dict[Any, Any]:
    """A dict of nothing, or of a list of pairs."""
    items = _of_type(list, pairs[0]) if pairs else []
    budget.take_steps(len(items))
    return {_key(key): value for key, value in items}


def _set(budget: _Budget, items: Any) -> set[Any]:
    budget.take_steps(len(_of_type(list, items)))
    return set(map(_key, items))


def _encoded(budget: _Budget, text: Any, encoding: Any) -> bytes:
    """The bytes that Python 3 writes as a text for older protocols."""
    budget.take_bytes(len(_of_type(str, text)))
    return text.encode("latin-1")


def _number(budget: _Budget, kind: Any, raw: Any) -> int | float:
    """A number of NumPy's, from the record of its type and its bytes."""
    code, order = _of_type(Record, kind).arguments[0], kind.state[1]
    if not (isinstance(code, str) and re.fullmatch("[bifu][1248]", code) and order in ("|", "<", ">")):
        raise _Refused("has a NumPy number whose type is none")
    (value,) = np.frombuffer(_of_type(bytes, raw), np.dtype(code).newbyteorder(order)).tolist()
    return value


def _persistent(budget: _Budget, meta: Any) -> Record:
    """A module of StyleGAN2-ADA. The text of its program, `module_src`, is dropped."""
    if _of_type(dict, meta).get("type") != "class":
        raise _Refused("holds something of StyleGAN2's that is no module")
    return Record(_of_type(str, meta["class_name"]), state=_of_type(dict, meta["state"]))


_LOAD_BYTES = "torch.storage _load_from_bytes"
_CALLS: dict[str, Callable[..., Any]] = {
    _LOAD_BYTES: _of_old_file,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": lambda budget, tensor, *rest: _of_type(Tensor, tensor),
    "torch Size": lambda budget, size: _of_type(tuple, size),
    "torch_utils.persistence _reconstruct_persistent_obj": _persistent,
    "collections OrderedDict": _ordered_dict,
    "builtins set": _set,
    "_codecs encode": _encoded,
    "numpy dtype": lambda budget, *arguments: Record("numpy.dtype", arguments),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):  # NumPy 1 and 2
    _CALLS[f"{_module} scalar"] = _number
    _CALLS[f"{_module} _reconstruct"] = lambda budget, *arguments: Record("numpy.ndarray", arguments)
"""What a pickle may call, by module and name."""


def _as_network(value: Any) -> Any:
    """A module as plain data; everything else as it is."""
    if not isinstance(value, Record) or not isinstance(value.state, dict) or "_modules" not in value.state:
        return value
    weights: dict[str, Tensor] = {}
    seen: set[int] = set()
    left: list[tuple[str, Any, int]] = [("", value, 0)]
    while left:
        prefix, module, depth = left.pop()
        state = _of_type(dict, _of_type(Record, module).state)
        if id(module) in seen or depth > MOST_DEPTH:
            raise _Refused("has a module twice, or modules within modules without end")
        seen.add(id(module))
        for kind in ("_parameters", "_buffers", "_modules"):
            for name, part in _of_type(dict, state.get(kind, {})).items():
                if len(_of_type(str, name)) > MOST_CHARACTERS:
                    raise _Refused("has a layer whose name is too long")
                if part is not None and kind == "_modules":
                    left.append((f"{prefix}{name}.", part, depth + 1))
                elif part is not None:
                    weights[prefix + name] = _of_type(Tensor, part)
    arguments = value.state.get("_init_kwargs", {})
    return StoredNetwork(value.name, _of_type(dict, arguments), weights)
