"""What to run on images of one domain, and what published runs on as many lead one to expect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...inference.names import bundled_models
from ...training import run_folder
from ..advice import Advice, PictureFacts, command_line
from .config import PRESETS, SIZES, TransferConfig

CURVE: Mapping[int, tuple[float, float]] = {
    1_000: (256.1, 93.4),
    5_000: (86.0, 74.3),
    10_000: (73.7, 47.0),
    50_000: (45.5, 29.6),
    100_000: (32.9, 24.4),
    500_000: (24.9, 21.6),
    1_000_000: (21.0, 18.5),
}
"""FID by number of target images, from scratch and pretrained: ImageNet to LSUN bedrooms (Wang et al. 2018)."""
CLASS_CURVE: Mapping[int, tuple[float, float]] = {100: (186.6, 109.1), 1_000: (134.1, 77.8), 10_000: (49.6, 42.7)}
"""The same by number of images of each class: conditional, Places to the ten classes of LSUN."""
FEW_FOR_SCRATCH = 10_000
"""Up to this, a source is looked for: the published pretrained runs are far ahead there."""
NOT_ADVISED = ("emoji64", "cifar10")
"""Bundled sources: what photographs gain from drawings was not measured; cifar10-small is better
(docs/reports/2026-11-bundled-models.md)."""
FEW_SHOT = 1_000
"""Up to this, the command for an accelerator takes the preset for few images."""
FEW_ON_PROCESSORS = 500
"""Up to this, the command for a processor takes the preset for few images, if they have colours: others were not
measured (docs/reports/2026-11-small-batches.md)."""


def advise(train: Sequence[PictureFacts], where: Mapping[str, Path], out: Path, on_accelerator: bool) -> Advice:
    """A run for images of one domain: with classes where each has enough images, from a source where one fits."""
    (facts,) = train
    num_images, why = len(facts.pictures), []
    per_class = min((number for number in facts.classes.values() if number), default=0)
    has_classes = len([number for number in facts.classes.values() if number]) > 1
    settings: dict[str, Any] = {}
    if not on_accelerator and num_images <= FEW_ON_PROCESSORS and facts.usual_channels == 3:
        preset = "small-few"
        why.append(f"small-few is made for up to {FEW_ON_PROCESSORS} images in colour on one or two processor cores.")
    elif not on_accelerator:
        preset = "small"
        why.append("small is made for one or two processor cores, and there is no accelerator here.")
    elif num_images <= FEW_SHOT:
        preset = "few-shot"
        why.append(f"few-shot is made for up to {FEW_SHOT:,} images on an accelerator.")
    elif facts.shorter_side >= 64:
        preset = "authors64"
        why.append("authors64 has the published settings for pictures of 64 pixels.")
    else:
        preset = "cifar10"
        why.append("cifar10 has the published settings for pictures of 32 pixels.")
    if has_classes and per_class >= min(CLASS_CURVE):
        settings["conditioning"] = "acgan"
        why.append("There are classes, with enough images of each: acgan lets you draw one by name.")
    elif preset == "cifar10":
        settings["conditioning"] = "none"
    elif has_classes:
        why.append(
            f"A class has only {per_class:,} images: all are learned as one kind. --conditioning acgan would tell "
            "classes apart."
        )
    if num_images <= FEW_FOR_SCRATCH:
        source = _fitting_source(facts.usual_channels, {**PRESETS[preset], **settings})
        if source:
            settings["source"] = source
            why.append(f"{source} ships and has the same channels and size: few images gain most from a source.")
        else:
            why.append(
                "With few images a source helps most. None that ships fits these: train one on many pictures of a "
                f"related kind, with --preset {preset} too, and add --source runs/THAT-RUN."
            )
    config = TransferConfig(**{**PRESETS[preset], **settings, **where, "out": out})
    published = _published(num_images, CURVE, "images", "ImageNet to LSUN bedrooms")
    if "conditioning" in settings and has_classes:
        published += _published(per_class, CLASS_CURVE, "images a class", "Places to ten classes of LSUN")
    published.append(
        "Those are FIDs of GPU runs on Inception features: neither a promise, nor comparable with FID[cifar]."
    )
    return Advice(
        config=config,
        command=command_line("transfer", preset, settings, where, out),
        preset=preset,
        size=(config.size or SIZES[0],) * 2,
        num_images=num_images,
        why=why,
        published=published,
    )


def _fitting_source(channels: int, settings: Mapping[str, Any]) -> str | None:
    """A bundled source that a run of these settings can start from; with classes, if the run has them and one fits."""
    fitting: dict[bool, str] = {}
    for name, folder in bundled_models("transfer").items():
        theirs = run_folder.read_config(folder)["generator"]
        ours = {"channels": channels, **settings}
        if name not in NOT_ADVISED and all(
            ours.get(setting) in (None, theirs[setting]) for setting in ("channels", "size", "width")
        ):
            has_classes = theirs["num_classes"] > 0
            fitting[has_classes == (settings.get("conditioning") == "acgan")] = name
    return fitting[max(fitting)] if fitting else None


def _published(number: int, curve: Mapping[int, tuple[float, float]], unit: str, runs: str) -> list[str]:
    """The points of a curve on both sides of a number."""
    below = [point for point in curve if point <= number][-1:]
    above = [point for point in curve if point > number][:1]
    lead = "" if below else f"No published run had so few {unit}. The nearest: "
    points = "; ".join(
        f"{point:,} {unit}: FID {curve[point][1]} pretrained, {curve[point][0]} from scratch" for point in below + above
    )
    return [f"{lead}{runs} (Wang et al. 2018), {points}."]
