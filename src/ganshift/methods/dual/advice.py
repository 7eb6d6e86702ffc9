"""What to run on images of two domains, and what published runs lead one to expect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..advice import Advice, PictureFacts, command_line
from .config import PRESETS, DualConfig

SHARED_ASPECT = 0.6
"""Share of the pictures of each domain that must have an aspect for training to take it."""
WORTH_AN_ASPECT = 0.1
"""Share of the pixels that squares must cut away for that."""
SMALLEST = 32
"""No side of a training image may be less."""


def advise(train: Sequence[PictureFacts], where: Mapping[str, Path], out: Path, on_accelerator: bool) -> Advice:
    """A run for two domains, at the size and the aspect that their images have."""
    settings: dict[str, Any] = {}
    if not on_accelerator:
        preset, why = "small", ["small is made for one or two processor cores, and there is no accelerator here."]
    else:
        preset, why = "sketch-photo", ["sketch-photo has the published settings and wants an accelerator."]
    wanted = PRESETS[preset]["size"]
    shorter = int(min(facts.shorter_side for facts in train))
    if shorter < wanted:
        settings["size"] = max(SMALLEST, shorter)
        why.append(f"Half of the pictures of a domain are at most {shorter} pixels on their shorter side.")
    if PRESETS[preset].get("receptive_field", 0) >= settings.get("size", wanted):
        settings["receptive_field"] = settings["size"] // 2 + 1
    aspect = _shared_aspect(train)
    if aspect is not None:
        settings["aspect"] = aspect
        cut = max(facts.cropped() for facts in train)
        why.append(f"Most pictures are {aspect}; squares would cut away {cut:.0%} of a domain's pixels.")
    config = DualConfig(**{**PRESETS[preset], **settings, **where, "out": out})
    num_images = min(len(facts.pictures) for facts in train)
    published = [
        "There is no published curve of DualGAN by number of images. Its runs took 30 to 100 epochs at 256 pixels, an "
        "epoch being the smaller folder; on sketch-photo the round trips came back to 0.026 (mean distance, GPU)."
    ]
    return Advice(
        config=config,
        command=command_line("dual", preset, settings, where, out),
        preset=preset,
        size=config.image_size,
        num_images=num_images,
        why=why,
        published=published,
    )


def _shared_aspect(train: Sequence[PictureFacts]) -> str | None:
    """The aspect that most pictures of every domain have, if squares would cut away much of them."""
    aspect, _ = next(iter(train[0].aspects.items()))
    shared = all(facts.aspects.get(aspect, 0) >= SHARED_ASPECT * len(facts.pictures) for facts in train)
    return aspect if shared and all(facts.cropped() > WORTH_AN_ASPECT for facts in train) else None
