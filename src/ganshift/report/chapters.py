"""The chapters on the two methods: which pictures of a run to show, and what to look for in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import nn

from ..data.images import to_pixels, with_channels
from ..metrics.copying import PAIRS, Verdict, load_verdict
from ..models import Generator, Translator
from ..tensors import from_uint8, sheet
from .page import Chapter, Figure, Panels, Part, Slider, duration, to_png
from .runs import NOT_LEARNED, evolution, loss_curves, summarize, terms
from .watching import watched

MOST_STEPS = 12
"""Sheets of a run on a slider; of more, evenly spaced ones are shown, so that the page stays small."""
PUBLISHED_IMAGES = 32_000_000
"""Real images shown in a run of the published 32-pixel code: 100,000 iterations of 5 batches of 64."""
PUBLISHED_PASSES = 100
"""Passes over the smaller folder in the longest published runs of DualGAN."""

GRADIENTS = {
    "gradient/generator": "The size of the generators' gradient in single steps. It jumps; what matters is that it "
    "neither dies away nor grows by orders of magnitude.",
    "gradient/critic": "The same for the critics.",
}
TRANSFER_TERMS = {
    "critic/distance": "The critic's mean score of generated images minus that of real ones. Below zero it tells them "
    "apart, and the further below, the more easily. Early on the curve swings, while the critic learns what to look "
    "for; after that, creeping towards zero is a good sign. Each critic has a scale of its own, so compare a curve "
    "with its own past rather than with another run.",
    "critic/penalty": "What keeps the critic's slope near 1 (the gradient penalty). It should fall early and stay low. "
    "A penalty that grows says that training is getting unstable.",
    "generator/adversarial": "Minus the critic's mean score of generated images. Only differences of scores mean "
    "anything to a critic, so this curve may wander without saying much about quality.",
    **GRADIENTS,
}
DUAL_TERMS = {
    "critic_a/adversarial": "What the critic of A lowers by telling real images of A from made ones.",
    "critic_b/adversarial": "The same for the critic of B.",
    "critic_a/penalty": "What keeps the slope of the critic of A near 1 (the gradient penalty).",
    "critic_b/penalty": "The same for the critic of B.",
    "gen_ab/adversarial": "What the generator from A to B lowers by making images that the critic of B takes for real.",
    "gen_ba/adversarial": "The same for the generator from B to A.",
    "a/reconstruction": "How far images of A are from their round trip over B, times its weight. It should fall.",
    "b/reconstruction": "How far images of B are from their round trip over A, times its weight.",
    **GRADIENTS,
}


def transfer_chapter(
    run: Path,
    *,
    commands: Sequence[str],
    scratch: Path | None = None,
    source: str | None = None,
    real: UInt8[np.ndarray, "h w 3"] | None = None,
) -> Chapter:
    """What a transfer run did, beside `scratch`, a run on the same images that started from nothing.

    `source` says in words what the run started from, and `real` is a sheet of its training images, made by
    `tensors.sheet`; 64 in 8 columns match the run's own sheets.
    """
    runs = {"pretrained": run, "from scratch": scratch} if scratch else {run.resolve().name: run}
    summary = summarize(run)
    start = source or summary.settings["source"]
    sheets = {label: evolution(path, "samples") for label, path in runs.items()}
    num_weights = _count(Generator.from_pretrained(run, "cpu"))
    introduction = (
        f"A generator turns random numbers into pictures. This one started from {start or 'random weights'}, and was "
        f"then shown the {summary.config['data']['images']:,} images of {summary.settings['data']}, again and again."
    )
    if scratch:
        introduction += (
            " A second generator of the same method started from random weights and was shown the same images. What "
            "differs between the two is what it is worth to have learned something before; this is one run of each, so "
            "a small difference may be chance."
        )
    introduction += (
        f"\n\nThe generator has {num_weights:,} weights and trained for {duration(summary.seconds)}, in which it was "
        f"shown {summary.images:,} images, repeats counted. The published runs at 32 pixels show "
        f"{PUBLISHED_IMAGES:,}, to generators of width 128 (here {summary.config['generator']['width']})."
    )
    if summary.images < PUBLISHED_IMAGES / 10:
        introduction += " Expect pictures that are on their way, not finished ones."
    figures: list[Part] = []
    if real is not None:
        figures.append(_beside(real, *sheets[next(iter(runs))][-1]))
    caption = (
        "Move the slider, also with the arrow keys. One place in a sheet keeps its random numbers, so that you can "
        "follow single pictures as they change."
    )
    if scratch:
        caption += (
            " At 0 the pretrained generator still draws what it learned before, and the other has learned nothing. "
            "Compare the early steps: if the pretraining helps, the pretrained sheet looks like the real images "
            "sooner. Later the two may well meet."
        )
    title = "Pretrained and from scratch, step by step" if scratch else "Step by step"
    figures.append(_slider(title, sheets, caption, "Sheet of 64 generated images"))
    if verdict := load_verdict(run):
        figures.append(_nearest(run, verdict))
    figures += watched(runs)
    figures.append(
        _curves(
            runs,
            TRANSFER_TERMS,
            "Losses say whether training is healthy. Whether the pictures are any good, only the pictures say.",
        )
    )
    origins = {label: start if path == run else summarize(path).settings["source"] for label, path in runs.items()}
    images = ("Images", f"{summary.settings['data']}: {summary.config['data']['images']:,}")
    more = {label: [images, ("Started from", origin or "random weights")] for label, origin in origins.items()}
    return Chapter(
        title="Transfer: teach a generator new images",
        introduction=introduction,
        figures=figures,
        facts=[*_facts(runs, more), ("Weights of the generator", f"{num_weights:,}"), *_differences(runs)],
        commands=commands,
    )


def dual_chapter(
    run: Path,
    *,
    commands: Sequence[str],
    names: tuple[str, str] = ("A", "B"),
    pairs: Sequence[tuple[Image.Image, Image.Image]] = (),
    about_pairs: str = "",
) -> Chapter:
    """What a dual run did; `names` say what one image of A and one of B is, such as photo and sketch.

    `pairs` are true pairs of A and B of one size, which the run's averaged model translates; `about_pairs` goes into
    their caption, to say where they come from.
    """
    a, b = names
    summary = summarize(run)
    num_a, num_b = (f"{summary.config['data'][domain]['images']:,} images" for domain in ("a", "b"))
    kind_a, kind_b = ("" if name == domain else f" ({name})" for name, domain in zip(names, "AB", strict=True))
    labels = {f"{a} to {b} and back": "a-b-a", f"{b} to {a} and back": "b-a-b"}
    headings = dict(zip(labels, ([a, f"made {b}", "back"], [b, f"made {a}", "back"]), strict=True))
    model = Translator.from_pretrained(run, "cpu")
    num_weights = _count(model)
    passes = summary.images / min(summary.config["data"][domain]["images"] for domain in ("a", "b"))
    introduction = (
        f"Two generators learn to translate between two folders: A{kind_a}, {num_a}, and B{kind_b}, {num_b}. Nothing "
        "says which image of A belongs to which of B. One critic per folder judges whether a translation looks like "
        "that folder, and the way there and back must end where it started."
        f"\n\nBoth generators together have {num_weights:,} weights and trained for {duration(summary.seconds)}: "
        f"{passes:,.1f} passes over the images, at {_in_pixels(summary.config['size'])} pixels. The published runs "
        f"make up to {PUBLISHED_PASSES}, at 256 pixels, with generators of width 64 (here "
        f"{summary.config['gen_ab']['width']})."
    )
    if passes < PUBLISHED_PASSES / 10:
        introduction += " Expect the right kind of picture, with blur and wrong colours."
    figures: list[Part] = [
        _slider(
            "There and back, step by step",
            {label: evolution(run, name) for label, name in labels.items()},
            "Every row is one image: as it was, translated, and translated back. Move the slider, also with the arrow "
            "keys. A good way back proves little by itself, since generators can hide a picture in faint marks: judge "
            "the middle column first.",
            "Rows of an image, its translation and the way back",
            headings,
        )
    ]
    if pairs:
        figures.append(_true_pairs(model, pairs, names, about_pairs))
    figures += watched({run.name: run})
    figures.append(
        _curves(
            {run.name: run},
            DUAL_TERMS,
            "Reconstruction has a plain meaning: how close the way back comes. The other curves belong to a game in "
            "which one side's gain is the other's loss, so they need not fall.",
        )
    )
    data = summary.settings["data"] or f"{summary.settings['a']} and {summary.settings['b']}"
    more = {run.name: [("Images", f"{data}: {num_a} of A, {num_b} of B")]}
    return Chapter(
        title=f"Dual: translate {a} to {b}, and back",
        introduction=introduction,
        figures=figures,
        facts=[*_facts({run.name: run}, more), ("Weights of the generators", f"{num_weights:,}")],
        commands=commands,
    )


def _beside(real: UInt8[np.ndarray, "h w 3"], seen: int, generated: bytes) -> Panels:
    return Panels(
        title="What it was shown, and what it makes",
        panels=[
            Figure(
                title="Real",
                image=to_png(real),
                caption="Some of the images it was shown.",
                alt="Sheet of real images from the training set.",
            ),
            Figure(
                title="Generated",
                image=generated,
                caption=f"What it drew after {seen:,} images shown.",
                alt=f"Sheet of 64 images drawn by the generator after {seen:,} real images shown.",
            ),
        ],
        caption="Ask three things. Does a generated image look like one of the real ones at first sight? Do generated "
        "images differ from each other, or does one come back again and again? And is any of them a copy of a real "
        "image, which a generator can fall into when it has few of them?",
    )


def _nearest(run: Path, verdict: Verdict) -> Figure:
    count = len(verdict.pairs)
    said = verdict.in_words()
    return Figure(
        title="Is it copying?",
        image=(run / PAIRS).read_bytes(),
        caption=f"Above, the {count} generated images that lie nearest to a training image; below, those training "
        f"images. {said[0].upper()}{said[1:]}.",
        alt=f"{count} generated images above their nearest training images.",
    )


def _slider(
    title: str,
    sheets: Mapping[str, Sequence[tuple[int, bytes]]],
    caption: str,
    alt: str,
    columns: Mapping[str, Sequence[str]] | None = None,
) -> Slider:
    tracks = {label: _thin(frames) for label, frames in sheets.items()}
    return Slider(title=title, tracks=tracks, caption=caption, alt=alt, columns=columns or {})


def _thin(frames: Sequence[tuple[int, bytes]]) -> Sequence[tuple[int, bytes]]:
    """The first, the last, and evenly spaced ones between, if there are too many."""
    if len(frames) <= MOST_STEPS:
        return frames
    return [frames[round(index)] for index in np.linspace(0, len(frames) - 1, MOST_STEPS)]


def _true_pairs(
    model: Translator, pairs: Sequence[tuple[Image.Image, Image.Image]], names: tuple[str, str], about: str
) -> Figure:
    a, b = names
    rows = [[real_a, model(real_a, "b"), real_b, model(real_b, "a")] for real_a, real_b in pairs]
    pixels = np.stack([to_pixels(with_channels(picture, 3)) for row in rows for picture in row])
    return Figure(
        title="Beside the truth",
        image=to_png(sheet(from_uint8(torch.from_numpy(pixels)), columns=4)),
        caption=f"Here both sides are known. A made {b} (second column) should come near the true {b} (third), and a "
        f"{a} made from the true {b} (fourth) near the {a} (first). {about}".strip(),
        alt=f"Rows of a true pair and its translations: {a}, {b} made from it, true {b}, {a} made from that.",
        columns=[a, f"made {b}", f"true {b}", f"made {a}"],
    )


def _in_pixels(size: int | list[int]) -> str:
    """The side of squares, or width by height."""
    return str(size) if isinstance(size, int) else f"{size[1]} x {size[0]}"


def _curves(runs: Mapping[str, Path], explanations: Mapping[str, str], caption: str) -> Panels:
    found = terms(runs)
    panels = []
    for name, image in loss_curves(runs).items():
        ends = ", ".join(
            f"{label} from {curve[0][1]:.3g} to {curve[-1][1]:.3g}" for label, curve in found[name].items()
        )
        panels.append(
            Figure(title=name, image=image, caption=explanations.get(name, ""), alt=f"Curves of {name}: {ends}.")
        )
    return Panels(title="Loss curves", panels=panels, caption=caption if panels else "Nothing has been logged yet.")


def _facts(runs: Mapping[str, Path], more: Mapping[str, Sequence[tuple[str, str]]]) -> list[tuple[str, str]]:
    """What ran; a fact that is the same in all runs is told once."""
    told: dict[str, dict[str, str]] = {}
    for label, run in runs.items():
        summary = summarize(run)
        versions = ", ".join(f"{name} {version}" for name, version in summary.config["versions"].items())
        for name, value in (
            *more[label],
            ("Real images shown", f"{summary.images:,}"),
            ("Iterations", f"{summary.iterations:,}"),
            ("Training time", duration(summary.seconds)),
            ("Seed", str(summary.settings["seed"])),
            ("Made with", versions),
        ):
            told.setdefault(name, {})[label] = value
    return [(name, _once(values)) for name, values in told.items()]


def _once(values: Mapping[str, str]) -> str:
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    return "; ".join(f"{label}: {value}" for label, value in values.items())


def _differences(runs: Mapping[str, Path]) -> list[tuple[str, str]]:
    """Settings in which the runs differ, so that the reader knows what a comparison compares."""
    if len(runs) < 2:
        return []
    settings = [summarize(run).settings for run in runs.values()]
    names = [name for name in settings[0] if name not in NOT_LEARNED]
    differing = [name for name in names if any(other.get(name) != settings[0][name] for other in settings)]
    return [("Settings that differ", ", ".join(differing) or "none")]


def _count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())
