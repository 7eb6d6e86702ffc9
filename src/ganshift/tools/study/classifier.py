"""A run put to use: classifiers trained with and without its images, and what they say of held-out real ones."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from ...data.datasets import ImageSet
from ...errors import UserError
from ...inference.generator import ImageGenerator
from ...inference.generator_scores import class_labels, drawing, sample_stored
from ...inference.latents import draw_latents
from ...methods.registry import open_model
from ...metrics.copying import copying, is_alarm, nearest
from ...metrics.measuring import EvaluationSettings, Extraction
from ...tensors import Bytes, from_uint8, to_uint8
from ...training import run_folder
from ...training.config import require
from ...training.log import working
from ..evaluate.copying import seen_and_unseen
from .answers import NETWORK, PROBE, Answers, ClassifierSettings
from .probes import ROUNDS, LinearProbe, arms, small_network
from .verdict import Probabilities, Trial

CHANGED = 2
"""Versions of each real image that augmentation makes."""
ZOOM, BRIGHTNESS, CONTRAST = 0.75, 0.2, 0.2
"""The least part of a side that a changed version shows, and by how much its levels shift and spread at most."""


def ask_classifiers(run: Path, settings: ClassifierSettings, device: str = "auto") -> Answers:
    """Train classifiers with and without images of a run, and ask them about real images that it did not learn.

    Raises a `UserError` if it has no classes, if there are no held-out images or too few of a class, and if the
    extractor has trained the run.
    """
    model = open_model(run, device, "generator")
    trained_by = run_folder.trained_by(model.config)
    require(settings.extractor not in trained_by, f"{settings.extractor} trained {run} and cannot judge it")
    real, held_out = _real_images(run, model)
    count = round(max(settings.amounts) * len(real))
    drawn, _ = class_labels(count, model.classes, real, "reference")
    assert drawn is not None, "a generator with classes"
    latents, draw = draw_latents(count, 0, dim=model.latent_dim), drawing(model)
    extraction = Extraction.open(EvaluationSettings(extractor=settings.extractor, view="whole", device=device))
    extraction.network.to(memory_format=torch.channels_last)  # takes processors half the time
    batches = sample_stored(draw, drawn, latents, extraction.settings.batch, model.as_published)
    generated = torch.cat([batch().cpu() for batch in batches])
    originals, asked = real.read(range(len(real))), held_out.read(range(len(held_out)))
    versions = changed(originals, mirror=bool(run_folder.section(model.config, "training").get("flip")))
    features = [extraction.reference(images).features.cpu() for images in (real, held_out)]
    features += [
        features_of(images, extraction, verb) for images, verb in ((versions, "augmented"), (generated, "drawn"))
    ]
    of_real, of_asked, of_versions, of_generated = features

    numbers = np.concatenate([_numbers(real), np.tile(_numbers(real), CHANGED), drawn.numpy()])
    learned = torch.cat([of_real, of_versions, of_generated]).numpy()
    probe = LinearProbe(of_real.numpy(), _numbers(real))
    images = torch.cat([originals, versions, generated])
    said: dict[str, dict[str, Probabilities]] = {PROBE: {}, NETWORK: {}}
    with working("training classifiers"):
        for arm, weights in arms(len(real), len(versions), count, settings.amounts).items():
            said[PROBE][arm] = probe.learn(learned, numbers, weights, of_asked.numpy())
            said[NETWORK][arm] = small_network(images, numbers, weights, asked)
    ours, theirs = (nearest(each, of_real)[0] for each in (of_generated, of_asked))
    return Answers(
        classes=real.classes,
        trials={name: Trial(held_out.names, _numbers(held_out), each) for name, each in said.items()},
        num_real=len(real),
        near_copies=(ours < theirs.quantile(0.01)).double().mean().item(),
        copies=is_alarm(*copying(ours, theirs)),
    )


def changed(images: Bytes, *, mirror: bool) -> UInt8[Tensor, "m c h w"]:
    """Versions of all images by usual augmentation, `CHANGED` times as many: a part of each, brighter or darker.

    The same images give the same versions.
    """
    draw = torch.Generator().manual_seed(0)
    count = CHANGED * len(images)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=draw)

    zoom, side = uniform(ZOOM, 1.0), torch.where(uniform(-1.0, 1.0) < 0, -1.0, 1.0) if mirror else torch.ones(count)
    right, down = uniform(-1.0, 1.0) * (1 - zoom), uniform(-1.0, 1.0) * (1 - zoom)
    nothing = torch.zeros(count)
    seen = torch.stack([torch.stack([zoom * side, nothing, right]), torch.stack([nothing, zoom, down])])  # 2 3 n
    repeated = from_uint8(images).repeat(CHANGED, 1, 1, 1)
    grid = F.affine_grid(seen.permute(2, 0, 1), list(repeated.shape), align_corners=False)
    zoomed = F.grid_sample(repeated, grid, padding_mode="reflection", align_corners=False)
    contrast, brightness = uniform(1 - CONTRAST, 1 + CONTRAST), uniform(-BRIGHTNESS, BRIGHTNESS)
    colours = zoomed[:, :3] * contrast[:, None, None, None] + brightness[:, None, None, None]
    return to_uint8(torch.cat([colours, zoomed[:, 3:]], dim=1))


def _real_images(run: Path, model: ImageGenerator) -> tuple[ImageSet, ImageSet]:
    """What the run learned, and what it did not, both with the classes of the generator."""
    real, held_out = seen_and_unseen(run, model)
    if held_out is None:
        raise UserError(
            f"{run} was trained on all its images: give the recipe's cells a hold_out, or the images a test split"
        )
    if not model.classes or not real.classes == held_out.classes == model.classes:
        raise UserError(
            f"{run} needs one folder per class, the same in all splits, and classes of its own: conditioning"
        )
    for images, least, what in ((real, ROUNDS, "learned"), (held_out, 1, "held out")):
        fewest = int(np.bincount(_numbers(images), minlength=len(images.classes)).min())
        require(
            fewest >= least, f"one class has only {fewest} images {what} by {run}: give each class at least 5 images"
        )
    return real, held_out


def _numbers(images: ImageSet) -> np.ndarray:
    assert images.labels is not None, "classes"
    return images.labels


def features_of(images: Bytes, extraction: Extraction, verb: str) -> Tensor:
    """Features of images in memory; `verb` names the progress line."""
    parts = images.split(extraction.settings.batch)
    return extraction.extract([partial(Tensor.clone, part) for part in parts], len(images), verb)[0].cpu()
