"""Complete training states on disk: written whole or not at all, checked when read, never unpickled freely."""

import errno
import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import UserError, first_line
from ..files import write_atomically
from .torch_files import read_torch

FORMAT = 1
"""Version of the checkpoint's layout; raised when an older reader would misread a newer file."""

logger = logging.getLogger("ganshift")


def packed(images: int, state: dict[str, Any]) -> memoryview:
    """The file that `save` writes of a state, in memory: what becomes of the state later does not change it."""
    file = io.BytesIO()
    torch.save(_content(images, state), file)
    return file.getbuffer()


def save(
    folder: Path, images: int, state: dict[str, Any] | memoryview, keep: int, healthy_at: int | None = None
) -> Path:
    """Write the state after `images` images, packed or not, and delete all but the newest `keep` checkpoints.

    The newest one of at most `healthy_at` images, if that is said, is kept too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{images:012d}.pt"
    if isinstance(state, memoryview):
        write_atomically(path, lambda beside: beside.write_bytes(state))
    else:
        write_atomically(path, lambda beside: _write(beside, _content(images, state)))
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
        except Exception as error:  # hostile or damaged bytes make a reader raise anything
            logger.warning("checkpoint %s is damaged (%s): falling back to the one before", path, first_line(error))
            damaged.append(path)
    if paths:
        raise UserError(f"all {len(paths)} checkpoints in {folder} are damaged: delete that folder to start again")
    return None


def restore(parts: Mapping[str, Any], content: Mapping[str, Any], where: Path) -> None:
    """Give each part its state of a checkpoint; a `UserError` if it is the state of something else."""
    try:
        for name, part in parts.items():
            part.load_state_dict(content["state"][name])
        if not (isinstance(content["seconds"], float) and isinstance(content["budget"], int)):
            raise TypeError("its budget or its seconds are no numbers")
        if not all(isinstance(number, float) for pair in content["means"].values() for number in pair):
            raise TypeError("its means are no numbers")
    except Exception as error:  # what does not fit makes torch raise anything
        raise UserError(
            f"the checkpoint in {where} is of another run ({first_line(error)}): delete that folder to start again"
        ) from error


def _content(images: int, state: dict[str, Any]) -> dict[str, Any]:
    return {"format": FORMAT, "images": images, **state}


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        torch.save(content, path)
    except RuntimeError as error:  # torch's zip writer loses the system's own error, such as a full disk
        if "inline_container" in str(error) or "PytorchStreamWriter" in str(error):
            raise OSError(errno.EIO, "a checkpoint could not be written whole (is the disk full?)") from error
        raise


def _load(path: Path) -> dict[str, Any]:
    content = read_torch(path)
    if not isinstance(content, dict) or not {"format", "images"} <= content.keys():
        raise ValueError("it holds something else")
    if type(content["format"]) is not int or type(content["images"]) is not int or content["images"] < 0:
        raise ValueError("its counts are none")
    if content["format"] != FORMAT:
        raise UserError(f"{path} has checkpoint format {content['format']}, this version reads {FORMAT}")
    return content


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.pt"), reverse=True)
