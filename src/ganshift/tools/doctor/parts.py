"""What the doctor looks at: the parts that training would make of DATA, each a list of pictures to read one by one."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from PIL import Image

from ...data.classes import Classes, find_classes
from ...data.containers import open_storage
from ...data.datasets import ImageSet
from ...data.endings import is_image, nothing_found, passed_over
from ...data.folders import enter_split, find_domains, has_domains, has_held_out, is_cifar
from ...data.images import to_picture
from ...data.open import (
    DOMAINS,
    IMAGES,
    bundled_name,
    find_published,
    open_domains,
    open_held_out,
    open_images,
)
from ...data.storage import Storage
from ...errors import UserError, choose

SIZE = 32
"""Side of the pictures of CIFAR; bundled sets of images, which have none of their own, are made at it."""
DOMAIN_SIZE = 64
"""Side at which bundled domains are made."""
Role = Literal["train", "val"]
Domain = Literal["", "a", "b"]
_ROLES: tuple[tuple[Role, Domain], ...] = (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b"))


@dataclass(frozen=True)
class DataPart:
    """Pictures with one role in training."""

    split: Role
    domain: Domain
    """Which of two domains; empty if there is one set."""
    names: tuple[str, ...]
    read: Callable[[int], bytes | Image.Image]
    """The file, or the picture where there is no file, of a number."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """Other files, counted by ending."""
    find_classes: Callable[[Sequence[str]], Classes] | None = None
    """The classes of those of its files that can be read, as training finds them; none of domains and of sets."""
    classes: list[str] | None = None
    """The class of each picture, where it is known without files."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.split} {self.domain.upper()}".strip()


def find_parts(data: Path, data_b: Path | None = None) -> list[DataPart]:
    """The parts of one set, or of two domains in one place or two; a `UserError` says why training finds none."""
    if data_b is not None:
        places = [enter_split(open_storage(path), "train") for path in (data, data_b)]
        return [_with_rest([_of_files(place, *role)], place)[0] for place, role in zip(places, _ROLES, strict=False)]
    if name := bundled_name(data):
        choose(name, {**IMAGES, **DOMAINS}, "bundled set of images")
        return _of_images(data) if name in IMAGES and name not in DOMAINS else _of_domains(data)
    data = find_published(data)
    place = open_storage(data)
    if has_domains(place):
        found = zip(find_domains(place), _ROLES, strict=True)
        return _with_rest([_of_files(folder, *role) for folder, role in found if folder is not None], place)
    train = enter_split(place, "train")
    if is_cifar(train):
        return _of_images(data)
    parts = [_of_files(train, "train", "")]
    if has_held_out(place):
        parts.append(_of_files(enter_split(place, "test"), "val", ""))
    return _with_rest(parts, place)


def _with_rest(parts: list[DataPart], place: Storage) -> list[DataPart]:
    """The first with the files that are passed over beside all of them, too."""
    rest = passed_over(place.root.names)
    for part in parts:
        rest -= part.passed_over
    return [replace(parts[0], passed_over=parts[0].passed_over + rest), *parts[1:]]


def _of_files(place: Storage, split: Role, domain: Domain) -> DataPart:
    files = tuple(name for name in place.names if is_image(name))
    if not files:
        raise UserError(nothing_found(place))
    find = None if domain else partial(find_classes, place)
    return DataPart(split, domain, files, lambda index: place.read(files[index]), passed_over(place.names), find)


def _of_images(data: Path) -> list[DataPart]:
    """Pictures that are no files: of a bundled set, or of CIFAR batches."""
    train, val = open_images(data, SIZE, None, 0.0), open_held_out(data, SIZE, None, 0.0)
    return [_of_set(train, "train", ""), *([_of_set(val, "val", "")] if val else [])]


def _of_domains(data: Path) -> list[DataPart]:
    """The same of a bundled pair of domains."""
    found = open_domains(data, None, None, DOMAIN_SIZE, channels_a=None, channels_b=None, memory_budget_bytes=0.0)
    sets = (found.train_a, found.train_b, found.val_a, found.val_b)
    return [_of_set(images, *role) for images, role in zip(sets, _ROLES, strict=True) if images is not None]


def _of_set(images: ImageSet, split: Role, domain: Domain) -> DataPart:
    classes = None if images.labels is None else [images.classes[label] for label in images.labels]
    return DataPart(
        split, domain, images.names, lambda index: to_picture(images.read([index])[0].numpy()), classes=classes
    )
