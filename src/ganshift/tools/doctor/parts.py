"""What the doctor looks at: the parts that training would make of DATA, each a list of pictures to read one by one."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from PIL import Image

from ...data.cifar import read_cifar
from ...data.datasets import ImageSet
from ...data.folders import Split, enter_split, find_domains, has_domains, is_cifar, is_image, nothing_found
from ...data.images import to_picture
from ...data.open import DOMAINS, IMAGES, bundled_name, find_published, open_domains, open_images
from ...data.storage import Storage, open_storage
from ...errors import UserError

BUNDLED_SIZES = {"images": 32, "domains": 64}
"""Sides at which bundled sets are made, since they have none of their own."""


Role = Literal["train", "val"]
Domain = Literal["", "a", "b"]
_FOUR: tuple[tuple[Role, Domain], ...] = (("train", "a"), ("train", "b"), ("val", "a"), ("val", "b"))


@dataclass(frozen=True)
class Part:
    """Pictures with one role in training."""

    split: Role
    domain: Domain
    """Which of two domains; empty if there is one set."""
    names: tuple[str, ...]
    read: Callable[[int], bytes | Image.Image]
    """The file, or the picture where there is no file, of a number."""
    passed_over: Mapping[str, int] = field(default_factory=dict)
    """Other files, counted by ending."""
    labels: Sequence[int] | None = None
    """Class numbers, where they are known without names."""
    classes: tuple[str, ...] = ()
    """Names of these classes."""
    classes_from_folders: bool = False
    """Whether names of folders are classes instead."""

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.split} {self.domain.upper()}".strip()


def find_parts(data: Path, data_b: Path | None = None) -> list[Part]:
    """The parts of one set, or of two domains in one place or two; a `UserError` says why training finds none."""
    if data_b is not None:
        return [
            _part(enter_split(open_storage(path), "train"), *role)
            for path, role in zip((data, data_b), _FOUR, strict=False)
        ]
    if name := bundled_name(data):
        return _bundled(data, name)
    place = open_storage(find_published(data))
    if has_domains(place):
        return [
            _part(found, *role) for found, role in zip(find_domains(place), _FOUR, strict=True) if found is not None
        ]
    train = enter_split(place, "train")
    parts = [_one_set(train, "train")]
    with suppress(UserError):  # nothing is held out
        held_out = enter_split(place, "test")
        # Batches of CIFAR hold both; a lone folder is trained on, whatever its name.
        if held_out.where != train.where or is_cifar(held_out):
            parts.append(_one_set(held_out, "test"))
    return parts


def _one_set(place: Storage, split: Split) -> Part:
    if is_cifar(place):
        return _of_set(read_cifar(place, split), _role(split), "")
    return _part(place, _role(split), "", classes_from_folders=True)


def _role(split: Split) -> Role:
    return "train" if split == "train" else "val"


def _part(place: Storage, split: Role, domain: Domain, classes_from_folders: bool = False) -> Part:
    files = tuple(name for name in place.names if is_image(name))
    if not files:
        raise UserError(nothing_found(place))
    return Part(
        split,
        domain,
        files,
        lambda index: place.read(files[index]),
        Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in place.names if not is_image(name)),
        classes_from_folders=classes_from_folders,
    )


def _bundled(data: Path, name: str) -> list[Part]:
    if name in DOMAINS or name not in IMAGES:
        size = BUNDLED_SIZES["domains"]
        domains = open_domains(data, None, None, size)
        sets = (domains.train_a, domains.train_b, domains.val_a, domains.val_b)
        return [_of_set(images, *role) for images, role in zip(sets, _FOUR, strict=True) if images is not None]
    size = BUNDLED_SIZES["images"]
    return [_of_set(open_images(data, size, split=split), _role(split), "") for split in IMAGES[name]]


def _of_set(images: ImageSet, split: Role, domain: Domain) -> Part:
    labels = None if images.labels is None else images.labels.tolist()
    return Part(
        split,
        domain,
        images.names,
        lambda index: to_picture(images.read([index])[0].numpy()),
        {},
        labels,
        images.classes,
    )
