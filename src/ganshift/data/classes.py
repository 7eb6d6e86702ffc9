"""The classes of images: from what holds them, from StyleGAN's dataset.json, or from the folders in which they lie."""

import json
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from ..errors import first_line
from ..files import MAX_TEXT_BYTES
from .endings import DATASET_JSON
from .folders import label_by_folder, number_classes
from .images import UnreadableImage
from .storage import Storage

logger = logging.getLogger("ganshift")

Classes = tuple[Int64[np.ndarray, " n"] | None, tuple[str, ...]]
"""The class number of each image, and the names of the classes; None and () without classes."""
_SHARD = re.compile(r"\d{5}")
"""How StyleGAN's `dataset_tool` names the folders into which it deals images, whatever their class."""


def find_classes(place: Storage, names: Sequence[str]) -> Classes:
    """The classes of these images of a place.

    A dataset.json counts wherever it lies above them; one that cannot be used is set aside with a warning.
    """
    if place.classes is not None:
        return number_classes([place.classes[place.prefix + name] for name in names], _by_number)
    if (above := _above(place)) is None:
        return label_by_folder(names)
    file = above + DATASET_JSON
    try:
        labels = _read_labels(place.root, file)
        inner = place.prefix.removeprefix(above)
        lacking = [] if labels is None else [name for name in names if inner + name not in labels]
        if lacking:
            raise ValueError(f"it has no label for {len(lacking):,} of {len(names):,} images, such as {lacking[0]}")
        return (None, ()) if labels is None else number_classes([labels[inner + name] for name in names], int)
    except (UnreadableImage, ValueError, RecursionError) as error:  # RecursionError: lists in lists without end
        logger.warning("%s/%s is ignored: %s", place.root.where, file, first_line(error))
    are_shards = all(_SHARD.fullmatch(name.split("/", 1)[0]) for name in names)
    return (None, ()) if are_shards else label_by_folder(names)


def _by_number(name: str) -> tuple[int, str]:
    return (int(name) if name.isdecimal() else 0, name)


def _above(place: Storage) -> str | None:
    """The nearest folder at or above the place, as a prefix, with a dataset.json in it."""
    files, prefix = frozenset(place.root.names), place.prefix
    while prefix + DATASET_JSON not in files:
        if not prefix:
            return None
        prefix = prefix.rstrip("/").rpartition("/")[0]
        prefix += "/" * bool(prefix)
    return prefix


def _read_labels(place: Storage, file: str) -> Mapping[str, str] | None:
    """The label of each file as text, or None where the file says that there are none."""
    if place.num_bytes(file) > MAX_TEXT_BYTES:
        raise ValueError("it is too large")
    found = json.loads(place.read(file))
    if not isinstance(found, dict) or "labels" not in found:
        raise ValueError("it has no labels, as StyleGAN's has")
    if found["labels"] is None:
        return None
    try:
        pairs = dict(found["labels"])
    except (TypeError, ValueError) as error:
        raise ValueError("its labels are not a list of file names with labels") from error
    if not all(type(label) is int and isinstance(name, str) for name, label in pairs.items()):
        raise ValueError("its labels are not whole numbers")
    return {unicodedata.normalize("NFC", name).replace("\\", "/"): str(label) for name, label in pairs.items()}
