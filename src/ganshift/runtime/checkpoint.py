"""Complete training states on disk: written whole or not at all, checked when read, never unpickled freely."""

import logging
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError

FORMAT = 1
"""Version of the checkpoint's layout; raised when an older reader would misread a newer file."""

log = logging.getLogger("ganshift")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file beside its place, then move it there once it is safely on disk."""
    beside = path.with_name(f".{path.name}.part")
    try:
        write(beside)
        _sync(beside)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def save(folder: Path, images: int, state: dict[str, Any], keep: int) -> Path:
    """Write the state after `images` images and delete all but the newest `keep` checkpoints."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{images:012d}.pt"
    content = {"format": FORMAT, "images": images, **state}
    write_atomically(path, lambda beside: torch.save(content, beside))
    for old in _newest_first(folder)[keep:]:
        old.unlink()
    return path


def load_latest(folder: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint that is whole, warning of damaged ones; None when there are no checkpoints at all."""
    paths = _newest_first(folder)
    for path in paths:
        try:
            return _load(path)
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as e:
            log.warning("checkpoint %s is damaged (%s): falling back to the one before", path, _first_line(e))
    if paths:
        raise UserError(f"all {len(paths)} checkpoints in {folder} are damaged: delete that folder to start again")
    return None


def _load(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()  # torch.load would read flipped bits without complaint
    if broken:
        raise ValueError(f"wrong checksum of {broken}")
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if content["format"] != FORMAT:
        raise UserError(f"{path} has checkpoint format {content['format']}, this version reads {FORMAT}")
    return content


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.pt"), reverse=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
