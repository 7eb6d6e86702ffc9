"""Is a generator copying? Its images beside their nearest training images, judged against held-out real ones."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from PIL import Image

from ...data.datasets import ImageSet, Third, draw_subset
from ...data.folders import Split
from ...data.images import png_of
from ...data.open import hold_out, open_held_out, open_images
from ...data.value_range import stored_range
from ...errors import UserError
from ...files import json_bytes, write_output
from ...inference.generator import ImageGenerator
from ...inference.generator_scores import class_labels, drawing, sample_stored
from ...inference.latents import draw_latents
from ...inference.names import find_model, results_place
from ...methods.registry import open_model
from ...metrics.copying import PAIRS, VERDICT, Verdict, copying, is_alarm, nearest
from ...metrics.measuring import EvaluationSettings, Extraction, provenance
from ...tensors import from_uint8, image_grid
from ...training import run_folder
from ...training.log import opening_progress, working

CHECKED = 2_000
"""Generated images that are looked at, unless said otherwise."""
SHOWN = 8
"""Pairs in the picture: the generated images nearest to training images."""


def check_copying(
    run: str | Path,
    reference: str | Path | None = None,
    held_out: str | Path | None = None,
    *,
    out: str | Path | None = None,
    **settings: Any,
) -> Verdict:
    """Compare generated with training images and write `copying.json` and `copying.png` into the run folder, or `out`.

    `run` is whatever `find_model` finds. The training images are read from where the run read them, or else from
    `reference`; they are recognised by their content. Held-out images, without which there is no verdict, are those of
    `held_out`, or else the test split that lies beside the training images, or else what the run's `hold_out` or
    `subset` left out. `settings` are fields of `EvaluationSettings`; `num_images` is 2000 unless given. Raises a
    `UserError` if the training images are not found.
    """
    chosen = EvaluationSettings(**{"num_images": CHECKED} | settings | {"view": "whole"})  # copies are of whole images
    results, folder = results_place(run, out), find_model(run)
    model = open_model(run, chosen.device, "generator")
    named = [None if place is None else Path(place) for place in (reference, held_out)]
    training, others = seen_and_unseen(folder, model, *named)
    extraction = Extraction.open(chosen)
    latents = draw_latents(chosen.num_images, chosen.seed, dim=model.latent_dim)
    draw = drawing(model)
    labels, _ = class_labels(len(latents), model.classes, training, chosen.labels)
    batches = sample_stored(draw, labels, latents, chosen.batch, model.as_published)
    ours = extraction.extract(batches, chosen.num_images, "generate")[0].cpu()
    theirs = extraction.reference(training).features.cpu()
    unseen = None if others is None else extraction.reference(others).features.cpu()
    with working("comparing generated with training images"):
        distances, indices = nearest(ours, theirs)
        baseline = None if unseen is None else nearest(unseen, theirs)[0]
        found = None if baseline is None else copying(distances, baseline)
    first = distances.argsort(stable=True)[:SHOWN].tolist()
    verdict = Verdict(
        alarm=None if found is None else is_alarm(*found),
        all_nearer=None if found is None else found[0],
        nearest_generated=None if found is None else found[1],
        median_distance=distances.median().item(),
        median_held_out_distance=None if baseline is None else baseline.median().item(),
        num_generated=chosen.num_images,
        num_training=len(training),
        num_held_out=0 if others is None else len(others),
        pairs=[
            {
                "generated": number,
                "training": training.names[indices[number]],
                "distance": round(distances[number].item(), 6),
            }
            for number in first
        ],
        extractor=chosen.extractor,
        extractor_hash=extraction.hash,
        seed=chosen.seed,
        **provenance(folder),
    )
    generated = torch.stack([batches[number // chosen.batch]()[number % chosen.batch] for number in first])
    originals = training.read([int(indices[number]) for number in first])
    rows = torch.cat([from_uint8(generated.cpu()), from_uint8(originals)])  # above, and below what each is nearest to
    write_output(results / VERDICT, json_bytes(asdict(verdict)))
    write_output(results / PAIRS, png_of(Image.fromarray(image_grid(rows, columns=len(generated)))))
    return verdict


def seen_and_unseen(
    run: Path, model: ImageGenerator, reference: Path | None = None, held_out: Path | None = None
) -> tuple[ImageSet, ImageSet | None]:
    """The training images of a run, and held-out images of the same kind, if there are any; see `check_copying`."""
    place, training, left_out = _training_images(run, model, reference)
    return training, _held_out(place, training, model, held_out) or left_out


def _training_images(
    run: Path, model: ImageGenerator, reference: Path | None
) -> tuple[Path, ImageSet, ImageSet | None]:
    """Where the images that the run was trained on are, these images, and those that it left out of them."""
    trained = run_folder.section(model.config, "training")
    subset, subset_seed, named = trained.get("subset"), trained.get("subset_seed", 0), trained.get("data")
    third = trained.get("hold_out")
    has_subset = subset is None or all(type(number) is int and number >= 0 for number in (subset, subset_seed))
    if not has_subset or third not in (None, *get_args(Third)):
        raise UserError(f"{run / run_folder.CONFIG} does not say which images were trained on: give another run")
    tried = []
    for place in [Path(place) for place in (named, reference) if isinstance(place, str | Path)]:
        try:
            images = open_for(model, place)
            learned = images if third is None else hold_out(place, images, third)[0]
            drawn = learned if subset is None else draw_subset(learned, subset, subset_seed)
        except UserError as error:
            tried.append(str(error))
            continue
        if drawn.content_hash == run_folder.section(model.config, "data").get("content"):
            names = set(drawn.names)
            left = [number for number, name in enumerate(images.names) if name not in names]
            return place, drawn, images.select(np.array(left)) if left else None
        tried.append(f"{place} holds other images than {run} was trained on")
    raise UserError(
        f"copying cannot be checked without the training images: {'; '.join(dict.fromkeys(tried)) or 'none are named'}"
    )


def _held_out(place: Path, training: ImageSet, model: ImageGenerator, named: Path | None) -> ImageSet | None:
    """Images of the same kind that were not trained on, at the same size, where there are any."""
    if named is None:
        with opening_progress() as progress:
            return open_held_out(
                place, model.size, model.channels, progress=progress, value_range=stored_range(model.config)
            )
    images = open_for(model, named)
    if images.content_hash == training.content_hash:
        raise UserError(f"--held-out {named} holds the training images: name others of the same kind")
    return images


def open_for(model: ImageGenerator, place: Path, split: Split = "train") -> ImageSet:
    """Real images as a generator draws them: of its size, its channels and its range of values."""
    size, values = (model.size, model.channels), stored_range(model.config)
    with opening_progress() as progress:
        return open_images(place, *size, progress=progress, split=split, value_range=values)
