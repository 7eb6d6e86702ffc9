"""What a report says of transfer runs."""

from collections.abc import Sequence

from ...training.log import duration
from ..words import (
    GRADIENT_TERMS,
    DomainNames,
    Grid,
    ReportedRun,
    ReportWords,
    classes_of,
    counted,
    plain_facts,
    shown,
)

PUBLISHED_IMAGES = 32_000_000
"""Real images shown in a run of the published 32-pixel code: 100,000 iterations of 5 batches of 64."""
GRID_COLUMNS = 8
"""Of the sample grids; where there are classes, each column is of one."""


def _introduction(runs: Sequence[ReportedRun], domains: DomainNames) -> str:
    if len(runs) > 1:
        return (
            "Generators turn random numbers into pictures. The table says what each of these started from and was "
            "shown. It is one run of each: a small difference may be chance."
        )
    (run,) = runs
    words = (
        f"A generator turns random numbers into pictures. This one started from {_start(run)}, and was then shown the "
        f"{counted(run.num_images('data'))} images of {shown(run.settings.get('data'))}, again and again.\n\n"
        f"The generator has {counted(run.num_weights)} weights and trained for {duration(run.seconds)}, in which it "
        f"was shown {run.images:,} images, repeats counted. The published runs at 32 pixels show {PUBLISHED_IMAGES:,}, "
        f"to generators of width 128 (here {shown(run.get('generator', 'width'))})."
    )
    few = run.images < PUBLISHED_IMAGES / 10
    return words + (" Expect pictures that are on their way, not finished ones." if few else "")


def _facts(run: ReportedRun) -> list[tuple[str, str]]:
    return [*plain_facts(run), ("Started from", _start(run))]


def _start(run: ReportedRun) -> str:
    source = run.settings.get("source")
    return shown(source) if source else "random weights"


def _columns(run: ReportedRun, domains: DomainNames) -> list[str]:
    classes = classes_of(run)
    return [shown(classes[column % len(classes)]) for column in range(GRID_COLUMNS)] if classes else []


WORDS = ReportWords(
    title="Transfer: teach a generator new images",
    introduction=_introduction,
    facts=_facts,
    terms={
        "critic/distance": "The critic's mean score of generated images minus that of real ones. Below zero it tells "
        "them apart, and the further below, the more easily. Early on the curve swings, while the critic learns what "
        "to look for; after that, creeping towards zero is a good sign. Each critic has a scale of its own, so compare "
        "a curve with its own past rather than with another run.",
        "critic/penalty": "What keeps the critic's slope near 1 (the gradient penalty). It should fall early and stay "
        "low. A penalty that grows says that training is getting unstable.",
        "generator/adversarial": "Minus the critic's mean score of generated images. Only differences of scores mean "
        "anything to a critic, so this curve may wander without saying much about quality.",
        "critic/classes": "How far off the critic is in naming the classes of real images (cross-entropy, times its "
        "weight). It should fall.",
        "generator/classes": "The same for generated images, whose classes the generator wants to be recognised.",
        **GRADIENT_TERMS,
    },
    about_curves="Losses say whether training is healthy. Whether the pictures are any good, only the pictures say.",
    grids=[Grid(name="samples", label="Samples", columns=_columns)],
    about_grids="One place in a sheet keeps its random numbers, so that you can follow single pictures as they change.",
    grid_alt="Sheet of 64 generated images",
)
