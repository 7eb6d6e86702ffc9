"""Where files come from: a folder, or a zip that is read in place; both are a list of names and a way to read one."""

import os
import stat
import unicodedata
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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


class Storage(ABC):
    """Files below one place, under sorted relative names with forward slashes; it can be pickled."""

    def __init__(self, path: Path):
        self.path = path
        """The folder, or the zip."""
        self.prefix = ""
        """What `below` has cut off the names."""
        self.where = str(path)
        """The place as the user would write it, for messages."""
        self.classes: Mapping[str, str] | None = None
        """The class of each file by its name in `root`, where what holds the files says it."""
        self._whole: Storage | None = None
        self._files = _composed(self._list())
        self.names = tuple(sorted(self._files))
        """All files below, except hidden ones and those of systems; in Unicode's composed form, NFC."""

    @property
    def root(self) -> "Storage":
        """The whole, of which `below` has taken parts."""
        return self._whole or self

    @abstractmethod
    def _list(self) -> Mapping[str, str]:
        """Names of all files, with what they are called there."""

    def below(self, prefix: str) -> "Storage":
        """The part whose names begin with the prefix, which ends in a slash and is cut off them."""
        part = type(self).__new__(type(self))
        part.__dict__.update(self.__dict__)  # what is open is shared
        part._whole = self.root
        part.where, part.prefix = f"{self.where}/{prefix}".rstrip("/"), self.prefix + prefix
        part.names = tuple(name.removeprefix(prefix) for name in self.names if name.startswith(prefix))
        return part

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

    def _list(self) -> Mapping[str, str]:
        """What cannot be looked into stays in the list, for whoever reads it to be told why."""
        names: list[str] = []
        linked = 0
        left: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while left:  # no recursion: folders can be nested deeper than Python can call
            prefix, above = left.pop()
            folder = self.path / prefix
            try:
                status = folder.stat()
                entries = list(os.scandir(folder))
            except OSError as error:
                raise UserError(f"{folder} cannot be listed ({error.strerror}); change its permissions") from error
            identity = (status.st_dev, status.st_ino)
            if identity in above:  # a link back to a folder we are in
                continue
            if prefix and {entry.name for entry in entries} >= RUN_FILES:  # its sample grids are pictures, too
                continue
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                if not _is_folder(entry):
                    names.append(prefix + entry.name)
                    continue
                linked += entry.is_symlink()
                if linked > MAX_LINKED_FOLDERS:
                    raise UserError(
                        f"links below {self.path} lead to more than {MAX_LINKED_FOLDERS:,} folders; take some away"
                    )
                left.append((f"{prefix}{entry.name}/", above | {identity}))
        return {name: name for name in names}

    def num_bytes(self, name: str) -> int:
        """See `Storage`; what is no regular file is refused, since opening a pipe or a device may wait for ever."""
        found = self.on_disk(name).stat()
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableImage("not a regular file")
        return found.st_size

    def read_bytes(self, name: str, limit: int) -> bytes:
        """See `Storage`."""
        with open_regular(self.on_disk(name)) as file:
            # No more than the length: files that the kernel makes up have none, and reading some of them waits.
            return file.read(min(limit, os.fstat(file.fileno()).st_size))

    def on_disk(self, name: str) -> Path:
        """The file of this name."""
        return self.path / self._files.get(self.prefix + name, self.prefix + name)


class Archive(Storage):
    """Members of a zip. Nothing is ever extracted to disk."""

    _opened: tuple[int, zipfile.ZipFile] | None = None
    """The process that opened the zip, and the open zip."""

    def _list(self) -> Mapping[str, str]:
        """Old programs of Windows write backslashes between folders."""
        try:
            listed = self._zip().infolist()
            packed = sum(member.compress_size for member in listed)
            if packed > self.path.stat().st_size:  # members that share their bytes, to unpack to any size in all
                raise zipfile.BadZipFile("its members overlap")
        except Exception as error:  # a damaged directory makes zipfile raise anything
            raise UserError(f"{self.path} is a damaged zip ({first_line(error)}); download or pack it again") from error
        names = {member.filename.replace("\\", "/"): member.filename for member in listed}
        return {
            name: real
            for name, real in names.items()
            if not name.endswith("/") and not any(map(is_hidden, name.split("/")))
        }

    def num_bytes(self, name: str) -> int:
        """What the zip claims; no more than this is ever unpacked."""
        member = self._zip().getinfo(self._files[self.prefix + name])
        if any(part in ("", "..") for part in f"{self.prefix}{name}".split("/")):
            raise UnreadableImage("its name leads out of the zip")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others unpack without a limit
            raise UnreadableImage("packed in an unusual way: pack it again with deflate, as all programs do by default")
        if member.file_size > MAX_RATIO * max(member.compress_size, 1):
            raise UnreadableImage(f"claims to unpack to more than {MAX_RATIO:,} times its size")
        return member.file_size

    def read_bytes(self, name: str, limit: int) -> bytes:
        """See `Storage`."""
        with self._zip().open(self._files[self.prefix + name]) as member:
            return member.read(limit)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}

    def _zip(self) -> zipfile.ZipFile:
        # A forked worker inherits the file position of its parent's handle, so each process opens its own.
        if self._opened is None or self._opened[0] != os.getpid():
            self._opened = (os.getpid(), zipfile.ZipFile(self.path))
        return self._opened[1]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is not for us: hidden by its dot, or a system's own."""
    return (name.startswith(".") and name != "..") or name.lower() in SYSTEM_FOLDERS


def _composed(listed: Mapping[str, str]) -> dict[str, str]:
    """The same names in NFC, whichever form the system writes; of two files that differ in form alone, one keeps it."""
    files = {name: real for name, real in listed.items() if unicodedata.is_normalized("NFC", name)}
    for name, real in sorted(listed.items()):
        composed = unicodedata.normalize("NFC", name)
        files.setdefault(name if composed in files and files[composed] != real else composed, real)
    return files
