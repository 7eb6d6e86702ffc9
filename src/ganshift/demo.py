"""Both methods on bundled images, in minutes on two CPU cores, and a report of what they did.

Transfer: a source trained on the digits 0 to 4 learns 5 to 9 from a hundred images, beside a run from scratch of the
same length. Dual: photographs and pencil sketches, of which no two show the same thing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from .data.bundled import photo_sketch
from .data.images import to_picture
from .data.named import open_named_images
from .dual.config import PRESETS as DUAL_PRESETS
from .dual.config import DualConfig
from .dual.train import train as train_dual
from .report import dual_chapter, environment, render, transfer_chapter
from .runtime.job import Outcome
from .runtime.log import say
from .tensors import from_uint8, sheet
from .transfer.config import PRESETS as TRANSFER_PRESETS
from .transfer.config import TransferConfig
from .transfer.train import SHEET_COLUMNS
from .transfer.train import train as train_transfer

SOURCE = "digits32"
TARGET = "bundled:digits-5-9"
DOMAINS = "bundled:photo-sketch"
QUICK: dict[str, dict[str, Any]] = {
    "transfer": {"images": 1_920, "sample_every": 640},
    "dual": {"images": 120, "sample_every": 40},
}
"""What --quick changes: enough to see that everything works, too little to learn much."""


def run_demo(out: Path, quick: bool = False, seed: int = 0) -> Outcome:
    """Run, or go on with, the demo; the outcome is that of the last run and counts the time of all."""
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
    seconds = 0.0
    for number, (title, run) in enumerate(steps, start=1):
        say(f"{number}/{len(steps)} {title}")
        outcome = run()
        seconds += outcome.seconds
        if outcome.stopped_by:
            return outcome
    write_report(out, seconds, f"ganshift demo --out {out} --seed {seed}{' --quick' if quick else ''}")
    return Outcome(outcome.images, seconds)


def write_report(out: Path, seconds: float, command: str) -> None:
    """Write report.html from the three finished runs, which `command` made in `seconds`."""
    pretrained, scratch, translation = (out / name for name in ("transfer", "scratch", "dual"))
    real = open_named_images(Path(TARGET), size=32, channels=None, memory_budget_bytes=1e9)
    indices = torch.linspace(0, len(real) - 1, SHEET_COLUMNS**2).round().int().tolist()
    pairs = photo_sketch(size=DUAL_PRESETS["demo"]["size"])
    assert pairs.val_a is not None
    assert pairs.val_b is not None
    every = list(range(len(pairs.val_a)))
    page = out / "report.html"
    render(
        page,
        title="ganshift: the demo",
        introduction=(
            "Two ways to move images between domains, tried on small images that ship with Python packages. Everything "
            "here was made by the commands at the end of this page, on the machine named there."
        ),
        chapters=[
            transfer_chapter(
                pretrained,
                scratch=scratch,
                source=f"{SOURCE}, which was trained on the handwritten digits 0 to 4",
                real=sheet(from_uint8(real.read(indices)), SHEET_COLUMNS),
                commands=[
                    "ganshift transfer --data my-images/ --preset small --out runs/mine",
                    "ganshift transfer --data my-gray-images/ --preset small --source digits32 --out runs/mine",
                    "ganshift generate runs/mine -n 64 -o sheet.png",
                ],
            ),
            dual_chapter(
                translation,
                names=("photo", "sketch"),
                pairs=[
                    (to_picture(a.numpy()), to_picture(b.numpy()))
                    for a, b in zip(pairs.val_a.read(every), pairs.val_b.read(every), strict=True)
                ],
                about_pairs=(
                    "The sketches are computed from the photographs. Training saw crops of one half of each photograph "
                    "and sketches of the other half; these crops lie across the middle, so that parts of them were "
                    "seen, as a photograph or as a sketch but never as both."
                ),
                commands=[
                    "ganshift dual --a photos/ --b drawings/ --preset small --out runs/drawings",
                    "ganshift translate runs/drawings holiday.jpg --to b -o drawn/",
                ],
            ),
        ],
        environment=environment(pretrained, scratch, translation),
        seconds=seconds,
        commands=[command],
    )
    say(f"report: {page}")
