"""Cards of the translator of a run, both ways."""

from functools import partial
from pathlib import Path

from ...data.open import open_domains
from ...errors import UserError
from ...inference.translator import ImageTranslator
from ...inference.translator_scores import measure_ways
from ...metrics.measuring import EvaluationSettings, Extraction, check_enough, provenance
from ...metrics.score_record import ScoreRecord
from ...training.log import opening_progress


def records_of_translator(
    model: ImageTranslator, run: Path, data: Path | None, a: Path | None, b: Path | None, settings: EvaluationSettings
) -> list[ScoreRecord]:
    """Measure the translator of a run on all images of two domains, which lie in `data`, or in `a` and `b`."""
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
            progress=progress,
        )
    split = "val" if domains.val_a and domains.val_b else "train"
    real_a, real_b = (domains.val_a, domains.val_b) if split == "val" else (domains.train_a, domains.train_b)
    assert real_a is not None
    assert real_b is not None
    metrics = settings.metrics or ("fid", "kid")
    for start, target in ((real_a, real_b), (real_b, real_a)):
        check_enough(metrics, len(start), len(target), settings)
    extraction = Extraction.open(settings)
    to_b, to_a = partial(model.translate, to="b"), partial(model.translate, to="a")
    ways = measure_ways(to_b, to_a, real_a, real_b, split, metrics, extraction, settings, provenance(run))
    return [record for way in ways for record in way.records]
