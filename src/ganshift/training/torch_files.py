"""Files of `torch.save`, read as tensors, containers, numbers and texts; never unpickled freely."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ..files import open_regular

ZIP_START = b"PK\x03\x04"
OLD_START = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")
"""How files begin that torch wrote before 1.6: a pickle of a magic number."""


def read_torch(path: Path) -> Any:
    """What a file holds, whole and on the CPU; whatever is wrong with it raises an error of some kind."""
    with open_regular(path) as file:
        if file.read(len(OLD_START)) != OLD_START:
            _check_archive(file, path.stat().st_size)
        file.seek(0)
        content = torch.load(file, map_location="cpu", weights_only=True)
    _check_plain(content)
    return content


def _check_archive(file: BinaryIO, length: int) -> None:
    """Refuse what torch does not write, what could unpack to more than the file, and what was changed."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        names = {member.filename for member in members}
        is_stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
        if not is_stored or len(names) < len(members) or sum(member.file_size for member in members) > length:
            raise ValueError("it is not packed as torch packs")
        broken = archive.testzip()  # torch.load would read flipped bits without complaint
    if broken:
        raise ValueError(f"wrong checksum of {broken}")


def _check_plain(content: Any) -> None:
    """Refuse anything but containers, numbers, texts and tensors that have all their values in memory."""
    seen: set[int] = set()  # each is looked at once: lists that hold one another double at every level
    left = [content]
    while left:
        value = left.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Mapping):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list | tuple):
            left += value
        elif isinstance(value, torch.Tensor):
            whole = value.layout == torch.strided and value.device.type == "cpu"
            if not whole or value.numel() * value.element_size() > value.untyped_storage().nbytes():
                raise ValueError("it holds a tensor of values that it has not")
        elif not isinstance(value, str | int | float | None):
            raise ValueError(f"it holds a {type(value).__name__}")
