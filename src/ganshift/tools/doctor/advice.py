"""What to run on these pictures, and what published runs on as many lead one to expect."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ...data.open import PREFIX
from ...inference.names import bundled_models
from ...methods.dual.config import PRESETS as DUAL_PRESETS
from ...methods.dual.config import DualConfig
from ...methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ...methods.transfer.config import SIZES, TransferConfig
from ...tensors import height_and_width
from ...training import run_folder
from .scan import Facts

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
FEW_SHOT = 1_000
"""Up to this, the command for an accelerator takes the preset for few images."""
SHARED_ASPECT = 0.6
"""Share of the pictures of each domain that must have an aspect for training to take it."""
WORTH_AN_ASPECT = 0.1
"""Share of the pixels that squares must cut away for that."""
SMALLEST = 32
"""No side of a training image may be less."""


@dataclass(frozen=True)
class Advice:
    """A run to start with."""

    config: TransferConfig | DualConfig
    command: str
    """The same, to be typed."""
    preset: str
    num_images: int
    """Training images, of the smaller domain if there are two: those of an epoch."""
    why: list[str]
    """Reasons, and ways to do better, a sentence or two each."""
    published: list[str]
    """What published runs on about as many images came to."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the training images."""
        config = self.config
        return config.image_size if isinstance(config, DualConfig) else height_and_width(config.size or SIZES[0])

    @property
    def budget(self) -> int:
        """Images that the run will show."""
        return self.config.budget(self.config.batch * self.config.critic_steps, self.num_images)

    def to_json(self) -> dict[str, Any]:
        """What is advised as JSON values."""
        return {
            "command": self.command,
            "preset": self.preset,
            "size": list(self.size),
            "budget": self.budget,
            "epochs": round(self.budget / self.num_images, 2),
            "why": self.why,
            "published": self.published,
        }


def advise(train: Sequence[Facts], data: Path, data_b: Path | None, on_accelerator: bool) -> Advice:
    """A command for the training part, or for those of two domains, all of which have readable pictures."""
    name = data.stem if data_b is None else f"{data.stem}-{data_b.stem}"
    out = _free(Path("runs") / (name.removeprefix(PREFIX) or "mine"))
    if len(train) == 2:
        return _dual(train, {"data": data} if data_b is None else {"a": data, "b": data_b}, out, on_accelerator)
    return _transfer(train[0], data, out, on_accelerator)


def _transfer(facts: Facts, data: Path, out: Path, on_accelerator: bool) -> Advice:
    num_images, why = len(facts.pictures), []
    per_class = min((number for number in facts.classes.values() if number), default=0)
    has_classes = len([number for number in facts.classes.values() if number]) > 1
    settings: dict[str, Any] = {}
    if not on_accelerator:
        preset = "small"
        why.append("small is made for two processor cores: there is no accelerator here.")
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
        source = _fitting_source(facts.usual_channels, {**TRANSFER_PRESETS[preset], **settings})
        if source:
            settings["source"] = source
            why.append(f"{source} ships and has the same channels and size: few images gain most from a source.")
        else:
            why.append(
                "With few images a source helps most. None that ships fits these: train one on many pictures of a "
                f"related kind, with --preset {preset} too, and add --source runs/THAT-RUN."
            )
    config = TransferConfig(**{**TRANSFER_PRESETS[preset], **settings, "data": data, "out": out})
    published = _published(num_images, CURVE, "images", "ImageNet to LSUN bedrooms")
    if "conditioning" in settings and has_classes:
        published += _published(per_class, CLASS_CURVE, "images a class", "Places to ten classes of LSUN")
    published.append(
        "Those are FIDs of GPU runs on Inception features: neither a promise, nor comparable with FID[cifar]."
    )
    return Advice(
        config, _command("transfer", preset, settings, {"data": data}, out), preset, num_images, why, published
    )


def _dual(train: Sequence[Facts], where: Mapping[str, Path], out: Path, on_accelerator: bool) -> Advice:
    settings: dict[str, Any] = {}
    if not on_accelerator:
        preset, why = "small", ["small is made for one or two processor cores: there is no accelerator here."]
    else:
        preset, why = "sketch-photo", ["sketch-photo has the published settings and wants an accelerator."]
    wanted = DUAL_PRESETS[preset]["size"]
    shorter = int(min(facts.shorter_side for facts in train))
    if shorter < wanted:
        settings["size"] = max(SMALLEST, shorter)
        why.append(f"Half of the pictures of a domain are at most {shorter} pixels on their shorter side.")
    aspect = _shared_aspect(train)
    if aspect is not None:
        settings["aspect"] = aspect
        cut = max(facts.cropped() for facts in train)
        why.append(f"Most pictures are {aspect}; squares would cut away {cut:.0%} of a domain's pixels.")
    config = DualConfig(**{**DUAL_PRESETS[preset], **settings, **where, "out": out})
    num_images = min(len(facts.pictures) for facts in train)
    published = [
        "There is no published curve of DualGAN by number of images. Its runs took 30 to 100 epochs at 256 pixels, an "
        "epoch being the smaller folder; on sketch-photo the round trips came back to 0.026 (mean distance, GPU)."
    ]
    return Advice(config, _command("dual", preset, settings, where, out), preset, num_images, why, published)


def _shared_aspect(train: Sequence[Facts]) -> str | None:
    """The aspect that most pictures of every domain have, if squares would cut away much of them."""
    aspect, _ = next(iter(train[0].aspects.items()))
    shared = all(facts.aspects.get(aspect, 0) >= SHARED_ASPECT * len(facts.pictures) for facts in train)
    return aspect if shared and all(facts.cropped() > WORTH_AN_ASPECT for facts in train) else None


def _fitting_source(channels: int, settings: Mapping[str, Any]) -> str | None:
    """A bundled source that a run of these settings can start from; with classes, if the run has them and one fits.

    Of several the widest: settings that name no width leave it to the source.
    """
    fitting: dict[tuple[bool, int], str] = {}
    for name, folder in bundled_models("transfer").items():
        theirs = run_folder.read_config(folder)["generator"]
        ours = {"channels": channels, **settings}
        if all(ours.get(setting) in (None, theirs[setting]) for setting in ("channels", "size", "width")):
            has_classes = theirs["num_classes"] > 0
            fitting[has_classes == (settings.get("conditioning") == "acgan"), theirs["width"]] = name
    return fitting[max(fitting)] if fitting else None


def _published(number: int, curve: Mapping[int, tuple[float, float]], unit: str, runs: str) -> list[str]:
    """The points of a curve on both sides of a number."""
    below = [point for point in curve if point <= number][-1:]
    above = [point for point in curve if point > number][:1]
    lead = "" if below else f"Fewer than any published run has ({min(curve):,} {unit}). "
    points = "; ".join(
        f"{point:,} {unit}: FID {curve[point][1]} pretrained, {curve[point][0]} from scratch" for point in below + above
    )
    return [f"{lead}{runs} (Wang et al. 2018), {points}."]


def _command(command: str, preset: str, settings: Mapping[str, Any], where: Mapping[str, Path], out: Path) -> str:
    words = ["ganshift", command]
    for name, value in {**where, "preset": preset, **settings, "out": out}.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _free(out: Path) -> Path:
    """The folder, or with a number behind it, so that it is new."""
    if not out.exists():
        return out
    return next(path for number in count(2) if not (path := out.with_name(f"{out.name}-{number}")).exists())
