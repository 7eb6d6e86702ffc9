"""Both methods on bundled images, in minutes on two CPU cores, and a report of what they did; demo.toml has the runs.

A generator: a source trained on the digits 0 to 4 learns 5 to 9 from a hundred images, beside a run from scratch of the
same length. A translator: photographs and pencil sketches, of which no two show the same thing.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from ..data.bundled import photo_sketch
from ..data.images import to_picture, to_pixels, with_channels
from ..data.open import open_images
from ..inference.translator import ImageTranslator
from ..methods.registry import method_named
from ..tensors import from_uint8, image_grid
from ..training.log import say
from ..training.trainer import Outcome
from .report import PAGE, ChapterNotes, Commands, Figure, to_png, write_report
from .study.settings import configuration, layered

RECIPE = Path(__file__).with_suffix(".toml")
GRID_COLUMNS = 8
"""Of the grid of real images, as in the generated ones."""


@final
@dataclass(frozen=True, kw_only=True)
class DemoRun:
    """A run of the demo, as demo.toml has it."""

    folder: str
    label: str
    """What the page calls it."""
    title: str
    """Said when it begins."""
    method: str
    settings: Mapping[str, Any]
    """Over those of the preset that they name."""
    quick: Mapping[str, Any]
    """What --quick changes: enough to see that everything works, too little to learn much."""

    def train(self, out: Path, quick: bool, seed: int) -> Outcome:
        """Train it, or go on with it, in its folder of the demo's."""
        method = method_named(self.method, RECIPE)
        settings = layered(method, self.settings, {"seed": seed}, self.quick if quick else {})
        return method.train(configuration(method, settings, out / self.folder))


def run_demo(out: Path, quick: bool = False, seed: int = 0) -> Outcome:
    """Run, or go on with, the demo; the outcome counts the images and the time of all runs."""
    runs = _runs(_recipe())
    images, seconds = 0, 0.0
    for number, run in enumerate(runs, start=1):
        say(f"{number}/{len(runs)} {run.title}")
        outcome = run.train(out, quick, seed)
        images, seconds = images + outcome.images, seconds + outcome.seconds
        if outcome.stopped_by:
            return Outcome(images, seconds, outcome.stopped_by)
    write_page(out, f"ganshift demo --out {out} --seed {seed}{' --quick' if quick else ''}")
    return Outcome(images, seconds)


def write_page(out: Path, command: str) -> None:
    """Write report.html from the finished runs, which `command` made."""
    recipe = _recipe()
    runs, page = _runs(recipe), out / PAGE
    write_report(
        {run.label: out / run.folder for run in runs},
        page,
        title=recipe["title"],
        introduction=recipe["introduction"],
        notes={run.label: NOTES[run.label](run, out / run.folder) for run in runs if run.label in NOTES},
        command=command,
    )
    say(f"report: {page}")


def _recipe() -> dict[str, Any]:
    return tomllib.loads(RECIPE.read_text(encoding="utf-8"))


def _runs(recipe: Mapping[str, Any]) -> Sequence[DemoRun]:
    return [DemoRun(**run) for run in recipe["runs"]]


def _about_digits(run: DemoRun, folder: Path) -> ChapterNotes:
    real = open_images(Path(run.settings["data"]), size=32)
    indices = torch.linspace(0, len(real) - 1, GRID_COLUMNS**2).round().int().tolist()
    shown = Figure(
        title="What they were shown",
        image=to_png(image_grid(from_uint8(real.read(indices)), GRID_COLUMNS)),
        caption="64 of the hundred real images. Ask of the generated ones above: does one look like these at first "
        "sight? Do they differ from each other? And is any of them a copy, which a generator can fall into when it has "
        "few images?",
        alt="Sheet of real images from the training set.",
    )
    commands = [
        "ganshift transfer --data my-images/ --preset small --out runs/mine",
        "ganshift transfer --data my-gray-images/ --preset small --source digits32 --out runs/mine",
        "ganshift generate runs/mine -n 64 -o sheet.png",
    ]
    return ChapterNotes(
        introduction=(
            "A generator turns random numbers into pictures. Two of them, of one method, were shown a hundred images "
            "of the digits 5 to 9, again and again. One started from digits32, which was trained on the handwritten "
            "digits 0 to 4; the other from random weights. What differs between the two is what it is worth to have "
            "learned something before; this is one run of each, so a small difference may be chance.\n\nAt 0 the "
            "pretrained generator still draws what it learned before, and the other has learned nothing. Compare the "
            "early steps: if the pretraining helps, the pretrained sheet looks like the real images sooner. Later the "
            "two may well meet. The published runs at 32 pixels show 32,000,000 images, to generators of width 128: "
            "expect pictures that are on their way, not finished ones."
        ),
        beside=[shown],
        last=[Commands(title="With your own images", lines=commands)],
    )


def _about_sketches(run: DemoRun, folder: Path) -> ChapterNotes:
    model = method_named(run.method, RECIPE).model().from_pretrained(folder, "cpu")
    assert isinstance(model, ImageTranslator)
    domains = photo_sketch(size=model.size)
    assert domains.val_a is not None
    assert domains.val_b is not None
    every = list(range(len(domains.val_a)))
    pairs = zip(domains.val_a.read(every), domains.val_b.read(every), strict=True)
    rows = [
        [photo, model(photo, "b"), drawn, model(drawn, "a")]
        for photo, drawn in ((to_picture(a.numpy()), to_picture(b.numpy())) for a, b in pairs)
    ]
    pixels = np.stack([to_pixels(with_channels(picture, 3)) for row in rows for picture in row])
    beside = Figure(
        title="Beside the truth",
        image=to_png(image_grid(from_uint8(torch.from_numpy(pixels)), columns=4)),
        caption=(
            "Here both sides are known. A made sketch (second column) should come near the true sketch (third), and a "
            "photo made from the true sketch (fourth) near the photo (first). The sketches are computed from the "
            "photographs. Training saw crops of one half of each photograph and sketches of the other half; these "
            "crops lie across the middle, so that parts of them were seen, as a photograph or as a sketch but never as "
            "both."
        ),
        alt="Rows of a true pair and its translations: photo, sketch made from it, true sketch, photo made from that.",
        columns=["photo", "made sketch", "true sketch", "made photo"],
    )
    commands = [
        "ganshift dual --a photos/ --b drawings/ --preset small --out runs/drawings",
        "ganshift translate runs/drawings holiday.jpg --to b -o drawn/",
    ]
    return ChapterNotes(
        domains=("photo", "sketch"), beside=[beside], last=[Commands(title="With your own images", lines=commands)]
    )


NOTES: Mapping[str, Callable[[DemoRun, Path], ChapterNotes]] = {
    "pretrained": _about_digits,
    "sketches": _about_sketches,
}
"""By the label of a run, what the page says of it and of those beside it."""
