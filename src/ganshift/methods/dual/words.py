"""What a report says of dual runs."""

from collections.abc import Sequence

from ...training.log import duration
from ..words import GRADIENT_TERMS, DomainNames, Grid, ReportedRun, ReportWords, counted, shown

PUBLISHED_PASSES = 100
"""Passes over the smaller folder in the longest published runs of DualGAN."""


def _introduction(runs: Sequence[ReportedRun], domains: DomainNames) -> str:
    words = (
        "Two generators learn to translate between two folders, A and B. Nothing says which image of A belongs to "
        "which of B. One critic per folder judges whether a translation looks like that folder, and the way there and "
        "back must end where it started."
    )
    if len(runs) > 1:
        return f"{words} It is one run of each: a small difference may be chance."
    (run,) = runs
    kinds = ("" if name == domain else f" ({name})" for name, domain in zip(domains, "AB", strict=True))
    counts = (f"{counted(run.num_images('data', domain))} images" for domain in "ab")
    a, b = (f"{domain}{kind}, {count}" for domain, kind, count in zip("AB", kinds, counts, strict=True))
    passes = _passes(run)
    made = f"{passes:,.1f}" if passes is not None else "an unknown number of"
    words = words.replace("two folders, A and B", f"two folders: {a}, and {b}")
    words += (
        f"\n\nBoth generators together have {counted(run.num_weights)} weights and trained for "
        f"{duration(run.seconds)}: {made} passes over the images, at {_in_pixels(run.get('size'))} pixels. The "
        f"published runs make up to {PUBLISHED_PASSES}, at 256 pixels, with generators of width 64 (here "
        f"{shown(run.get('gen_ab', 'width'))})."
    )
    few = passes is not None and passes < PUBLISHED_PASSES / 10
    return words + (" Expect the right kind of picture, with blur and wrong colours." if few else "")


def _facts(run: ReportedRun) -> list[tuple[str, str]]:
    settings = run.settings
    place = settings.get("data") or f"{shown(settings.get('a'))} and {shown(settings.get('b'))}"
    counts = [counted(run.num_images("data", domain)) for domain in "ab"]
    return [("Images", f"{shown(place)}: {counts[0]} of A, {counts[1]} of B")]


def _passes(run: ReportedRun) -> float | None:
    counts = [run.num_images("data", domain) for domain in "ab"]
    smaller = min((count for count in counts if count), default=0)
    return run.images / smaller if smaller else None


def _in_pixels(size: object) -> str:
    """The side of squares, or width by height."""
    if isinstance(size, list) and len(size) == 2:
        return f"{shown(size[1])} x {shown(size[0])}"
    return shown(size)


WORDS = ReportWords(
    title="Dual: translate {a} to {b}, and back",
    introduction=_introduction,
    facts=_facts,
    terms={
        "critic_a/adversarial": "What the critic of A lowers by telling real images of A from made ones.",
        "critic_b/adversarial": "The same for the critic of B.",
        "critic_a/penalty": "What keeps the slope of the critic of A near 1 (the gradient penalty).",
        "critic_b/penalty": "The same for the critic of B.",
        "gen_ab/adversarial": "What the generator from A to B lowers by making images that the critic of B takes for "
        "real.",
        "gen_ba/adversarial": "The same for the generator from B to A.",
        "a/reconstruction": "How far images of A are from their round trip over B, times its weight. It should fall.",
        "b/reconstruction": "How far images of B are from their round trip over A, times its weight.",
        **GRADIENT_TERMS,
    },
    about_curves="Reconstruction has a plain meaning: how close the way back comes. The other curves belong to a game "
    "in which one side's gain is the other's loss, so they need not fall.",
    grids=[
        Grid(
            name="a-b-a",
            label="{a} to {b} and back",
            title="From {a} to {b} and back",
            columns=lambda run, domains: (domains[0], f"made {domains[1]}", "back"),
        ),
        Grid(
            name="b-a-b",
            label="{b} to {a} and back",
            title="From {b} to {a} and back",
            columns=lambda run, domains: (domains[1], f"made {domains[0]}", "back"),
        ),
    ],
    about_grids="Every row is one image: as it was, translated, and translated back. A good way back proves little by "
    "itself, since generators can hide a picture in faint marks: judge the middle column first.",
    grid_alt="Rows of an image, its translation and the way back",
)
