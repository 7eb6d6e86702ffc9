"""Evaluate runs: a run folder and a reference to score records, for generators and for both ways of a translator."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...data.open import open_domains
from ...errors import UserError
from ...inference.arguments import shown
from ...inference.generator import ImageGenerator
from ...inference.generator_scores import drawing, measure_generator
from ...inference.latents import draw_latents
from ...inference.names import find_model, results_place
from ...inference.pretrained import Pretrained
from ...inference.translator import ImageTranslator
from ...inference.translator_scores import measure_ways
from ...methods.registry import open_model
from ...metrics.measuring import (
    METRICS,
    OF_TRANSLATIONS,
    PREFER_KID,
    EvaluationSettings,
    Extraction,
    provenance,
    provenance_of,
)
from ...metrics.record_files import write_records
from ...metrics.score_record import ScoreRecord
from ...training import run_folder
from ...training.log import opening_progress, say
from ...training.weights import hash_of_weights
from .copying import open_for

FAR_MORE = 20
"""Times as many generated images as real ones, from which on it is said that fewer would do."""
OF_GENERATORS = ("num_images", "split", "labels")
"""Settings that a translator has no use for."""
logger = logging.getLogger("ganshift")


def evaluate(
    run: str | Path | Pretrained,
    reference: str | Path | None = None,
    *,
    a: str | Path | None = None,
    b: str | Path | None = None,
    out: str | Path | None = None,
    metrics: str | Iterable[str] | None = None,
    **settings: Any,
) -> list[ScoreRecord]:
    """Measure a run against a reference and write the score records into its folder `cards`, or into that of `out`.

    `run` is whatever `find_model` finds, or a model that is open already; one that is bundled, the hub's or open needs
    `out`. `metrics` are all for generators and all but is for translators, if left out; `settings` are the other
    fields of `EvaluationSettings`. For a generator, `reference` is what --data can be, brought to the size and channels
    of the generator; only "is" alone needs none. For a translator it has two domains, of which val is taken, or train
    where there is no val; or `a` and `b` have one each. A run trained `as_published` is measured as published:
    normalised by each batch, and truncated.
    """
    named = None if metrics is None else tuple([metrics] if isinstance(metrics, str) else metrics)
    chosen = EvaluationSettings(**settings, metrics=METRICS if named is None else named)
    data, domain_a, domain_b = (_path(*given) for given in (("reference", reference), ("a", a), ("b", b)))
    if isinstance(run, Pretrained):
        if out is None:
            raise UserError("an open model has no folder of its own: give out, the folder to write scores into")
        model, place, about = run, Path(out), provenance_of(hash_of_weights(run))
    else:
        place, model, about = results_place(run, out), open_model(run, chosen.device), provenance(find_model(run))
    chosen = replace(chosen, trained_by=run_folder.trained_by(model.config))
    if chosen.extractor in chosen.trained_by:
        logger.warning("%s trained this model: do not compare its scores with those of others", chosen.extractor)
    if isinstance(model, ImageGenerator):
        if a or b:
            raise UserError("--a and --b are for translators: a generator is compared with --reference")
        records = _of_generator(model, about, data, chosen)
    else:
        assert isinstance(model, ImageTranslator)
        for name in OF_GENERATORS:
            if getattr(chosen, name) != getattr(EvaluationSettings, name):
                raise UserError(f"{name} is for generators: a translator translates its whole reference")
        chosen = replace(chosen, metrics=named or OF_TRANSLATIONS)
        records = _of_translator(model, about, data, domain_a, domain_b, chosen)
    write_records(place, records)
    compared = [min(record.num_generated, record.num_reference) for record in records if record.kind == "FID"]
    if compared and min(compared) < PREFER_KID:
        logger.warning("FID of %d images is biased: under %d images prefer KID", min(compared), PREFER_KID)
    return records


def _path(name: str, given: Any) -> Path | None:
    if not isinstance(given, str | Path | None):
        raise UserError(f"{name} must be a path, got {shown(given)}: save images as files, or in a folder")
    return None if given is None else Path(given)


def _of_generator(
    model: ImageGenerator, about: Mapping[str, Any], data: Path | None, settings: EvaluationSettings
) -> list[ScoreRecord]:
    """Records of a generator; `data` is what --data can be, or None if no metric compares with it."""
    compares = set(settings.metrics) != {"is"}
    if data is None and compares:
        raise UserError(f"{', '.join(settings.metrics)} compare with real images: give --reference, or --metrics is")
    images = open_for(model, data, settings.split) if data is not None and compares else None
    settings.check_enough(settings.num_images, 0 if images is None else len(images))
    if images is not None and settings.num_images > FAR_MORE * len(images):
        say(
            f"drawing {settings.num_images:,} images to compare with {len(images):,}: -n {FAR_MORE * len(images)} is "
            "quicker, but you can compare only scores with the same number"
        )
    return measure_generator(
        drawing(model),
        model.classes,
        draw_latents(settings.num_images, settings.seed, dim=model.latent_dim),
        images,
        settings.split,
        Extraction.open(settings),
        about,
        as_published=model.as_published,
    ).records


def _of_translator(
    model: ImageTranslator,
    about: Mapping[str, Any],
    data: Path | None,
    a: Path | None,
    b: Path | None,
    settings: EvaluationSettings,
) -> list[ScoreRecord]:
    """Records of both ways of a translator on all images of two domains, which lie in `data`, or in `a` and `b`."""
    if (a is None) != (b is None) or (data is None) == (a is None):
        raise UserError("a translator is measured on two domains of real images: give --reference, or both --a and --b")
    with opening_progress() as progress:
        domains = open_domains(
            data,
            a,
            b,
            model.size,
            channels_a=model.channels["a"],
            channels_b=model.channels["b"],
            range_a=model.value_range("a"),
            range_b=model.value_range("b"),
            progress=progress,
        )
    real_a, real_b, split = domains.train_a, domains.train_b, "train"
    if domains.val_a and domains.val_b:
        real_a, real_b, split = domains.val_a, domains.val_b, "val"
    settings.check_enough(min(len(real_a), len(real_b)), min(len(real_a), len(real_b)))
    to_b = partial(model.translate, to="b")
    to_a = partial(model.translate, to="a") if "a" in model.ways else None
    ways = measure_ways(to_b, to_a, real_a, real_b, split, Extraction.open(settings), about, model.names)
    return [record for way in ways for record in way.records]
