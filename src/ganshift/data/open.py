"""What --data names: files of the user's, one of the bundled sets as `bundled:NAME`, or a published data set."""

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from pathlib import Path

from ..errors import UserError, choose, nearest
from ..files import nearest_path, on_disk
from ..tensors import Side, height_and_width
from . import bundled
from .cifar import read_cifar
from .containers import open_storage
from .datasets import MEMORY_BUDGET_BYTES, Domains, ImageSet, Third, open_array, open_place, without_third
from .decoding import Progress
from .emoji import emoji, emoji_food, emoji_others, emoji_pair
from .endings import say_passed_over
from .folders import Split, enter_split, find_domains, has_held_out, is_cifar, say_unsplit
from .index import Opened, recall
from .storage import Storage
from .value_range import FIND, Wanted

PREFIX = "bundled:"
IMAGES: Mapping[str, Mapping[Split, Callable[[Side], ImageSet]]] = {
    "digits": {"train": bundled.digits},
    "digits-0-4": {"train": partial(bundled.digits, classes=range(5))},
    "digits-5-9": {
        "train": partial(bundled.digits, classes=range(5, 10), part=slice(100)),
        "test": partial(bundled.digits, classes=range(5, 10), part=slice(100, None)),
    },
    "faces": {"train": bundled.faces},
    **{
        name: {"train": make, "test": partial(make, split="test")}
        for name, make in (("emoji", emoji), ("emoji-food", emoji_food), ("emoji-others", emoji_others))
    },
}
"""The splits of bundled image sets by name, each made from the size of its images."""
PUBLISHED = (
    *("sketch-photo", "facades", "day-night", "oil-chinese"),
    *("plastic-metal", "metal-stone", "leather-fabric", "plastic-wood"),
)
"""The data sets that the published DualGAN code knows by name."""
PLACES = ("datasets/{}", "datasets/{}.zip", "{}.zip")
"""Where a set of a name may lie, seen from the current folder; the published code reads the first."""
DOMAINS: Mapping[str, Callable[[Side], Domains]] = {"photo-sketch": bundled.photo_sketch, "emoji-pair": emoji_pair}
"""Bundled pairs of domains, each made from the size of its images."""


def open_images(
    data: Path,
    size: Side,
    channels: int | None = None,
    memory_budget_bytes: int | float = MEMORY_BUDGET_BYTES,
    progress: Progress | None = None,
    split: Split = "train",
    value_range: Wanted = FIND,
) -> ImageSet:
    """Open a bundled set, a folder, a container such as a zip (`containers`), a folder inside one, or CIFAR batches.

    Where train and test (or val) folders lie side by side, `split` chooses. Class folders give labels: at least two,
    with every readable image below one of them. Unreadable files are set aside with one warning. `channels` is the
    most frequent natural channel count unless given. `value_range` says what is black and white in files of more than
    8 bits a value. `progress` is called with (images done, images in all).
    """
    if name := bundled_name(data):
        splits = IMAGES[choose(name, IMAGES, "bundled set of images")]
        if split not in splits:
            raise UserError(f"{data} has no {split} split; leave the split out")
        return _in_channels(data, splits[split](size), channels)

    def open_now() -> Opened:
        return _open_split(open_storage(data), size, channels, memory_budget_bytes, progress, split, value_range)

    settings = ("images", size, channels, memory_budget_bytes, split, value_range)
    (found,) = recall([data], settings, open_now)
    assert found is not None, "what is not there has raised an error"
    return found


def _open_split(
    whole: Storage,
    size: Side,
    channels: int | None,
    memory_budget_bytes: int | float,
    progress: Progress | None,
    split: Split,
    value_range: Wanted,
) -> Opened:
    place = enter_split(whole, split)
    if is_cifar(place):
        return [(read_cifar(place, split, size, channels), None)], len(whole.names)
    if split == "train":  # of the whole place, once
        say_passed_over(whole.where, whole.names)
        say_unsplit(whole)
    images = open_place(
        *(place, size, channels, memory_budget_bytes, progress), with_classes=True, value_range=value_range
    )
    return [(images, place)], len(whole.names)


def open_held_out(
    data: Path,
    size: Side,
    channels: int | None = None,
    memory_budget_bytes: int | float = MEMORY_BUDGET_BYTES,
    progress: Progress | None = None,
    fewest: int = 1,
    value_range: Wanted = FIND,
) -> ImageSet | None:
    """The test split beside training images, or None where there is none or it has fewer images than `fewest`."""

    def open_now() -> Opened:
        if not has_held_out(whole := open_storage(data)):
            return [None], len(whole.names)
        return _open_split(whole, size, channels, memory_budget_bytes, progress, "test", value_range)

    settings = ("held out", size, channels, memory_budget_bytes, value_range)
    try:
        (images,) = (
            [open_images(data, size, channels, split="test")]
            if bundled_name(data)
            else recall([data], settings, open_now)
        )
    except UserError:
        return None
    return images if images is not None and len(images) >= fewest else None


def hold_out(data: Path, images: ImageSet, third: Third) -> tuple[ImageSet, ImageSet]:
    """What to learn of the training images of `data`, and what is held out: the test split beside them, or a third."""
    beside = open_held_out(data, images.size, images.channels, value_range=images.value_range)
    return without_third(images, third) if beside is None else (images, beside)


def open_domains(
    data: Path | None,
    a: Path | None,
    b: Path | None,
    size: Side,
    *,
    channels_a: int | None = None,
    channels_b: int | None = None,
    range_a: Wanted = FIND,
    range_b: Wanted = FIND,
    memory_budget_bytes: int | float = MEMORY_BUDGET_BYTES,
    progress: Progress | None = None,
) -> Domains:
    """Open one place with both domains, or two folders or zips with one each.

    `data` is a bundled pair, the name of a published one that lies here, or a folder or zip with {train,val}/{A,B}, A
    and B, or CycleGAN's trainA, trainB, testA and testB. Channels and ranges of values are found out per domain unless
    given, and hold for its train and val. All sets together stay within the memory budget.
    """
    if data is not None and (name := bundled_name(data)):
        found = DOMAINS[choose(name, DOMAINS, "bundled pair of domains")](size)
        return Domains(
            train_a=_in_channels(data, found.train_a, channels_a),
            train_b=_in_channels(data, found.train_b, channels_b),
            val_a=found.val_a and _in_channels(data, found.val_a, channels_a),
            val_b=found.val_b and _in_channels(data, found.val_b, channels_b),
        )
    paths = [path for path in (data and find_published(data), a, b) if path is not None]
    assert len(paths) == 2 - (data is not None), "data, or a and b"

    def open_now() -> Opened:
        places: tuple[Storage, Storage, Storage | None, Storage | None]
        if data is not None:
            places = find_domains(open_storage(paths[0]))
        else:
            of_a, of_b = (enter_split(open_storage(path), "train") for path in paths)
            places = (of_a, of_b, None, None)
        roots = {place.root.where: place.root.names for place in places[:2] if place}
        for where, names in roots.items():
            say_passed_over(where, names)
        left = memory_budget_bytes

        def open_one(place: Storage, channels: int | None, value_range: Wanted) -> ImageSet:
            nonlocal left
            images = open_place(place, size, channels, left, progress, with_classes=False, value_range=value_range)
            if not images.streams:
                left -= len(images) * images.channels * prod(height_and_width(size))
            return images

        train_a, train_b = open_one(places[0], channels_a, range_a), open_one(places[1], channels_b, range_b)
        val_a = open_one(places[2], train_a.channels, train_a.value_range) if places[2] else None
        val_b = open_one(places[3], train_b.channels, train_b.value_range) if places[3] else None
        sets = (train_a, train_b, val_a, val_b)
        opened = [None if images is None else (images, place) for images, place in zip(sets, places, strict=True)]
        return opened, sum(map(len, roots.values()))

    settings = ("domains", size, channels_a, channels_b, range_a, range_b, memory_budget_bytes)
    train_a, train_b, val_a, val_b = recall(paths, settings, open_now)
    assert train_a is not None, "what is not there has raised an error"
    assert train_b is not None, "what is not there has raised an error"
    return Domains(train_a, train_b, val_a, val_b)


def _in_channels(data: Path, images: ImageSet, channels: int | None) -> ImageSet:
    """A bundled set as it is asked for: what has opacity lies over white unless that is asked for, too."""
    if images.channels == 4 and images.pixels is not None:
        return open_array(images.pixels.numpy(), images.labels, images.classes, images.names, channels=channels or 3)
    if channels not in (None, images.channels):
        raise UserError(f"{data} has {images.channels} channels, not {channels}; leave channels out")
    return images


def find_published(data: Path) -> Path:
    """The same path, unless nothing is there and it is the name of a published set: then where that set lies."""
    name, data = str(data), on_disk(data)
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
    raise UserError(
        f"{name} is a data set of the published code. None of {', '.join(places)} is here, and its download is gone "
        f"(docs/dual.md says where the images came from). "
        f"Arrange a copy as {name}/{{train,val}}/{{A,B}}/* and give it as --data path/to/{name}"
    )


def bundled_name(data: Path) -> str | None:
    """The name of a bundled set without its prefix, or None for files."""
    return str(data).removeprefix(PREFIX) if str(data).startswith(PREFIX) else None
