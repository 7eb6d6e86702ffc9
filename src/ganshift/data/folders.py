"""What the names of folders mean: splits, classes and two domains; knows names only, never what is in a file."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Int64

from ..errors import UserError
from .endings import is_image, logger, nothing_found
from .storage import Storage

Split = Literal["train", "test"]

_HELD_OUT = tuple(f"{verb}{between}out" for verb in ("hold", "held") for between in ("", "-", "_", " "))
_SPLITS: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "test": (
        *("test", "val", "valid", "validation", "testing", "tst", "validate", "evaluation", "eval", "dev"),
        *_HELD_OUT,
    ),
}
"""The names of each split, the first that is there is taken."""
_NO_SPLIT = ("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "meta")
"""Beside the splits, in neither."""
_PLAIN = frozenset({"test", "val", "valid", "validation"})
"""Words that are splits also where none is named for training."""
_SPLIT_NAME = re.compile(
    r"(?P<before>|.*[ _.-])(?P<word>{})(?P<after>|set|[ _.-].*)".format(
        "|".join(map(re.escape, (*_SPLITS["train"], *_SPLITS["test"], *_NO_SPLIT)))
    )
)

_VAL_WORDS = ("val", "valid", "validation", *(word for word in _SPLITS["test"] if not word.startswith("val")))
_BESIDE = ("{}{{}}", "{}_{{}}", "{}-{{}}")  # trainA, train_A, train-A
_TRAIN_DOMAINS = (
    *(f"{word}/{{}}" for word in _SPLITS["train"]),
    "{}",
    *(form.format(word) for word in _SPLITS["train"] for form in _BESIDE),
)
_VAL_DOMAINS = (
    *(f"{word}/{{}}" for word in _VAL_WORDS),
    *(form.format(word) for word in _VAL_WORDS for form in _BESIDE),
)


def is_cifar(place: Storage) -> bool:
    """Whether the place holds CIFAR batches: data_batch_1 and so on, or train or test beside meta."""
    tops = {names[0] for folder, names in place.tops() if folder is None}
    return any(re.fullmatch(r"data_batch_\d+|test_batch", name) for name in tops) or (
        "meta" in tops and bool(tops & {"train", "test"})
    )


def enter_split(place: Storage, split: Split) -> Storage:
    """The part of a place that holds the images, or the CIFAR batches, of one split.

    Goes down through folders that are alone at their level. Without folders for splits, everything is train.
    """
    for level in _downwards(place):
        if is_cifar(level):
            return level
        tops, words = _split_words(level), _SPLITS[split]
        chosen = sorted((top for top in tops if tops[top] in words), key=lambda top: words.index(tops[top]))
        if chosen:
            return _unfolded(level, chosen[0])
        if len(tops) > 1 or (tops and split == "test"):
            raise UserError(
                f"{level.where} holds {', '.join(tops)} but no images of the {split} split; "
                f"add a folder named {words[0]}, or give one of these folders itself"
            )
    if split == "test":
        raise UserError(f"{level.where} has no test split; add a folder named test or val beside one named train")
    return level


def say_unsplit(place: Storage) -> None:
    """Warn of images that lie beside the folders of the splits and belong to none of them."""
    for level in _downwards(place):
        words = _split_words(level)
        training = sorted(top for top in words if words[top] in _SPLITS["train"])
        others = sorted(top for top in words if words[top] in _NO_SPLIT) + training[1:]
        if count := sum(sum(map(is_image, names)) for folder, names in level.tops() if folder in others):
            logger.warning("%d images in %s are in neither split: %s", count, level.where, ", ".join(others))


def has_held_out(place: Storage) -> bool:
    """Whether a test split lies beside a train one: a folder named test that is alone is what is trained on."""
    try:
        return is_cifar(place) or enter_split(place, "test").where != enter_split(place, "train").where
    except UserError:
        return False


def split_word(name: str) -> str:
    """The first word of a name that is one of a split, as of x_train and test-00000-of-00001; nothing if none is."""
    words = re.findall(r"t10k|[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    known = {"t10k": "test", **{word: word for split in _SPLITS.values() for word in split}}
    return next((known[word] for word in words if word in known), "")


def label_by_folder(names: Sequence[str]) -> tuple[Int64[np.ndarray, " n"] | None, tuple[str, ...]]:
    """Class numbers and sorted class names, if all images lie below at least two first-level folders."""
    if any("/" not in name for name in names):
        return None, ()
    return number_classes([unicodedata.normalize("NFC", name.split("/", 1)[0]) for name in names])


def number_classes(
    given: Sequence[str], key: Callable[[str], Any] | None = None
) -> tuple[Int64[np.ndarray, " n"] | None, tuple[str, ...]]:
    """Class numbers and class names, sorted by their keys or as they are, if there are at least two."""
    classes = tuple(sorted(set(given), key=key))
    if len(classes) < 2:
        return None, ()
    numbers = {name: number for number, name in enumerate(classes)}
    return np.array([numbers[name] for name in given], dtype=np.int64), classes


def find_domains(place: Storage) -> tuple[Storage, Storage, Storage | None, Storage | None]:
    """The places of train A, train B, and of val A and val B where there are any.

    Known layouts, in any case and by all names of splits: {train,val}/{A,B}, {A,B}/{train,val}, A and B alone,
    {train,test}{A,B}; also below single top folders.
    """
    for level in _downwards(place):
        a, b = _pair(level, _TRAIN_DOMAINS)
        if a is not None and b is not None:
            if has_held_out(a) and has_held_out(b):
                return enter_split(a, "train"), enter_split(b, "train"), enter_split(a, "test"), enter_split(b, "test")
            return (a, b, *_pair(level, _VAL_DOMAINS))
        if there := a or b:
            missing = "B" if b is None else "A"
            raise UserError(f"{there.where} holds images but its counterpart {missing} has none; put images there too")
    if not any(map(is_image, level.names)):
        raise UserError(nothing_found(level))
    there_are = ", ".join(_tops(level)[:8]) or "images without folders"
    raise UserError(
        f"{level.where} does not have two domains, it holds {there_are}; "
        "make folders train/A and train/B (or A and B) in it. "
        "ganshift dual and evaluate also take two folders, --a and --b"
    )


def has_domains(place: Storage) -> bool:
    """Whether folders are named as those of two domains, and no others hold images; one of them may be missing."""
    known = {pattern.format(domain) for pattern in (*_TRAIN_DOMAINS, *_VAL_DOMAINS) for domain in "ab"}
    for level in _downwards(place):
        folders = {name.lower().rpartition("/")[0] for name in level.names if "/" in name and is_image(name)}
        if folders and all(any(f"{folder}/".startswith(f"{prefix}/") for prefix in known) for folder in folders):
            return any(found is not None for found in _pair(level, _TRAIN_DOMAINS))
    return False


def _tops(place: Storage) -> list[str]:
    """First-level folders that hold images; other files and folders are of no interest."""
    return sorted(folder for folder, names in place.tops() if folder is not None and any(map(is_image, names)))


def _split_words(place: Storage) -> dict[str, str]:
    """The first-level folders with the split that each is named for; none unless all are, one of them for training.

    What all have before or behind the word does not count: seg_train and seg_test, training_set and test_set.
    """
    tops = _tops(place)
    found = [_SPLIT_NAME.fullmatch(top.lower()) for top in tops]
    words = {top: match["word"] for top, match in zip(tops, found, strict=True) if match}
    affixes = {(match["before"], match["after"]) for match in found if match}
    is_known = (
        len(tops) == 1
        or any(word in _SPLITS["train"] for word in words.values())
        or {top.lower() for top in tops} <= _PLAIN
    )
    return words if len(words) == len(tops) and len(affixes) == 1 and is_known else {}


def _unfolded(place: Storage, folder: str) -> Storage:
    """The folder, or a folder of the same name that alone lies in it, as in some archives of Kaggle."""
    inner = place.below(f"{folder}/")
    repeated = all(name.startswith(f"{folder}/") for name in inner.names if is_image(name))
    return inner.below(f"{folder}/") if repeated and _tops(inner) else inner


def _downwards(place: Storage) -> Iterator[Storage]:
    """The place, and from it downwards each folder below which alone everything of interest lies."""
    while True:
        yield place
        with_images = {folder for folder, names in place.tops() if any(map(is_image, names))}
        tops = with_images or {folder for folder, _ in place.tops()}
        if len(tops) != 1 or not (folder := tops.pop()):
            return
        place = place.below(f"{folder}/")


def _pair(place: Storage, patterns: tuple[str, ...]) -> tuple[Storage | None, Storage | None]:
    """The places of A and B in the first pattern of which one holds images."""
    prefixes: dict[str, str] = {}
    for name in place.names:
        if is_image(name):
            parts = name.split("/")[:-1]
            for depth in (1, 2):
                prefix = "/".join(parts[:depth])
                prefixes.setdefault(prefix.lower(), prefix)
    for pattern in patterns:
        a, b = (prefixes.get(pattern.format(domain)) for domain in "ab")
        if a or b:
            return (place.below(f"{a}/") if a else None, place.below(f"{b}/") if b else None)
    return None, None
