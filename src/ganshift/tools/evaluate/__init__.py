"""Evaluate runs: a run folder and a reference to cards, for generators and for both ways of a translator."""

import logging
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...inference.generator import ImageGenerator
from ...inference.names import find_model, results_place
from ...methods.registry import open_model
from ...metrics.measuring import PREFER_KID, EvaluationSettings
from ...metrics.record_files import write_records
from ...metrics.score_record import ScoreRecord
from .generators import records_of_generator
from .nearest import check_copying
from .translators import records_of_translator

__all__ = ["check_copying", "evaluate"]
logger = logging.getLogger("ganshift")


def evaluate(
    run: str | Path,
    reference: str | Path | None = None,
    *,
    a: str | Path | None = None,
    b: str | Path | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> list[ScoreRecord]:
    """Measure a run against a reference and write the cards into its folder `cards`, or into that of `out`.

    `run` is whatever `find_model` finds; a model that is bundled or the hub's needs `out`. `settings` are the fields of
    `Settings`. For a generator, `reference` is what --data can be, brought to the size and channels of the generator;
    only "is" alone needs none. For a translator it has two domains, of which val is taken, or train where there is no
    val; or `a` and `b` have one each. A run trained `as_published` is measured as published: normalised by each batch,
    and truncated.
    """
    chosen = EvaluationSettings(**settings)
    place, folder, model = results_place(run, out), find_model(run), open_model(run, chosen.device)
    data, domain_a, domain_b = (None if path is None else Path(path) for path in (reference, a, b))
    if isinstance(model, ImageGenerator):
        if a or b:
            raise UserError("--a and --b are for translators: a generator is compared with --reference")
        records = records_of_generator(model, folder, data, chosen)
    else:
        if "num_images" in settings:
            raise UserError("num_images (-n) is for generators: a translator translates all images of the reference")
        records = records_of_translator(model, folder, data, domain_a, domain_b, chosen)
    write_records(place, records)
    small = [
        record
        for record in records
        if record.kind == "FID" and min(record.num_generated, record.num_reference) < PREFER_KID
    ]
    if small:
        count = min(min(record.num_generated, record.num_reference) for record in small)
        logger.warning("FID of %d images is biased: under %d images prefer KID", count, PREFER_KID)
    return records
