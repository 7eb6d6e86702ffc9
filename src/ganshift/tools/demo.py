"""Both methods on bundled images, in minutes on two CPU cores, and a report of what they did.

A generator: a model of all other emoji learns those of food, beside a run from scratch of the same length. A
translator: unpaired emoji, flat and in three dimensions; and one that ships. demo.toml has the runs, and what the
report says of them.
"""

import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..data.bundled import photographs
from ..data.images import fit_picture, png_of, to_picture
from ..data.open import open_domains, open_images
from ..inference.generator import ImageGenerator
from ..inference.picture_files import picture_grid
from ..inference.translator import ImageTranslator
from ..methods.registry import method_named
from ..training.config import overlaid
from ..training.log import say
from ..training.trainer import Outcome
from .report import PAGE, write_report
from .report.page import Figure

RECIPE = Path(__file__).with_suffix(".toml")
GRID_COLUMNS = 8
"""Of the grid of real images, as in the generated ones."""
MOST_PAIRS = 6
PHOTOGRAPHS = ("chelsea", "coffee", "china")
PHOTOGRAPH = 256
"""Pixels on a side of the photographs that are shown."""


def run_demo(out: Path, quick: bool = False, seed: int = 0) -> Outcome:
    """Run, or go on with, the demo; the outcome counts the images and the time of all runs.

    `quick` trains enough to see that everything works, too little to learn much.
    """
    recipe = tomllib.loads(RECIPE.read_text(encoding="utf-8"))
    runs: list[dict[str, Any]] = recipe["runs"]
    images, seconds = 0, 0.0
    for number, run in enumerate(runs, start=1):
        say(f"{number}/{len(runs)} {run['title']}")
        method = method_named(run["method"], RECIPE)
        settings = overlaid({**run["settings"], "seed": seed}, run["quick"] if quick else {})
        outcome = method.train(method.configure(settings, out / run["folder"]))
        images, seconds = images + outcome.images, seconds + outcome.seconds
        if outcome.stopped_by:
            return Outcome(images, seconds, outcome.stopped_by)
    write_report(
        {run["label"]: out / run["folder"] for run in runs},
        out / PAGE,
        title=recipe["title"],
        notes={run["label"]: _notes(run, out / run["folder"]) for run in runs if "notes" in run},
        command=shlex.join(["ganshift", "demo", "--out", str(out), "--seed", str(seed), *["--quick"] * quick]),
    )
    say(f"report: {out / PAGE}")
    return Outcome(images, seconds)


def _notes(run: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the page says of a run and of those beside it."""
    said, data = run["notes"], Path(run["settings"]["data"])
    model = method_named(run["method"], RECIPE).model().from_pretrained(folder, "cpu")
    made = {key: [_figure(each, model, data) for each in said[key]] for key in ("figures", "folded") if key in said}
    return said | made


def _figure(about: dict[str, Any], model: Any, data: Path) -> Figure:
    """A figure as the recipe has it: `shows` names its pictures, the rest are fields of `Figure`."""
    words = {name: text for name, text in about.items() if name != "shows"}
    columns = len(about.get("columns", ())) or GRID_COLUMNS
    return Figure(**words, image=png_of(picture_grid(PICTURES[about["shows"]](model, data), columns)))


def _images(model: ImageGenerator, data: Path) -> list[Image.Image]:
    """Some of the images that were learned."""
    real = open_images(data, model.size)
    shown = np.linspace(0, len(real) - 1, GRID_COLUMNS**2).round().astype(int).tolist()
    return list(map(to_picture, real.read(shown).numpy()))


def _true_pairs(model: ImageTranslator, data: Path) -> list[Image.Image]:
    """True pairs and their translations: of each a picture of a, its translation, true b and its translation."""
    domains = open_domains(data, None, None, model.size)
    assert domains.val_a is not None
    assert domains.val_b is not None
    every = np.linspace(0, len(domains.val_a) - 1, MOST_PAIRS).round().astype(int).tolist()
    pictures = []
    for pair in zip(domains.val_a.read(every), domains.val_b.read(every), strict=True):
        a, b = (to_picture(pixels.numpy()) for pixels in pair)
        pictures += [a, model(a, "b"), b, model(b, "a")]
    return pictures


def _photographs(model: ImageTranslator, _: Path) -> list[Image.Image]:
    """Photographs, each beside the sketch that the bundled translator, not that of the run, makes of it."""
    model = type(model).from_pretrained("photo-sketch", "cpu")
    pictures, shipped = [], photographs()
    for name in PHOTOGRAPHS:
        photo = to_picture(fit_picture(shipped[name], PHOTOGRAPH, 3))
        pictures += [photo, model(photo, "sketch")]
    return pictures


PICTURES: dict[str, Callable[[Any, Path], list[Image.Image]]] = {
    "images": _images,
    "true pairs": _true_pairs,
    "photographs": _photographs,
}
"""What a figure shows, given the model of the run and its data."""
