"""Two unpaired domains, A and B, each an image set; with true pairs to look at where the layout has them."""

from dataclasses import dataclass
from pathlib import Path
from typing import final

from ..errors import UserError
from ..tensors import Side, height_and_width
from .datasets import MEMORY_BUDGET_BYTES, ImageSet, open_place
from .decoding import Progress
from .folders import enter_split, find_domains
from .storage import Storage, open_storage


@final
@dataclass(frozen=True)
class Domains:
    """The image sets of a translation task; A and B may differ in length and channels."""

    train_a: ImageSet
    train_b: ImageSet
    val_a: ImageSet | None = None
    val_b: ImageSet | None = None


def open_domains(
    data: Path | None,
    a: Path | None,
    b: Path | None,
    size: Side,
    *,
    channels_a: int | None = None,
    channels_b: int | None = None,
    memory_budget_bytes: int | float = MEMORY_BUDGET_BYTES,
    progress: Progress | None = None,
) -> Domains:
    """Open one folder or zip with both domains, or two folders or zips with one each.

    In `data`: {train,val}/{A,B}, or A and B, or CycleGAN's trainA, trainB, testA and testB. Channels are found out per
    domain unless given, and hold for its train and val. All sets together stay within the memory budget.
    """
    places: tuple[Storage, Storage, Storage | None, Storage | None]
    if data is not None and a is None and b is None:
        places = find_domains(open_storage(data))
    elif data is None and a is not None and b is not None:
        places = (enter_split(open_storage(a), "train"), enter_split(open_storage(b), "train"), None, None)
    else:
        given = [name for name, path in (("--data", data), ("--a", a), ("--b", b)) if path is not None]
        raise UserError(f"give either --data, or both --a and --b; got {' and '.join(given) or 'none of them'}")
    height, width = height_and_width(size)
    left = memory_budget_bytes

    def open_one(place: Storage | None, channels: int | None) -> ImageSet | None:
        nonlocal left
        if place is None:
            return None
        images = open_place(place, size, channels, left, progress, classes_from_folders=False)
        if not images.streams:
            left -= len(images) * images.channels * height * width
        return images

    train_a, train_b = open_one(places[0], channels_a), open_one(places[1], channels_b)
    assert train_a is not None
    assert train_b is not None
    val_a, val_b = open_one(places[2], train_a.channels), open_one(places[3], train_b.channels)
    return Domains(train_a, train_b, val_a, val_b)
