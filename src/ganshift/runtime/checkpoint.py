"""Complete training states on disk: written whole or not at all, checked when read, never unpickled freely."""

import errno
import logging
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError, first_line

FORMAT = 1
"""Version of the checkpoint's layout; raised when an older reader would misread a newer file."""

logger = logging.getLogger("ganshift")


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


def save(folder: Path, images: int, state: dict[str, Any], keep: int, healthy_at: int | None = None) -> Path:
    """Write the state after `images` images and delete all but the newest `keep` checkpoints.

    The newest one of at most `healthy_at` images, if that is said, is kept too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{images:012d}.pt"
    content = {"format": FORMAT, "images": images, **state}
    write_atomically(path, lambda beside: _write(beside, content))
    healthy = newest_of(folder, healthy_at) if healthy_at is not None else None
    for old in [*_newest_first(folder)[keep:], *folder.glob(".*.part")]:  # a part is what a killed run left
        if old != healthy:
            old.unlink()
    return path


def newest_of(folder: Path, most: int) -> Path | None:
    """The newest checkpoint of at most so many images, if there is one."""
    return next((path for path in _newest_first(folder) if int(path.stem) <= most), None)


def drop_after(folder: Path, path: Path) -> None:
    """Delete the checkpoints that are newer than this one, the newest first, so that a kill leaves none between."""
    for newer in _newest_first(folder):
        if newer.name <= path.name:
            return
        newer.unlink()


def load_latest(folder: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint that is whole, warning of damaged ones; None when there are no checkpoints at all."""
    paths = _newest_first(folder)
    damaged: list[Path] = []
    for path in paths:
        try:
            content = _load(path)
            for bad in damaged:  # out of the way, or it would count as the newest when old ones are deleted
                bad.replace(bad.with_suffix(".damaged"))
            return content
        except UserError:
            raise
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError) as e:
            logger.warning("checkpoint %s is damaged (%s): falling back to the one before", path, first_line(e))
            damaged.append(path)
    if paths:
        raise UserError(f"all {len(paths)} checkpoints in {folder} are damaged: delete that folder to start again")
    return None


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        torch.save(content, path)
    except RuntimeError as error:  # torch's zip writer loses the system's own error, such as a full disk
        if "inline_container" in str(error) or "PytorchStreamWriter" in str(error):
            raise OSError(errno.EIO, "a checkpoint could not be written whole (is the disk full?)") from error
        raise


def _load(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()  # torch.load would read flipped bits without complaint
    if broken:
        raise ValueError(f"wrong checksum of {broken}")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict) or not {"format", "images"} <= content.keys():
        raise ValueError("it holds something else")
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
