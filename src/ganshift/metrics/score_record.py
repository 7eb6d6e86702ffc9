"""A score record: one score with everything that another must share to be ranked against it; on disk, a card."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from math import floor, hypot, isfinite, isnan, log10, sqrt
from pathlib import Path
from typing import Any

from ..errors import UserError, first_line
from ..files import read_text
from ..training.config import PositiveInt, check_values, settings_from
from .views import View

HIGHER_IS_BETTER = {
    "IS": True,
    "FID": False,
    "KID": False,
    "precision": True,
    "recall": True,
    "colour": False,
    "L1": False,
    "PSNR": True,
    "SSIM": True,
}
"""The scores in the order in which they are shown, and which way is better."""
PER_IMAGE = ("L1", "PSNR", "SSIM")
"""Means over images."""
INCEPTION_SPLITS = 10
"""Of the Inception Score, as published (Salimans et al. 2016)."""
AS_IN_REFERENCE, IN_TURN = "as often as in the reference", "in turn"
"""How the classes of generated images are chosen."""
CLEAR = 2.0
"""A difference of fewer standard errors ranks nothing."""
MEASURED = frozenset({"value", "spread", "differences", "model_hash", "trained_by"})
"""What two records may differ in: the models and their scores."""


@dataclass(frozen=True, kw_only=True)
class ScoreRecord:
    """One number and how it came about."""

    metric: str
    """A name of `HIGHER_IS_BETTER`; for a translator with its way behind it, such as "FID a-b"."""
    protocol: str
    """Settings of the metric, such as the number of splits, and how images were normalised if not as usual."""
    value: float
    spread: float
    """IS: standard deviation over splits. KID: over subsets. L1, PSNR, SSIM: over images. FID and colour: standard
    error by the jackknife over generated images. Precision and recall: binomial standard error."""
    num_generated: PositiveInt
    num_reference: int
    reference_split: str | None
    """None where the score takes no reference."""
    reference_hash: str | None
    """Content of the reference at the size and channels of the model."""
    extractor: str | None
    """None where pixels are compared."""
    extractor_hash: str | None
    resize_rule: str | None
    """How the extractor brings images to its size, or which crops it sees instead."""
    quantisation: str
    seed: int | None
    """Of the latents; None where nothing is drawn."""
    model_hash: str
    """SHA-256 of model.safetensors."""
    versions: dict[str, str]
    labels: str | None = field(default=None, repr=False)  # so that what runs of 0.1.0 have measured still counts
    """`AS_IN_REFERENCE` or `IN_TURN`; None without classes, and in cards of 0.1.0, which took them in turn."""
    differences: list[float] = field(default_factory=list, repr=False)
    """Of colour: generated minus reference, the mean of each channel and then its standard deviation, in [-1, 1]."""
    trained_by: list[str] = field(default_factory=list, repr=False)
    """Extractors that the model was trained with, whose scores of it say nothing."""

    @property
    def kind(self) -> str:
        """The metric without its way."""
        return self.metric.split(" ")[0]

    @property
    def view(self) -> View:
        """What the extractor saw of each image."""
        return "crops" if "crops of" in (self.resize_rule or "") else "whole"

    @property
    def name(self) -> str:
        """The metric with its extractor, such as "FID[cifar]", or "FID[cifar crops]" where that saw crops.

        A score without one is not the published score.
        """
        kind, space, way = self.metric.partition(" ")
        seen = " crops" if self.view == "crops" else ""
        return f"{kind}[{self.extractor}{seen}]{space}{way}" if self.extractor else self.metric

    @property
    def judges_itself(self) -> bool:
        """Whether the network whose features were compared is one that trained the model."""
        return self.extractor in self.trained_by

    @property
    def standard_error(self) -> float:
        """Of the value. For KID the spread over subsets, which is more than that."""
        if self.kind == "IS":
            return self.spread / sqrt(INCEPTION_SPLITS)
        return self.spread / sqrt(self.num_generated) if self.kind in PER_IMAGE else self.spread

    @property
    def rank(self) -> int:
        """Place of its metric among those of `HIGHER_IS_BETTER`."""
        return list(HIGHER_IS_BETTER).index(self.kind)

    @property
    def text(self) -> str:
        """The value with its spread, rounded to be read; of colour with what each channel differs by."""
        text = f"{_rounded(self.value, self.spread)} ± {self.spread:.2g}"
        if self.differences:
            half = len(self.differences) // 2
            parts = {"mean": self.differences[:half], "spread": self.differences[half:]}
            told = (f"{name} {' '.join(f'{each:+.2f}' for each in values)}" for name, values in parts.items())
            text += f" ({'; '.join(told)})"
        return f"{text}, by a network that trained the model" if self.judges_itself else text

    @property
    def how(self) -> "ScoreRecord":
        """The same without a model, its score and versions: what was measured, and how.

        Classes as in the reference are what a generator without classes draws, too.
        """
        labels = None if self.labels == AS_IN_REFERENCE else self.labels
        blank: dict[str, Any] = {"differences": [], "trained_by": [], "model_hash": "", "versions": {}}
        return replace(self, value=0.0, spread=0.0, labels=labels, **blank)

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; a number that is not finite, such as the PSNR of equal images, is its name."""
        numbers = {"value": self.value, "spread": self.spread}
        return asdict(self) | {name: each if isfinite(each) else str(each) for name, each in numbers.items()}


def load_record(path: Path) -> ScoreRecord:
    """Read the file of a record; a `UserError` if it holds none."""
    try:
        return record_from(json.loads(read_text(path)))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path} is not a card ({first_line(error)}): give a file that ganshift evaluate wrote"
        ) from None


def record_from(content: Any) -> ScoreRecord:
    """What `ScoreRecord.to_json` made this of; a `ValueError`, `TypeError` or `KeyError` if that is no record."""
    numbers = {name: content[name] for name in ("value", "spread")}
    for name, number in numbers.items():
        if number in ("inf", "-inf", "nan"):
            numbers[name] = float(number)
        else:
            check_values(ScoreRecord, {name: number})
    rest = {name: value for name, value in content.items() if name not in numbers}
    record = settings_from(ScoreRecord, rest, **numbers)
    if not all(isinstance(version, str) for version in record.versions.values()):
        raise TypeError("its versions are no texts")
    if not all(isinstance(each, float) for each in record.differences) or len(record.differences) % 2:
        raise TypeError("its differences are no numbers of channels")
    if record.kind not in HIGHER_IS_BETTER:
        raise ValueError(f"this version does not know the metric {record.metric}")
    return record


def unlike(first: ScoreRecord, second: ScoreRecord) -> list[str]:
    """What keeps two records from being ranked, one entry a field; empty if nothing does.

    No network judges what it trained: a generator may please it without being better.
    """
    judges = {record.extractor for record in (first, second) if record.judges_itself}
    found = [f"{name} trained a model that it judges" for name in judges]
    one, other = (replace(record.how, versions=record.versions) for record in (first, second))
    for name in (each.name for each in fields(ScoreRecord) if each.name not in MEASURED):
        before, after = getattr(one, name), getattr(other, name)
        if isinstance(before, dict):
            keys = sorted({*before, *after})
            found += [
                f"version of {key}: {before.get(key)} / {after.get(key)}"
                for key in keys
                if before.get(key) != after.get(key)
            ]
        elif before != after:
            found.append(f"{name.replace('_', ' ')}: {_short(name, before)} / {_short(name, after)}")
    return found


@dataclass(frozen=True)
class Difference:
    """The second record's value minus the first's."""

    value: float
    standard_error: float
    """The errors of both taken as independent."""
    verdict: str


def difference(first: ScoreRecord, second: ScoreRecord) -> Difference:
    """How two alike records differ; a `UserError` that names what differs refuses others."""
    if reasons := unlike(first, second):
        raise UserError(
            f"{first.name} and {second.name} are not comparable ({'; '.join(reasons)}): evaluate both the same way"
            + (", with another --extractor" if first.judges_itself or second.judges_itself else "")
        )
    value = 0.0 if second.value == first.value else second.value - first.value  # infinities may be equal too
    error = hypot(first.standard_error, second.standard_error)
    if abs(value) <= CLEAR * error or value == 0 or isnan(value):
        return Difference(value, error, "no clear difference")
    better = (value > 0) == HIGHER_IS_BETTER[first.kind]
    return Difference(value, error, "B is better" if better else "A is better")


def record_rows(records: Sequence[ScoreRecord]) -> list[dict[str, Any]]:
    """One row a record for a table on screen; the hashes are cut short, and the files have the rest."""
    return [
        {
            "score": record.name,
            "value": record.text,
            "generated": f"{record.num_generated:,}",
            "reference": f"{record.num_reference:,} {record.reference_split or ''}".strip(),
            "content": _short("reference_hash", record.reference_hash),
            "weights": _short("extractor_hash", record.extractor_hash),
            "protocol": record.protocol,
            "resize": record.resize_rule,
            "quantisation": record.quantisation,
            "seed": record.seed,
            "labels": record.labels,
            "model": _short("model_hash", record.model_hash),
            "versions": ", ".join(f"{package} {version}" for package, version in record.versions.items()),
        }
        for record in records
    ]


def _rounded(value: float, spread: float) -> str:
    """At most four digits, and none beyond the second of the spread."""
    if not (value and spread and isfinite(value) and isfinite(spread)):
        return f"{value:.4g}"
    before_point, last = floor(log10(abs(value))) + 1, 1 - floor(log10(spread))
    return f"{value:.{min(4, max(1, before_point, before_point + last))}g}"


def _short(name: str, value: Any) -> Any:
    return value[:8] if name.endswith("_hash") and value else value
