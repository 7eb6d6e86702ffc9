"""Files of the user: read only regular files of a sensible length, write whole files or nothing.

Opening a pipe or a device may wait for ever, and reading one may never end; a run folder or an image that somebody
hands on can be either. What is refused or set aside, here and by the readers of each kind:

- pictures: what Pillow cannot decode; no pixel, more than 80,000,000, or a side over 1,000,000; files over 256 MiB;
  animations of more than 2^28 pixels in all. Those over 8,000,000 pixels are decoded one at a time, so opening takes at
  most 1.5 GB beside the images in memory
- names: pipes, sockets, devices, links to themselves or into the kernel's file systems; more than 1,000 folders behind
  links. Invisible characters are written out in messages
- zips: names that lead out; members that claim more than deflate can pack (1,100 times), use another packing, overlap,
  are encrypted or damaged. Nothing is extracted
- CIFAR batches: any call but those of two stand-ins; labels over 999. Python's own unpickler runs them: ten bytes can
  make the one in C fill all memory
- checkpoints: members packed, twice or overlaid; wrong checksums; anything but containers, numbers, texts and whole
  tensors. Files of other tools (`.pth`, `.pkl`, `.pt`) likewise; every call that is not in a fixed table; tensors that
  fit no network, by name. TensorFlow's: missing or short parts, variables larger than the files
- weights: names or shapes other than `config.json` says; integers; values that are not finite
- `config.json`: descriptions that the weights do not fit. Networks are first built without memory, so a width of 10^9
  costs nothing
- cards, logs: fields of other types, values that are not finite; damaged lines of a log are left out
- settings: fields of another type, sizes that no run can have
- videos: what FFmpeg's readers of MP4, Matroska and AVI cannot read: play lists could open other files and addresses
"""

import errno
import hashlib
import json
import os
import stat
import tempfile
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from .errors import UserError, nearest, printable

MAX_TEXT_BYTES = 64 * 1024 * 1024
"""Longer descriptions, logs and cards are refused."""
NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EBADF})
"""What file systems answer that cannot write a folder down at once: they have their own way, or none."""


def cache_folder() -> Path:
    """What is kept between commands: ganshift in XDG_CACHE_HOME or ~/.cache; without a home, until the program ends."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ganshift"
    except RuntimeError:  # as the users of containers and batch systems may be
        return Path(_temporary().name)


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ganshift-")


def nearest_path(path: Path) -> str:
    """The question whether what lies beside a path, and is called nearly like it, was meant; nothing if nothing is."""
    try:
        beside = [entry.name for entry in path.parent.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return ""
    folder = "" if path.parent == Path() else f"{path.parent}{os.sep}"
    return nearest(printable(path.name), map(printable, beside), folder, cutoff=0.75)


def on_disk(path: Path) -> Path:
    """The path in the form of Unicode, composed or not, in which something is there; else as it is."""
    forms = (path, *(Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD")))
    return next((form for form in forms if form.exists()), path)


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file for reading; an `OSError` at once, without waiting, if it is anything but a regular one."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def read_file(path: Path, most: int) -> bytes:
    """All bytes of a regular file of at most so many; else an `OSError`."""
    with open_regular(path) as file:
        length = os.fstat(file.fileno()).st_size
        if length > most:
            raise OSError(errno.EFBIG, f"too large: {length:,} bytes is more than {most:,}", str(path))
        return file.read(length)  # no more than it said: what the kernel makes up, under /proc, has no end


def read_text(path: Path) -> str:
    """A text of at most `MAX_TEXT_BYTES` in UTF-8; bytes that are none become replacement characters."""
    return read_file(path, MAX_TEXT_BYTES).decode("utf-8", "replace")


def json_bytes(value: Any) -> bytes:
    """JSON for people and programs. What of a file's name is no text becomes \\udc80 and the like, which JSON takes."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def write_atomically(path: Path, write: Callable[[Path], object], *, durable: bool = True) -> None:
    """Let `write` make the file beside its place, then move it there once it is safely on disk.

    Without `durable` it is whole or not there for other programs, but a power cut may leave anything: right for what
    can be made again.
    """
    beside = path.with_name(f".{path.name}.part")
    if len(os.fsencode(beside.name)) > 255:  # bytes, which is what nearly all file systems take
        beside = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.part")
    try:
        write(beside)
        if durable:
            _sync(beside)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):  # what went wrong first is what counts
            beside.unlink(missing_ok=True)
        raise
    if durable:
        try:
            _sync(path.parent)
        except OSError as error:
            if error.errno not in NO_FOLDER_SYNC:
                raise


def write_output(path: Path, content: bytes) -> Path:
    """Write what a command was asked for, with its folders; a `UserError` says why it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda beside: beside.write_bytes(content), durable=False)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
