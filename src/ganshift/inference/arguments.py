"""What notebooks pass: NumPy's numbers, lists, arrays and tensors of any type become what is computed with.

Whatever cannot be is a `UserError` that names the argument, its rule and its value.
"""

import operator
from collections.abc import Sequence
from math import isnan
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, printable
from ..tensors import Labels, Latents

Array = Tensor | np.ndarray | Sequence[Any]
"""Numbers in one or more dimensions."""
SHOWN = 60
"""Characters of a wrong value that are said again."""


def is_array(value: Any) -> TypeGuard[Array]:
    """Whether it holds numbers in one or more dimensions, and is neither one number nor a text."""
    if isinstance(value, Tensor | np.ndarray):
        return value.ndim > 0
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def whole_number(name: str, value: Any, least: int, most: int = 2**63 - 1) -> int:
    """A whole number within these bounds, of whatever type of integer."""
    try:
        number = operator.index(value)
    except (TypeError, RuntimeError):  # RuntimeError: a tensor of several numbers
        raise UserError(f"{name} must be a whole number, got {shown(value)}") from None
    if isinstance(value, bool | np.bool_):
        raise UserError(f"{name} must be a whole number, got {value}")
    if not least <= number <= most:
        bound = f"at least {least}" if number < least else f"at most {most:,}"
        raise UserError(f"{name} must be {bound}, got {number}")
    return number


def number(name: str, value: Any) -> float:
    """A number that is one, of whatever type but text."""
    try:
        found = float("nan") if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError):
        found = float("nan")
    if isnan(found):
        raise UserError(f"{name} must be a number, got {shown(value)}")
    return found


def latents_from(value: Array, dim: int) -> Latents:
    """Latents [n, dim] in float32, where they are if they are a tensor."""
    latents = _tensor("latents", value).to(torch.float32)
    if latents.ndim != 2 or latents.shape[1] != dim or not len(latents):
        raise UserError(f"latents must be [n, {dim}], got {list(latents.shape)}")
    if not latents.isfinite().all():
        raise UserError("latents must be finite numbers, got some that are not")
    return latents


def labels_from(value: Array, count: int, num_classes: int) -> Labels:
    """Class numbers [count]."""
    labels = _tensor("labels", value)
    rule = f"labels must be {count} whole numbers from 0 to {num_classes - 1}, one for each image"
    if labels.shape != (count,):
        raise UserError(f"{rule}; their shape is {list(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise UserError(f"{rule}; they are of type {labels.dtype}")
    if not ((labels >= 0) & (labels < num_classes)).all():
        raise UserError(f"{rule}, got {shown(labels.tolist())}")
    return labels.to(torch.int64)


def shown(value: Any) -> str:
    """A wrong value in a message: short, on one line."""
    text = printable(" ".join(repr(value).split()))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _tensor(name: str, value: Array) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    try:
        array = np.asarray(value)
        # Torch takes no reversed or read-only arrays, and not all of NumPy's types.
        kind = np.float32 if array.dtype.kind == "f" else np.int64
        if array.dtype.kind not in "fiu" or (array.dtype == np.uint64 and array.max(initial=0) > 2**63 - 1):
            raise TypeError
        return torch.from_numpy(np.array(array, kind, order="C"))
    except (TypeError, ValueError, RuntimeError):  # of lists that are no array, such as those of unequal rows
        raise UserError(f"{name} must be an array of numbers, got {shown(value)}") from None
