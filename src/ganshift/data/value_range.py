"""Which values of a domain are black and white: files of more than 8 bits a value seldom use all that their type holds.

Files of 8 bits always use 0 to 255. Of others a run finds its range once, or is told it, and keeps it in `config.json`
for resuming, sampling, translating and scoring.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, Literal, final

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16

from ..errors import UserError

PERCENTILES = (0.1, 99.9)
"""Of the values that are looked at: what is found to be black and white."""
LEVELS = 65535
"""White, where a range is divided into 16 bits."""
STORED = "value_ranges"
"""The key of `config.json`, with a range for each set of images that has one."""
FIND: Final = "find"
"""To find the range in the images."""
_PART = 2**20  # values converted at a time
_MOST_VALUES = 2**22  # of one array are looked at for its range


@final
@dataclass(frozen=True)
class ValueRange:
    """From black to white, in the units of the files."""

    low: int | float
    high: int | float
    dtype: str = ""
    """The type of the values, such as int16; empty where it is not known yet."""
    unit: str = ""
    """What they are, if it was said: hu, metres."""

    def levels(self, values: Shaped[np.ndarray, "*shape"]) -> UInt16[np.ndarray, "*shape"]:
        """Values in 16 bits: black is 0 and white 65535; what lies outside is clipped; nan is black."""

        def scale(part: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore", over="ignore"):  # floats of damaged files
                scaled = (part.astype(np.float64) - self.low) / (self.high - self.low) * LEVELS
            return np.nan_to_num(scaled, copy=False).round().clip(0, LEVELS)

        return _in_parts(scale, values, np.dtype(np.uint16))

    def values(self, levels: UInt16[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
        """What `levels` stand for, in the units and the type of the files."""
        values, kind = levels * ((self.high - self.low) / LEVELS) + self.low, np.dtype(self.dtype)
        if kind.kind == "f":
            return values.astype(kind)
        limits = np.iinfo(kind)
        return values.round().clip(limits.min, limits.max).astype(kind)

    def __str__(self) -> str:
        """As --range takes it."""
        return f"{self.unit}:" * bool(self.unit) + f"{self.low:.10g},{self.high:.10g}"

    def in_words(self) -> str:
        """What becomes black and white."""
        unit = f" {self.unit}" * bool(self.unit)
        return f"{self.low:,.10g} to {self.high:,.10g}{unit} ({self.dtype}) are black to white"

    def to_json(self) -> dict[str, Any]:
        """As `config.json` keeps it."""
        return {"low": self.low, "high": self.high, "type": self.dtype, "unit": self.unit}


def eight_bits(levels: UInt16[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Levels of 16 bits in 8, to the nearest."""
    return _in_parts(lambda part: (part / (LEVELS / 255)).round(), levels, np.dtype(np.uint8))


def _in_parts(function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, kind: np.dtype[Any]) -> np.ndarray:
    """What a function of single values gives, in another type; part by part, since it works in float64."""
    result, flat = np.empty(values.shape, kind), values.reshape(-1)
    for start in range(0, flat.size, _PART):
        result.reshape(-1)[start : start + _PART] = function(flat[start : start + _PART])
    return result


def opaque_at_top(kind: np.dtype[Any]) -> ValueRange:
    """The range of opacity beside values of this type: up to the largest of the type, or 1."""
    return ValueRange(0, 1.0 if kind.kind == "f" else float(np.iinfo(kind).max), kind.name)


Wanted = ValueRange | Literal["find"] | None
"""A range; to be found; or None, for files of 8 bits and for runs of 0.1.0, which know no ranges."""


def parse_range(text: str, name: str = "range") -> ValueRange:
    """The range that LOW,HIGH or UNIT:LOW,HIGH says; a `UserError` if it says none."""
    found = re.fullmatch(r"\s*(?:([^:,]*):)?([^:,]+),([^:,]+)", text)
    try:
        low, high = (float(value) for value in found.groups()[1:]) if found else (0.0, 0.0)
    except ValueError:
        low, high = 0.0, 0.0
    if not (low < high and isfinite(high - low)):
        raise UserError(f"{name} must be LOW,HIGH or UNIT:LOW,HIGH, such as hu:-1000,1000, got {text!r}")
    return ValueRange(low, high, unit=((found and found[1]) or "").strip())


def range_of_values(values: Sequence[Shaped[np.ndarray, "..."]]) -> ValueRange:
    """What these values, all of one type, use of it.

    That is from percentile 0.1 to 99.9 if they are floats, or if these cover less than half of the type; else it is the
    whole type. What is not finite does not count. Of large arrays every second value is looked at, or every third, ...
    """
    kind = values[0].dtype
    every = np.concatenate([part.reshape(-1)[:: 1 + part.size // _MOST_VALUES] for part in values])
    every = every[np.isfinite(every)]
    low, high = np.percentile(every.astype(np.float64), PERCENTILES).tolist() if len(every) else (0.0, 1.0)
    if kind.kind == "f":
        low, high = float(f"{low:.6g}"), float(f"{high:.6g}")
    else:
        low, high = float(np.floor(round(low, 6))), float(np.ceil(round(high, 6)))
        limits = np.iinfo(kind)
        if high - low >= (int(limits.max) - int(limits.min)) / 2:
            low, high = float(limits.min), float(limits.max)
    return ValueRange(low, high if high > low else low + max(1, abs(low) * 1e-6), kind.name)


def stored_range(config: Mapping[str, Any], of: str = "images") -> ValueRange | None:
    """The range of a set of images that a `config.json` holds, if there is one; a `UserError` if it is damaged."""
    ranges = config.get(STORED)
    found = ranges.get(of) if isinstance(ranges, Mapping) else None
    if found is None:
        return None
    try:
        kind = np.dtype(str(found["type"])).name
        stored = ValueRange(float(found["low"]), float(found["high"]), kind, str(found["unit"]))
        if stored.low < stored.high and isfinite(stored.high - stored.low) and np.dtype(kind).kind in "iuf":
            return stored
    except (KeyError, TypeError, ValueError):
        pass
    raise UserError(f"{STORED} of {of} in config.json is damaged: {str(found)[:80]}")


def ranges_to_json(ranges: Mapping[str, ValueRange | None]) -> dict[str, Any]:
    """What `config.json` gets for sets of images; nothing where none has a range, as in runs of 0.1.0."""
    found = {name: each.to_json() for name, each in ranges.items() if each is not None}
    return {STORED: found} if found else {}
