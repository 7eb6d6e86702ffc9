"""Both methods on bundled images, in minutes on two CPU cores, and a report of what they did.

Transfer: a source trained on the digits 0 to 4 learns 5 to 9 from a hundred images, beside a run from scratch of the
same length. Dual: photographs and pencil sketches, of which no two show the same thing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.bundled import photo_sketch
from ..data.images import to_picture, to_pixels, with_channels
from ..data.open import open_named_images
from ..methods.dual.config import PRESETS as DUAL_PRESETS
from ..methods.dual.config import DualConfig
from ..methods.dual.model import Translator
from ..methods.dual.trainer import train as train_dual
from ..methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ..methods.transfer.config import TransferConfig
from ..methods.transfer.trainer import SHEET_COLUMNS
from ..methods.transfer.trainer import train as train_transfer
from ..tensors import from_uint8, sheet
from ..training.log import say
from ..training.trainer import Outcome
from .report import PAGE, Commands, Figure, Notes, to_png, write_report

SOURCE = "digits32"
TARGET = "bundled:digits-5-9"
DOMAINS = "bundled:photo-sketch"
QUICK: dict[str, dict[str, Any]] = {
    "transfer": {"images": 1_920, "sample_every": 640},
    "dual": {"images": 120, "sample_every": 40},
}
"""What --quick changes: enough to see that everything works, too little to learn much."""


def run_demo(out: Path, quick: bool = False, seed: int = 0) -> Outcome:
    """Run, or go on with, the demo; the outcome counts the images and the time of all runs."""
    transfer = TRANSFER_PRESETS["demo"] | (QUICK["transfer"] if quick else {}) | {"seed": seed}
    dual = DUAL_PRESETS["demo"] | (QUICK["dual"] if quick else {}) | {"seed": seed}
    pretrained, scratch, translation = (out / name for name in ("transfer", "scratch", "dual"))
    steps: list[tuple[str, Callable[[], Outcome]]] = [
        (
            "transfer: digits 5 to 9 from a hundred images, starting from a model of 0 to 4",
            lambda: train_transfer(TransferConfig(**transfer, data=Path(TARGET), source=SOURCE, out=pretrained)),
        ),
        (
            "the same from scratch, to compare",
            lambda: train_transfer(TransferConfig(**transfer, data=Path(TARGET), out=scratch)),
        ),
        (
            "dual: photographs to pencil sketches and back",
            lambda: train_dual(DualConfig(**dual, data=Path(DOMAINS), out=translation)),
        ),
    ]
    images, seconds = 0, 0.0
    for number, (title, run) in enumerate(steps, start=1):
        say(f"{number}/{len(steps)} {title}")
        outcome = run()
        images, seconds = images + outcome.images, seconds + outcome.seconds
        if outcome.stopped_by:
            return Outcome(images, seconds, outcome.stopped_by)
    write_page(out, f"ganshift demo --out {out} --seed {seed}{' --quick' if quick else ''}")
    return Outcome(images, seconds)


def write_page(out: Path, command: str) -> None:
    """Write report.html from the three finished runs, which `command` made."""
    pretrained, scratch, translation = (out / name for name in ("transfer", "scratch", "dual"))
    page = out / PAGE
    write_report(
        {"pretrained": pretrained, "from scratch": scratch, "sketches": translation},
        page,
        title="ganshift: the demo",
        introduction=(
            "Two ways to move images between domains, tried on small images that ship with Python packages. Everything "
            "here was made by the command at the end of this page, on the machine named there."
        ),
        notes={"transfer": _about_digits(), "dual": _about_sketches(translation)},
        command=command,
    )
    say(f"report: {page}")


def _about_digits() -> Notes:
    real = open_named_images(Path(TARGET), size=32, channels=None, memory_budget_bytes=1e9)
    indices = torch.linspace(0, len(real) - 1, SHEET_COLUMNS**2).round().int().tolist()
    shown = Figure(
        title="What they were shown",
        image=to_png(sheet(from_uint8(real.read(indices)), SHEET_COLUMNS)),
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
    return Notes(
        introduction=(
            f"A generator turns random numbers into pictures. Two of them, of one method, were shown a hundred images "
            f"of the digits 5 to 9, again and again. One started from {SOURCE}, which was trained on the handwritten "
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


def _about_sketches(run: Path) -> Notes:
    domains = photo_sketch(size=DUAL_PRESETS["demo"]["size"])
    assert domains.val_a is not None
    assert domains.val_b is not None
    every = list(range(len(domains.val_a)))
    pairs = zip(domains.val_a.read(every), domains.val_b.read(every), strict=True)
    model = Translator.from_pretrained(run, "cpu")
    rows = [
        [photo, model(photo, "b"), drawn, model(drawn, "a")]
        for photo, drawn in ((to_picture(a.numpy()), to_picture(b.numpy())) for a, b in pairs)
    ]
    pixels = np.stack([to_pixels(with_channels(picture, 3)) for row in rows for picture in row])
    beside = Figure(
        title="Beside the truth",
        image=to_png(sheet(from_uint8(torch.from_numpy(pixels)), columns=4)),
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
    return Notes(
        domains=("photo", "sketch"), beside=[beside], last=[Commands(title="With your own images", lines=commands)]
    )
