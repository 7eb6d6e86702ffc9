"""Features of reference sets, kept in a folder between commands: extracting them again takes longest."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float32
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..files import cache_folder, write_atomically
from .scores import Statistics

logger = logging.getLogger("ganshift")


@dataclass(frozen=True)
class Reference:
    """Features of a reference set, of each image one row or one for each of its crops, and their statistics."""

    features: Float32[Tensor, "m d"]
    statistics: Statistics
    colours: Float32[Tensor, "n 6"]
    """Of each image, as `scores.colours` has them."""


def load_cached(key: str) -> Reference | None:
    """The entry of a key; None where there is none, or it cannot be read, which costs a warning."""
    path = _path(key)
    if not path.exists():
        return None
    try:
        found = load_file(path)
        return Reference(found["features"], Statistics(found["mean"], found["covariance"]), found["colours"])
    except (OSError, SafetensorError, KeyError) as error:
        logger.warning("%s cannot be read (%s): extracting again", path, error)
        return None


def cache(reference: Reference, key: str) -> None:
    """Keep an entry; where that cannot be, a warning says so."""
    statistics = reference.statistics
    content = {"features": reference.features, "mean": statistics.mean, "covariance": statistics.covariance}
    content["colours"] = reference.colours
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda beside: save_file(content, beside))
    except OSError as error:
        logger.warning("cannot cache the features of the reference in %s (%s)", path.parent, error.strerror)


def _path(key: str) -> Path:
    return cache_folder() / "features" / f"{hashlib.sha256(key.encode()).hexdigest()}.safetensors"
