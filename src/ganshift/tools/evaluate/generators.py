"""Cards of the generator of a run."""

from pathlib import Path

from ...data.open import open_images
from ...errors import UserError
from ...inference.generator import ImageGenerator
from ...inference.generator_scores import drawing, measure_generator
from ...inference.latents import draw_latents
from ...metrics.measuring import METRICS, EvaluationSettings, Extraction, check_enough, provenance
from ...metrics.score_record import ScoreRecord
from ...training.log import opening_progress, say

FAR_MORE = 20
"""Times as many generated images as real ones, from which on it is said that fewer would do."""


def records_of_generator(
    model: ImageGenerator, run: Path, data: Path | None, settings: EvaluationSettings
) -> list[ScoreRecord]:
    """Measure the generator of a run; `data` is what --data can be, or None if no metric compares with it."""
    metrics = settings.metrics or METRICS
    if data is None and set(metrics) != {"is"}:
        raise UserError(f"{', '.join(metrics)} compare with real images: give --reference, or --metrics is")
    images = None
    if data is not None and set(metrics) != {"is"}:
        with opening_progress() as progress:
            images = open_images(data, model.size, model.channels, progress=progress, split=settings.split)
    check_enough(metrics, settings.num_images, 0 if images is None else len(images), settings)
    if images is not None and settings.num_images > FAR_MORE * len(images):
        say(
            f"drawing {settings.num_images:,} images to compare with {len(images):,}: -n {FAR_MORE * len(images)} is "
            "quicker, but scores compare only with others of as many"
        )
    latents = draw_latents(settings.num_images, settings.seed, dim=model.latent_dim)
    extraction = Extraction.open(settings)
    return measure_generator(
        drawing(model, model.as_published),
        len(model.classes),
        latents,
        images,
        settings.split,
        metrics,
        extraction,
        settings,
        provenance(run),
        as_published=model.as_published,
    ).records
