"""Tar archives, read in place; one that is packed by gzip is unpacked into a temporary file first."""

import gzip
import os
import re
import tarfile
import tempfile
import weakref
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files import open_regular
from .images import UnreadableImage
from .storage import Listing, Packed, is_hidden

TAR = re.compile(r"\.(tar|tgz|tar\.gz)$", re.IGNORECASE)
"""How the names of tar archives end."""
MAX_RATIO = 64
"""Pictures hardly shrink in gzip: what unpacks to more times its size is refused."""
_CHUNK = 1 << 20  # bytes unpacked at once
_NO_FILE = -1  # in place of a length


class Tar(Packed):
    """Members of a tar. Links in it are never followed."""

    def __init__(self, path: Path, listing: Listing | None = None, prefix: str = ""):
        self._kept: _TemporaryFile | None = None
        self._plain = path
        super().__init__(path, listing, prefix)

    def _list(self) -> Mapping[str, tuple[int, ...]]:
        """Begin and length; no length for what is no ordinary file."""
        members: dict[str, tuple[int, ...]] = {}
        try:
            if self.path.suffix.lower() != ".tar":
                status = self.path.stat()
                self._kept = _unpacked(self.path, status.st_size, status.st_mtime_ns)
                self._plain = self._kept.path
            with open_regular(self._plain) as file, tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if not member.isdir() and not any(map(is_hidden, name.split("/"))):
                        is_plain = member.isreg() and member.sparse is None
                        members[name] = (member.offset_data, member.size if is_plain else _NO_FILE)
                    archive.members.clear()  # type: ignore[attr-defined]  # or else it keeps them all
        except Exception as error:  # a damaged head makes tarfile raise anything
            raise UserError(
                f"{self.path} is a damaged tar ({first_line(error)}); download or pack it again, or unpack it yourself"
            ) from error
        return members

    def source(self) -> Path:
        """See `Packed`."""
        return self._plain

    def num_bytes(self, name: str) -> int:
        """See `Storage`."""
        if not {"", ".."}.isdisjoint(f"{self.prefix}{name}".split("/")):
            raise UnreadableImage("its name leads out of the tar")
        if (length := self.span(name)[1]) == _NO_FILE:
            raise UnreadableImage("a link, or no ordinary file")
        return length

    def read_bytes(self, name: str, limit: int) -> bytes:
        """See `Storage`."""
        begin, length = self.span(name)
        return self.read_at(begin, min(length, limit))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_kept": None}


class _TemporaryFile:
    """A path to write to; the file goes with the last that holds this, or with the program."""

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix="ganshift-", suffix=".tar")
        os.close(descriptor)
        self.path = Path(name)
        weakref.finalize(self, self.path.unlink, missing_ok=True)


@lru_cache(maxsize=2)
def _unpacked(path: Path, num_bytes: int, changed: int) -> _TemporaryFile:
    """What gzip has packed into the file of this length and age."""
    unpacked = _TemporaryFile()
    with gzip.open(path) as packed, unpacked.path.open("wb") as out:
        while chunk := packed.read(_CHUNK):
            if out.tell() + len(chunk) > MAX_RATIO * max(num_bytes, _CHUNK):
                raise ValueError(f"it unpacks to more than {MAX_RATIO} times its size")
            out.write(chunk)
    return unpacked
