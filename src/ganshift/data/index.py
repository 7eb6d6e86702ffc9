"""What was found of large sets when they were opened, kept so that a million files are gone through once and no more.

An index holds names, classes and where files lie, never their contents. It counts as long as the names, sizes and times
of all files are what they were. One that cannot be read or written is as good as none.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import PIL

from .. import __version__
from ..files import cache_folder, on_disk, open_regular, write_atomically
from .datasets import ImageSet
from .parquet import Tables
from .storage import Archive, Folder, Listing, Packed, Storage, walk
from .tar import Tar
from .value_range import ValueRange

logger = logging.getLogger("ganshift")

FEWEST = 200
"""Places of fewer files are gone through each time."""
_FORMAT = 1
_KINDS = {kind.__name__: kind for kind in (Folder, Archive, Tar)}

Opened = tuple[Sequence[tuple[ImageSet, Storage | None] | None], int]
"""Sets with the places that hold their files, None for a set that is not there; and the number of all files."""


def recall(paths: Sequence[Path], settings: Any, open_sets: Callable[[], Opened]) -> list[ImageSet | None]:
    """The sets that `open_sets` opens from these paths with these settings, from an index where there is one.

    Warnings of the opening are given again.
    """
    try:
        stamp = [_stamp(_source(on_disk(path))) for path in paths]
        file = _index_of(paths, settings)
    except (OSError, ValueError):  # what is wrong with a path, opening it will say
        return [found and found[0] for found in open_sets()[0]]
    known = _load(file, stamp)
    if known is not None:
        return known
    with _warnings() as warnings:
        opened, num_files = open_sets()
    if num_files >= FEWEST and _is_worth_it(opened):
        _save(file, {"stamp": stamp, "warnings": warnings}, opened)
    return [found and found[0] for found in opened]


def _index_of(paths: Sequence[Path], settings: Any) -> Path:
    """The file of what is opened so."""
    makers = (_FORMAT, __version__, PIL.__version__, bool(find_spec("pillow_heif")))
    places = [(str(path), str(path.absolute())) for path in paths]
    key = hashlib.sha256(repr((makers, places, settings)).encode()).hexdigest()
    return cache_folder() / "images" / f"{key}.npz"


def _source(path: Path) -> Path:
    """The folder, or the file, that holds what a path names; an `OSError` if neither is there."""
    found = next((each for each in (path, *path.parents) if each.is_file()), path)
    found.stat()
    return found


def _stamp(source: Path) -> str:
    """Changes with the name, size or time of any file."""
    if source.is_file():
        status = source.stat()
        return f"{status.st_size} {status.st_mtime_ns}"
    digest = hashlib.sha256()
    for prefix, entries in walk(source):
        found = (prefix, [entry.name for entry in entries], [_size_and_time(entry) for entry in entries])
        digest.update(repr(found).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _size_and_time(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    try:
        status = entry.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """The warnings that are given inside the block."""
    given: list[str] = []

    def note(record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            given.append(record.getMessage())
        return True

    logger.addFilter(note)  # a handler would keep Python from showing them where a program has set up none
    try:
        yield given
    finally:
        logger.removeFilter(note)


def _is_worth_it(opened: Sequence[tuple[ImageSet, Storage | None] | None]) -> bool:
    """Whether a set streams, or none was found, and all can be opened by what is kept of them."""
    found = [each for each in opened if each is not None]
    places = [place for _, place in found]
    return (not found or any(images.streams for images, _ in found)) and all(
        isinstance(place, Tables | Folder | Packed) and not (isinstance(place, Packed) and place.source() != place.path)
        for place in places
    )


def _save(file: Path, about: Mapping[str, Any], opened: Sequence[tuple[ImageSet, Storage | None] | None]) -> None:
    arrays: dict[str, np.ndarray] = {}
    sets: list[dict[str, Any] | None] = []
    for number, found in enumerate(opened):
        if found is None:
            sets.append(None)
            continue
        images, place = found
        assert place is not None, "it is worth it"
        kept = frozenset(images.names)
        arrays[f"names {number}"] = _as_array(images.names)
        arrays[f"spans {number}"] = place.spans[[name in kept for name in place.names]]
        if images.labels is not None:
            arrays[f"labels {number}"] = images.labels
        sets.append(
            {
                "streams": images.streams,
                "classes": images.classes,
                "channels": images.channels,
                "size": images.size,
                "content_hash": images.content_hash,
                "quarantined": images.quarantined,
                "range": images.value_range and images.value_range.to_json(),
                "kind": type(place).__name__,
                "path": str(place.path),
                "files": [str(path) for path in place.files] if isinstance(place, Tables) else [],
                "prefix": place.prefix,
                "other_names": place.other_names,
            }
        )
    arrays["about"] = _as_array({**about, "sets": sets})

    def write(beside: Path) -> None:
        with beside.open("wb") as out:
            np.savez(out, **arrays)  # type: ignore[arg-type]

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, write, durable=False)
    except OSError as error:
        logger.debug("no index of images is kept: %s", error)


def _load(file: Path, stamp: Sequence[str]) -> list[ImageSet | None] | None:
    """The sets; None if there is no index, if it is damaged, or if files have changed since."""
    try:
        with open_regular(file) as raw, np.load(raw, allow_pickle=False) as arrays:
            about = _from_array(arrays["about"])
            if about["stamp"] != stamp:
                return None
            sets = [found and _restored(found, number, arrays) for number, found in enumerate(about["sets"])]
    except FileNotFoundError:
        return None
    except Exception as error:  # damaged bytes make zipfile, NumPy and json raise anything
        logger.debug("%s is set aside: %s", file, error)
        return None
    for warning in about["warnings"]:
        logger.warning("%s", warning)
    return sets


def _restored(about: Mapping[str, Any], number: int, arrays: Mapping[str, np.ndarray]) -> ImageSet:
    names = tuple(_from_array(arrays[f"names {number}"]))
    path, listing = Path(about["path"]), Listing(names, arrays[f"spans {number}"], about["other_names"])
    place: Storage
    if about["kind"] == Tables.__name__:
        place = Tables(path, [Path(file) for file in about["files"]], listing, about["prefix"])
    else:
        place = _KINDS[about["kind"]](path, listing, about["prefix"])
    range_, size = about["range"], about["size"]
    images = ImageSet(
        names=names,
        labels=arrays.get(f"labels {number}"),
        classes=tuple(about["classes"]),
        channels=about["channels"],
        size=size if isinstance(size, int) else tuple(size),
        content_hash=about["content_hash"],
        quarantined=[(name, reason) for name, reason in about["quarantined"]],
        place=place,
        value_range=range_ and ValueRange(range_["low"], range_["high"], range_["type"], range_["unit"]),
    )
    return images if about["streams"] else replace(images, pixels=images.read(range(len(names))), place=None)


def _as_array(value: Any) -> np.ndarray:
    """JSON, whose escapes hold names that are no Unicode, too."""
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _from_array(array: np.ndarray) -> Any:
    return json.loads(str(array.data, "ascii"))
