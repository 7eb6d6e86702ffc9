"""The place that a path names: a folder, a zip, a tar, arrays or tables; and, seen as one, a folder of the latter."""

import re
import zipfile
from functools import partial
from pathlib import Path

from ..errors import UserError
from ..files import nearest_path, on_disk
from .arrays import IDX, Arrays, idx_files, load_idx, load_npy, load_npz
from .endings import is_image, what_it_is
from .parquet import Tables
from .storage import Archive, Folder, Storage
from .tar import TAR, Tar

CONTAINER = re.compile(rf"\.(zip|npy|npz|parquet)$|{TAR.pattern}|{IDX.pattern}", re.IGNORECASE)
"""How the names of files end that hold many images."""


def open_storage(path: Path) -> Storage:
    """The folder, the container, or the folder inside a container (such as data.zip/train) that a path names."""
    try:
        return _locate(path)
    except (OSError, ValueError) as error:  # a name too long, a folder that may not be looked into, a failing disk
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be opened ({getattr(error, 'strerror', error)}); give another") from error


def _locate(path: Path) -> Storage:
    path = on_disk(path)
    if path.is_dir():
        return _seen_as_one(Folder(path))
    if path.is_file():
        return _open_file(path)
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} is neither a folder nor a regular file; give a folder of images or a zip of one")
    for parent in path.parents:
        if parent.is_file() and (CONTAINER.search(parent.name) or zipfile.is_zipfile(parent)):
            return _inside(_open_file(parent), path.relative_to(parent).as_posix())
    hint = nearest_path(path) or "give a folder of images, a zip of one, or a folder inside a zip"
    raise UserError(f"{path} does not exist; {hint}")


def _open_file(path: Path) -> Storage:
    ending = path.suffix.lower()
    if ending == ".npz":
        return Arrays(path, partial(load_npz, path))
    if ending == ".npy":
        return Arrays(path, partial(load_npy, path))
    if ending == ".parquet":
        return Tables(path, [path])
    if TAR.search(path.name):
        return Tar(path)
    if IDX.search(path.name):
        return Arrays(path, partial(load_idx, idx_files(path)))
    if zipfile.is_zipfile(path):
        return Archive(path)
    if what := what_it_is(path.name):
        raise UserError(f"{path} is {what}")
    raise UserError(f"{path} is neither a folder nor a zip; give a folder of images or a zip of one")


def _seen_as_one(folder: Folder) -> Storage:
    """The folder, or the images of MNIST's files or of the tables in it, where it holds no image."""
    if any(map(is_image, folder.names)):
        return folder
    if files := [folder.on_disk(name) for name in folder.names if name.endswith(".parquet")]:
        return Tables(folder.path, files)
    if any(IDX.search(name) for name in folder.names if "/" not in name):
        return Arrays(folder.path, partial(load_idx, idx_files(folder.path)))
    return folder


def _inside(container: Storage, inner: str) -> Storage:
    """The folder of a container, also when all of it lies below one top folder."""
    tops = _folders(container)
    root = container.below(f"{tops[0]}/") if len(tops) == 1 else container
    for place in (container, root):
        if (found := place.below(f"{inner}/")).names:
            return found
    there = ", ".join(_folders(root)[:8]) or "no folders"
    raise UserError(f"{container.path} has no folder {inner}; it holds {there}")


def _folders(place: Storage) -> list[str]:
    """Names of the folders directly in a place."""
    return sorted({name.split("/", 1)[0] for name in place.names if "/" in name})
