"""What --data names: files of the user's, one of the bundled sets as `bundled:NAME`, or a published data set."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..errors import UserError, nearest
from ..files import nearest_path
from ..tensors import Side
from . import bundled
from .cifar import Split
from .datasets import ImageSet, open_images
from .decoding import Progress
from .domains import Domains, open_domains
from .folders import has_held_out
from .published import HOST, PLACES, PUBLISHED
from .storage import open_storage

Made = TypeVar("Made")

PREFIX = "bundled:"
IMAGES: Mapping[str, Mapping[Split, Callable[[int], ImageSet]]] = {
    "digits": {"train": bundled.digits},
    "digits-0-4": {"train": partial(bundled.digits, classes=range(5))},
    "digits-5-9": {
        "train": partial(bundled.digits, classes=range(5, 10), part=slice(100)),
        "test": partial(bundled.digits, classes=range(5, 10), part=slice(100, None)),
    },
    "faces": {"train": bundled.faces},
}
"""The splits of bundled image sets by name, each made from the side of its square images."""
DOMAINS: Mapping[str, Callable[[Side], Domains]] = {"photo-sketch": bundled.photo_sketch}
"""Bundled pairs of domains, each made from the size of its images."""


def open_named_images(
    data: Path,
    size: int,
    channels: int | None,
    memory_budget_bytes: float,
    progress: Progress | None = None,
    split: Split = "train",
) -> ImageSet:
    """Open a split of a bundled set, or of a folder, zip or CIFAR batches."""
    if name := bundled_name(data):
        splits = _choose(IMAGES, name)
        if split not in splits:
            raise UserError(f"{data} has no {split} split; leave the split out")
        images = splits[split](size)
        _check_channels(data, images, channels)
        return images
    return open_images(
        data, size, channels=channels, memory_budget_bytes=memory_budget_bytes, split=split, progress=progress
    )


def open_held_out(
    data: Path,
    size: int,
    channels: int | None,
    memory_budget_bytes: float,
    progress: Progress | None = None,
    fewest: int = 1,
) -> ImageSet | None:
    """The test split beside training images, or None where there is none or it has fewer images than `fewest`."""
    try:
        if not bundled_name(data) and not has_held_out(open_storage(data)):
            return None
        images = open_named_images(data, size, channels, memory_budget_bytes, progress, split="test")
    except UserError:
        return None
    return images if len(images) >= fewest else None


def open_named_domains(
    data: Path | None,
    a: Path | None,
    b: Path | None,
    size: Side,
    *,
    channels_a: int | None,
    channels_b: int | None,
    memory_budget_bytes: float,
    progress: Progress | None = None,
) -> Domains:
    """Open a bundled pair of domains, a copy of a published one, one folder or zip with both, or two folders."""
    if data and (name := bundled_name(data)):
        domains = _choose(DOMAINS, name)(size)
        _check_channels(data, domains.train_a, channels_a)
        _check_channels(data, domains.train_b, channels_b)
        return domains
    return open_domains(
        find_published(data) if data else None,
        a,
        b,
        size,
        channels_a=channels_a,
        channels_b=channels_b,
        memory_budget_bytes=memory_budget_bytes,
        progress=progress,
    )


def _check_channels(data: Path, images: ImageSet, channels: int | None) -> None:
    if channels not in (None, images.channels):
        raise UserError(f"{data} has {images.channels} channels, {channels} are asked for; leave channels out")


def find_published(data: Path) -> Path:
    """The same path, unless nothing is there and it is the name of a published set: then where that set lies."""
    name = str(data)
    if data.exists():
        return data
    if name not in PUBLISHED:
        if hint := nearest_path(data) or nearest(name, PUBLISHED, "the published data set ", cutoff=0.7):
            raise UserError(f"{data} does not exist; {hint}")
        return data
    places = [place.format(name) for place in PLACES]
    for place in map(Path, places):
        if place.exists():
            return place
    known = PUBLISHED[name]
    raise UserError(
        f"{name} is a published data set: {known.what}. {known.origin}. None of {', '.join(places)} is here, and the "
        f"published download from {HOST} is gone. "
        f"Lay a copy out as {name}/{{train,val}}/{{A,B}}/* and give it as --data path/to/{name}"
    )


def bundled_name(data: Path) -> str | None:
    """The name of a bundled set without its prefix, or None for files."""
    return str(data).removeprefix(PREFIX) if str(data).startswith(PREFIX) else None


def _choose(table: Mapping[str, Made], name: str) -> Made:
    if name not in table:
        choices = ", ".join(PREFIX + known for known in table)
        raise UserError(f"there is no {PREFIX}{name}; bundled are {choices}")
    return table[name]
