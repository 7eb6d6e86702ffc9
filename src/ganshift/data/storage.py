"""Where files come from: a folder, or a zip that is read in place; both are a list of names and a way to read one."""

import os
import stat
import struct
import unicodedata
import zipfile
import zlib
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64

from ..errors import UserError, first_line
from ..files import open_regular
from .images import MAX_FILE_BYTES, UnreadableImage

MAX_LINKED_FOLDERS = 1000
"""So many folders are entered by way of links; a few folders with links to one another are a maze of any size."""
MAX_RATIO = 1100
"""Zip members that claim to unpack to more times their size are refused: deflate cannot, whatever is packed."""
SYSTEM_FOLDERS = frozenset(
    {
        *("__macosx", "$recycle.bin", "recycler", "system volume information", "lost+found", "found.000"),
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "network trash folder"),
    }
)
"""Folders that systems and network drives make, in lower case: their pictures are thumbnails and deleted ones."""
RUN_FILES = frozenset({"config.json", ".lock"})
"""What a folder that we train in holds (`training.run_folder`): below the folder that was given, it is no input."""

_ENCRYPTED = -1  # in place of a way of packing
_FARTHEST = 2**63 - 1  # a zip may claim more
_MEMBER = struct.Struct("<4s22x2H")
_CHUNK = 64 * 1024  # bytes read beside what is wanted


class Listing(NamedTuple):
    """The files of a place."""

    names: tuple[str, ...]
    """All of them, sorted, except hidden ones and those of systems; in Unicode's composed form, NFC."""
    spans: Int64[np.ndarray, "n ..."]
    """A row of numbers for each, which tells the storage where it lies."""
    other_names: Mapping[str, str]
    """What files of the whole place are called by the system, where that differs."""


class Storage(ABC):
    """Files below one place, under sorted relative names with forward slashes; it can be pickled."""

    def __init__(self, path: Path, listing: "Listing | None" = None, prefix: str = ""):
        """Give a listing to list nothing: that of the part below the prefix."""
        self.path = path
        """The folder, or the zip."""
        self.prefix = prefix
        """What `below` has cut off the names."""
        self.where = f"{path}/{prefix}".rstrip("/") if prefix else str(path)
        """The place as the user would write it, for messages."""
        self.classes: Mapping[str, str] | None = None
        """The class of each file by its name in `root`, where what holds the files says it."""
        self._whole: Storage | None = None
        self.names, self.spans, self.other_names = _listing_of(self._list()) if listing is None else listing

    @property
    def root(self) -> "Storage":
        """The whole, of which `below` has taken parts."""
        return self._whole or self

    @abstractmethod
    def _list(self) -> Mapping[str, tuple[int, ...]]:
        """Names of all files, as they are called there, each with its row of `Listing.spans`."""

    def below(self, prefix: str) -> "Storage":
        """The part whose names begin with the prefix, which ends in a slash and is cut off them."""
        part = type(self).__new__(type(self))
        part.__dict__.update(self.__dict__)  # what is open is shared
        part._whole = self.root
        part.where, part.prefix = f"{self.where}/{prefix}".rstrip("/"), self.prefix + prefix
        inside = self._below(prefix)
        part.names = tuple(name.removeprefix(prefix) for name in self.names[inside])
        part.spans = self.spans[inside]
        return part

    def _below(self, prefix: str) -> slice:
        """Where the names that begin so are: side by side, since all are sorted."""
        first = bisect_left(self.names, prefix)
        return slice(first, bisect_right(self.names, prefix, first, key=lambda name: name[: len(prefix)]))

    def tops(self) -> Iterator[tuple[str | None, tuple[str, ...]]]:
        """Each folder at the top with the names of all files below it, and each file there, without a folder."""
        first = 0
        while first < len(self.names):
            folder, slash, _ = self.names[first].partition("/")
            names = self._below(folder + slash) if slash else slice(first, first + 1)
            yield folder if slash else None, self.names[names]
            first = names.stop

    def span(self, name: str) -> list[int]:
        """The row of `Listing.spans` of a file."""
        index = bisect_left(self.names, name)
        if self.names[index : index + 1] != (name,):
            raise KeyError(f"there is no {name}")
        row: list[int] = self.spans[index].tolist()
        return row

    @abstractmethod
    def num_bytes(self, name: str) -> int:
        """Length of the file when read."""

    @abstractmethod
    def read_bytes(self, name: str, limit: int) -> bytes:
        """The first `limit` bytes."""

    def read(self, name: str, limit: int = MAX_FILE_BYTES) -> bytes:
        """The file, or its first `limit` bytes; `UnreadableImage` if it is too long or cannot be read at all."""
        try:
            if (length := self.num_bytes(name)) > MAX_FILE_BYTES:
                raise UnreadableImage(f"too large: {length:,} bytes is more than {MAX_FILE_BYTES:,}")
            return self.read_bytes(name, limit)
        except (UnreadableImage, MemoryError):
            raise
        except Exception as error:  # a damaged, encrypted or oddly compressed zip member has no error type of its own
            reason = getattr(error, "strerror", None) or first_line(error)
            raise UnreadableImage(f"cannot be read ({' '.join(reason.split())[:80]})") from error


class Folder(Storage):
    """Files of a folder and of all folders below it but runs, following links but never in circles."""

    def _list(self) -> Mapping[str, tuple[int, ...]]:
        return {prefix + entry.name: () for prefix, entries in walk(self.path) for entry in entries}

    def num_bytes(self, name: str) -> int:
        """See `Storage`; what is no regular file is refused, since opening a pipe or a device may wait for ever."""
        found = os.stat(self._file(name))  # noqa: PTH116 - see there
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableImage("not a regular file")
        return found.st_size

    def read_bytes(self, name: str, limit: int) -> bytes:
        """See `Storage`."""
        with open_regular(self._file(name)) as file:
            # No more than the length: files that the kernel makes up have none, and reading some of them waits.
            return file.read(min(limit, os.fstat(file.fileno()).st_size))

    def on_disk(self, name: str) -> Path:
        """The file of this name."""
        return Path(self._file(name))

    def _file(self, name: str) -> str:
        """The same, without a `Path`, which takes as long to make as the file to open."""
        return f"{self.path}/{self.other_names.get(self.prefix + name, self.prefix + name)}"


def walk(path: Path) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """The files of a `Folder`, folder by folder; always in one order.

    Those that cannot be read are among them, for their reader to be told why.
    """
    linked = 0
    left: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while left:  # no recursion: folders can be nested deeper than Python can call
        prefix, above = left.pop()
        folder = path / prefix
        try:
            status = folder.stat()
            entries = sorted(os.scandir(folder), key=attrgetter("name"))
        except OSError as error:
            raise UserError(f"{folder} cannot be listed ({error.strerror}); change its permissions") from error
        identity = (status.st_dev, status.st_ino)
        if identity in above:  # a link back to a folder we are in
            continue
        if prefix and {entry.name for entry in entries} >= RUN_FILES:  # its sample grids are pictures, too
            continue
        files = []
        for entry in entries:
            if is_hidden(entry.name):
                continue
            if not _is_folder(entry):
                files.append(entry)
                continue
            linked += entry.is_symlink()
            if linked > MAX_LINKED_FOLDERS:
                raise UserError(f"links below {path} lead to more than {MAX_LINKED_FOLDERS:,} folders; remove some")
            left.append((f"{prefix}{entry.name}/", above | {identity}))
        yield prefix, files


class Packed(Storage):
    """Files within one file."""

    _open_file: "_OpenFile | None" = None

    def source(self) -> Path:
        """The file that is read."""
        return self.path

    def read_at(self, begin: int, length: int) -> bytes:
        """So many bytes from there on, or what there is of them."""
        if self._open_file is None or self._open_file.process != os.getpid():
            self._open_file = _OpenFile(self.source())
        return self._open_file.read_at(begin, length)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open_file": None}


class _OpenFile:
    """For the threads of one process: a forked worker would share its parent's position in the file."""

    def __init__(self, path: Path):
        self.process = os.getpid()
        self._file = open_regular(path)
        self._lock = Lock()

    def read_at(self, begin: int, length: int) -> bytes:
        with self._lock:
            self._file.seek(begin)
            return self._file.read(length)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


class Archive(Packed):
    """Members of a zip. Nothing is ever extracted to disk. Members are read without the directory of the zip."""

    def _list(self) -> Mapping[str, tuple[int, ...]]:
        """Begin, packed and unpacked bytes, way of packing and checksum; old programs of Windows write backslashes."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                listed = archive.infolist()
            packed = sum(member.compress_size for member in listed)
            if packed > self.path.stat().st_size:  # members that share their bytes, to unpack to any size in all
                raise zipfile.BadZipFile("its members overlap")
        except Exception as error:  # a damaged directory makes zipfile raise anything
            raise UserError(f"{self.path} is a damaged zip ({first_line(error)}); download or pack it again") from error
        members = {member.filename.replace("\\", "/"): member for member in listed}
        return {
            name: (
                *(min(member.header_offset, _FARTHEST), member.compress_size, min(member.file_size, _FARTHEST)),
                *(_ENCRYPTED if member.flag_bits & 1 else member.compress_type, member.CRC),
            )
            for name, member in members.items()
            if not name.endswith("/") and not any(map(is_hidden, name.split("/")))
        }

    def num_bytes(self, name: str) -> int:
        """What the zip claims; no more than this is ever unpacked."""
        _, packed, length, method, _ = self.span(name)
        if not {"", ".."}.isdisjoint(f"{self.prefix}{name}".split("/")):
            raise UnreadableImage("its name leads out of the zip")
        if method == _ENCRYPTED:
            raise UnreadableImage("encrypted: pack it again without a password")
        if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a limit
            raise UnreadableImage("packed in an unusual way: pack it again with deflate, as all programs do by default")
        if length > MAX_RATIO * max(packed, 1):
            raise UnreadableImage(f"claims to unpack to more than {MAX_RATIO:,} times its size")
        return length

    def read_bytes(self, name: str, limit: int) -> bytes:
        """See `Storage`; a member has a head of 30 bytes, its name and a note, whose lengths are at the head's end."""
        begin, packed, length, method, checksum = self.span(name)
        mark, name_bytes, note_bytes = _MEMBER.unpack(self.read_at(begin, _MEMBER.size))
        if mark != b"PK\3\4":
            raise zipfile.BadZipFile("no member where the directory says")
        wanted = min(length, limit)
        content = self.read_at(begin + _MEMBER.size + name_bytes + note_bytes, min(packed, 2 * wanted + _CHUNK))
        if method == zipfile.ZIP_DEFLATED:  # a byte is never packed into two
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, max(wanted, 1))
        content = content[:wanted]
        if len(content) < wanted or (wanted == length and zlib.crc32(content) != checksum):
            raise zipfile.BadZipFile("truncated or changed: its checksum is another")
        return content


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not for us: hidden by its dot, or a system's own."""
    return (name.startswith(".") and name != "..") or name.lower() in SYSTEM_FOLDERS


def _listing_of(listed: Mapping[str, tuple[int, ...]]) -> Listing:
    """Sorted, under names in NFC; of two files whose names differ in form alone, one keeps its own."""
    files = {name: name for name in listed if unicodedata.is_normalized("NFC", name)}
    for name in sorted(name for name in listed if name not in files):
        composed = unicodedata.normalize("NFC", name)
        files[name if composed in files else composed] = name
    names = tuple(sorted(files))
    spans = np.array([listed[files[name]] for name in names], np.int64)
    return Listing(names, spans, {name: other for name, other in files.items() if name != other})
