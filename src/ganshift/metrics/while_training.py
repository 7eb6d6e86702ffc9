"""What both methods share when they evaluate while training: settings, the reference, and which score counts."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from math import sqrt
from typing import get_args

from ..data.datasets import ImageSet
from ..training.config import FEWEST_EVALUATED, RunConfig, require
from ..training.monitor.best import Evaluation
from ..training.monitor.health import Finding
from ..training.trainer import is_of_first_version
from .extractors import ShippedExtractor
from .measuring import EvaluationSettings
from .score_record import ScoreRecord

FEWEST_HELD_OUT = 50
"""With fewer held-out images a score would mostly tell of their choice; training images are taken instead."""
MOST_AMONG_NEIGHBOURS = 5_000
"""Among more real images, precision and recall take longer than all else of an evaluation."""
logger = logging.getLogger("ganshift")


def settings_of(
    config: RunConfig, *references: ImageSet, trained_by: Sequence[str] | None = None
) -> EvaluationSettings:
    """What to measure while training, on the features of a network that ships, among these images.

    Of the metrics, `best_by` says what is best; precision, recall and colour are there to be looked at.

    The network is none that trains the run, or trained its source (`trained_by`, by default what the settings say);
    where the settings name one that does, a warning says which is taken.
    """
    trained_by = config.trained_by if trained_by is None else tuple(trained_by)
    allowed = [name for name in get_args(ShippedExtractor) if name not in trained_by]
    require(bool(allowed), f"{' and '.join(trained_by)} train the run and cannot judge it: give --evaluate-every 0")
    extractor = config.evaluate_extractor or allowed[0]
    if extractor not in allowed:
        logger.warning("%s trains this run and cannot judge it: evaluations use %s", extractor, allowed[0])
        extractor = allowed[0]
    neighbours = max(map(len, references)) <= MOST_AMONG_NEIGHBOURS
    return EvaluationSettings(
        metrics=(config.best_by, *(("prc",) if neighbours else ()), "colour"),
        num_images=config.evaluate_images,
        extractor=extractor,
        view="whole" if is_of_first_version(config.out) else config.evaluate_view,
        trained_by=trained_by,
        device=config.device,
        progress=False,
    )


def enough(*references: ImageSet) -> bool:
    """Whether there are images enough to compare with; if not, says that evaluation is off."""
    fewest = min(map(len, references))
    if fewest < FEWEST_EVALUATED:
        logger.warning("evaluation is off: %d images are too few to compare with", fewest)
    return fewest >= FEWEST_EVALUATED


def as_evaluation(
    records: Sequence[ScoreRecord],
    best_by: str,
    diversity: Mapping[str, float | None],
    signs: Mapping[str, float] | None = None,
    findings: Sequence[Finding] = (),
) -> Evaluation:
    """An evaluation whose score is the mean of the records of that metric: one of a generator, two of a translator."""
    counted = [record for record in records if record.kind.lower() == best_by]
    name = counted[0].name if len(counted) == 1 else f"mean {counted[0].name.rpartition(' ')[0]} of both ways"
    return Evaluation(
        name=name,
        value=sum(record.value for record in counted) / len(counted),
        error=sqrt(sum(record.standard_error**2 for record in counted)) / len(counted),
        protocol=hashlib.sha256(repr([record.how for record in counted]).encode()).hexdigest(),
        records=[record.to_json() for record in records],
        diversity={name: value for name, value in diversity.items() if value is not None},
        signs=signs or {},
        findings=findings,
    )
