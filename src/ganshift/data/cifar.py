"""CIFAR-10 and CIFAR-100 in their published form, python pickles, read without trusting them.

A pickle is a program. This one may call nothing but two stand-ins written here, which note what array is meant; not
even NumPy's own types are within its reach, because `numpy.ndarray` called with hostile arguments can crash Python.
It is run by Python's own interpreter of pickles, not by the one in C: that one makes room for as many notes as ten
bytes ask for, which is all memory there is.
"""

import io
import pickle
import re
from typing import Any

import numpy as np

from ..errors import UserError, first_line
from ..tensors import Side
from .datasets import ImageSet, open_array
from .folders import Split
from .storage import Storage

_FILES = {"train": re.compile(r"data_batch_\d+|train"), "test": re.compile(r"test_batch|test")}
_NAMES = ("batches.meta", "meta")
MAX_CLASSES = 1000
"""Labels beyond are damage: CIFAR-100 has 100 classes."""


def read_cifar(place: Storage, split: Split, size: Side | None = None, channels: int | None = None) -> ImageSet:
    """All images of a split in the order of the files, as `open_array` makes them; fine labels for CIFAR-100."""
    files = [name for name in place.names if _FILES[split].fullmatch(name)]
    if not files:
        raise UserError(f"{place.where} has no CIFAR batch of the {split} split; put its files there or give the other")
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for file in files:
        batch = _unpickle(place, file)
        try:
            pixels = batch["data"].to_numpy()
            given = batch["fine_labels"] if "fine_labels" in batch else batch["labels"]
            if not all(type(label) is int and 0 <= label < MAX_CLASSES for label in given):  # before NumPy goes deep
                raise ValueError(f"labels must be numbers from 0 to {MAX_CLASSES - 1}")
            numbers = np.array(given, dtype=np.int64)
            if pixels.dtype != np.uint8 or numbers.shape != (len(pixels),):
                raise ValueError("data and labels do not fit each other")
            images.append(pixels.reshape(len(pixels), 3, 32, 32))
        except Exception as error:  # where anything can be in place of anything, anything can be raised
            raise UserError(
                f"{place.where}/{file} is not a CIFAR batch ({first_line(error)[:80]}); download it again"
            ) from error
        labels.append(numbers)
    names = [
        f"{file}/{index:05d}" for file, numbers in zip(files, labels, strict=True) for index in range(len(numbers))
    ]
    all_labels = np.concatenate(labels)
    classes = _class_names(place, int(all_labels.max(initial=0)) + 1)
    return open_array(np.concatenate(images), all_labels, classes, names, size, channels)


def _class_names(place: Storage, num_classes: int) -> tuple[str, ...]:
    """Names from the meta file; numbers as text where there is none."""
    for file in _NAMES:
        if file in place.names:
            meta = _unpickle(place, file)
            names = meta.get("fine_label_names") or meta.get("label_names")
            if isinstance(names, list) and len(names) in range(num_classes, MAX_CLASSES + 1):
                try:
                    return tuple(map(_text, names))
                except TypeError:
                    break
    return tuple(map(str, range(num_classes)))


class _DtypeStandIn:
    """Takes the place of `numpy.dtype`: remembers a type code."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False):
        self.code = _text(code)
        self.order = "|"

    def __setstate__(self, state: Any) -> None:
        self.order = _text(state[1])


class _ArrayStandIn:
    """Takes the place of `numpy.core.multiarray._reconstruct`: remembers shape, type and bytes."""

    def __init__(self, subtype: Any, shape: Any, code: Any):
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def to_numpy(self) -> np.ndarray:
        _, shape, dtype, is_fortran, raw = self.state
        if dtype.code not in ("u1", "i4", "i8") or dtype.order not in ("|", "<", ">", "="):
            raise ValueError(f"holds values of type {dtype.code!r}")
        flat = np.frombuffer(raw, dtype=np.dtype(dtype.code).newbyteorder(dtype.order))
        return flat.reshape(tuple(shape), order="F" if is_fortran else "C")


class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        match module, name:
            case ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct"):
                return _ArrayStandIn
            case ("numpy", "ndarray"):
                return "ndarray"  # only ever the first argument of the one above
            case ("numpy", "dtype"):
                return _DtypeStandIn
        raise pickle.UnpicklingError(f"asks for {module}.{name}, which is not allowed")


def _unpickle(place: Storage, file: str) -> dict[str, Any]:
    """The dictionary in a file, with text keys whatever Python wrote it."""
    try:
        found = _Unpickler(io.BytesIO(place.read(file)), encoding="bytes").load()
        return {_text(key): value for key, value in found.items()}
    except Exception as error:  # hostile or damaged bytes make an unpickler raise anything
        reason = first_line(error)[:80]
        raise UserError(f"{place.where}/{file} is not a CIFAR file ({reason}); remove or replace it") from error


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, str):
        return value
    raise TypeError(f"{type(value).__name__} in place of text")
