"""Files of `torch.save`, and pickles of whole modules, read as plain data; never unpickled freely (`pickles`)."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from torch import Tensor

from ..files import open_regular
from .pickles import (
    MOST_CHARACTERS,
    WHOLE_MODEL,
    Budget,
    Record,
    RefusedError,
    Storages,
    fill,
    key_of,
    of_type,
    run_pickle,
)

ZIP_START = b"PK\x03\x04"
OLD_START = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
"""How files begin that torch wrote before 1.6: a pickle of a magic number."""
MOST_DEPTH = 64
"""Modules within one another."""


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A pickled module of torch as plain data."""

    name: str
    """Its class, behind the module that it was defined in where the file says that."""
    weights: Mapping[str, Tensor]
    """Parameters and buffers under the names of a state dict."""
    settings: Mapping[str, str | int | float | None]
    """What else its layers say of themselves in numbers and words, under names like those."""


def read_torch(path: Path) -> Any:
    """What a file of `torch.save` holds: containers, tensors on the CPU, numbers and texts.

    Whatever is wrong with it raises an error of some kind: a `RefusedError` if it asks for anything else.
    """
    with open_regular(path) as file:
        budget = Budget(os.fstat(file.fileno()).st_size)
        is_old = file.read(len(OLD_START)) == OLD_START
        file.seek(0)
        content = _of_old_file(file, budget) if is_old else _of_zip(file, budget)
    if isinstance(content, Record):
        raise RefusedError(WHOLE_MODEL)
    return content


def read_pickled_modules(path: Path) -> dict[Any, Any]:
    """A pickled dict in which modules of torch became `StoredNetwork`s; the errors are those of `read_torch`."""
    with open_regular(path) as file:
        budget = Budget(os.fstat(file.fileno()).st_size)
        calls = {
            "torch.storage _load_from_bytes": _of_bytes,
            "torch_utils.persistence _reconstruct_persistent_obj": _persistent,
        }
        content = of_type(dict, run_pickle(file, budget, further_calls=calls))
        return {key: _as_network(value, budget) for key, value in content.items()}


def _of_zip(file: BinaryIO | BytesIO, budget: Budget) -> Any:
    """The file of torch since 1.6: a pickle, and every storage as a member."""
    with zipfile.ZipFile(file) as archive:
        _check_archive(archive, budget)
        pickles = [name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise RefusedError("is a zip, but none that torch writes")
        root = pickles[0].removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise RefusedError("has its numbers in big-endian order")
        storages = Storages(budget, lambda key: archive.read(f"{root}data/{key}"))
        return run_pickle(BytesIO(archive.read(pickles[0])), budget, storages)


def _check_archive(archive: zipfile.ZipFile, budget: Budget) -> None:
    """Refuse what torch does not write, what could unpack to more than the file, and what was changed."""
    members = archive.infolist()
    names = {member.filename for member in members}
    is_stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    if not is_stored or len(names) < len(members) or sum(member.file_size for member in members) > budget.length:
        raise RefusedError("is not packed as torch packs")
    broken = archive.testzip()
    if broken:
        raise RefusedError(f"has a wrong checksum of {broken[:MOST_CHARACTERS]}")


def _of_old_file(file: BinaryIO | BytesIO, budget: Budget) -> Any:
    """The older file of torch, in which pickled modules also keep their storages.

    Five pickles (a magic number, a version, facts of the machine, the content, the keys of storages), and the storages.
    """
    if file.read(len(OLD_START) + 1) != OLD_START + b".":
        raise RefusedError("holds a file that is none of torch's")
    _, machine = (run_pickle(file, budget) for _ in range(2))
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise RefusedError("has its numbers in big-endian order")
    storages = Storages(budget)
    content = run_pickle(file, budget, storages)
    keys = [key_of(key) for key in of_type(list, run_pickle(file, budget))]
    if len(keys) != len(storages.made) or set(keys) != set(storages.made):
        raise RefusedError("lists other storages than it uses")
    for storage in map(storages.made.__getitem__, keys):
        if int.from_bytes(file.read(8), "little") != len(storage):
            raise RefusedError("has a storage of another length than it says")
        fill(storage, file.read(storage.nbytes))
    return content


def _of_bytes(budget: Budget, raw: Any) -> Any:
    """A file within the file: there is none in it."""
    budget.take_bytes(len(of_type(bytes, raw)))
    return _of_old_file(BytesIO(raw), budget)


def _persistent(budget: Budget, meta: Any) -> Record:
    """A module of StyleGAN2-ADA. The text of its program, `module_src`, is dropped."""
    if of_type(dict, meta).get("type") != "class":
        raise RefusedError("holds something of StyleGAN2's that is no module")
    return Record(of_type(str, meta["class_name"]), state=of_type(dict, meta["state"]))


def _as_network(value: Any, budget: Budget) -> Any:
    """A module as plain data; everything else as it is."""
    if not isinstance(value, Record) or not isinstance(value.state, dict) or "_modules" not in value.state:
        return value
    weights: dict[str, Tensor] = {}
    settings: dict[str, str | int | float | None] = {}
    seen: set[int] = set()
    left: list[tuple[str, Any, int]] = [("", value, 0)]
    while left:
        prefix, module, depth = left.pop()
        state = of_type(dict, of_type(Record, module).state)
        if id(module) in seen or depth > MOST_DEPTH:
            raise RefusedError("has a module twice, or modules within modules without end")
        seen.add(id(module))
        for kind in ("_parameters", "_buffers", "_modules"):
            for name, part in of_type(dict, state.get(kind, {})).items():
                full_name = _name_within(prefix, name, budget)
                if part is not None and kind == "_modules":
                    left.append((f"{full_name}.", part, depth + 1))
                elif part is not None:
                    weights[full_name] = of_type(Tensor, part)
        for name, setting in state.items():
            if isinstance(setting, str | int | float | None):
                settings[_name_within(prefix, name, budget)] = setting
    return StoredNetwork(value.name, weights, settings)


def _name_within(prefix: str, name: Any, budget: Budget) -> str:
    """A name of a state dict: one more operation, since a file may have one part of a module in many."""
    budget.take_steps()
    if len(prefix) + len(of_type(str, name)) > MOST_CHARACTERS:
        raise RefusedError("has a layer whose name is too long")
    return prefix + name
