"""What a critic of features is worth at equal processor time: pixels alone against both, in cells that go on later.

    python -m benchmarks.feature_critic --data FOLDER --out runs/features --costs
    python -m benchmarks.feature_critic --data FOLDER --out runs/features [--minutes 80] [--only TEXT]
    python -m benchmarks.feature_critic --out runs/features --table

FOLDER has cifar10.zip, facades.zip and lsun5.zip, with folders `train/CLASS` (facades: `train/A`, `val/A`). A cell is
one run of a set, a start, a critic and a seed, in one thread, without decay, scored after the iterations that 190 and
380 processor seconds were measured to hold, by the extractor `cifar`, which trains none of them.
"""

import random
import statistics
import sys
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock
from PIL import Image

from benchmarks.equal_time import finished, iterations_of, measure_costs, parser, train_missing, train_to
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer

BUDGETS = (190.0, 380.0)
"""Processor seconds after which a run is scored."""
SMALL_BATCHES = {"critic_steps": 1, "batch": 16, "ema_images": 1_000}
CRITICS: dict[str, dict[str, Any]] = {
    "pixels, 0.1.0": {"critic_steps": 2, "batch": 32, "ema_images": 4_000},
    "pixels": SMALL_BATCHES,
    "both": {**SMALL_BATCHES, "feature_critic": 0.5},
}
"""What differs from the preset `small`: its settings in 0.1.0, for the first set alone; smaller batches; these and the
feature critic."""
STARTS: dict[str, str | None] = {"scratch": None, "cifar10-small": "cifar10-small"}
SETS = {
    "500 automobiles": ("cifar10.zip", "train/automobile/", "test/automobile/", 500),
    "100 automobiles": ("cifar10.zip", "train/automobile/", "test/automobile/", 100),
    "100 facades": ("facades.zip", "train/A/", "val/A/", 100),
    "towers": ("lsun5.zip", "train/tower/", "val/tower/", None),
}
"""Zip, folder of images to learn, folder of others, and how many are learned; scores are among the rest of both. All of
both are learned if None, and scores are among these."""
SCORED = 1_000
"""Images drawn for a score."""


CELLS = {
    f"{images}-{start}-{critic}-{seed}".replace(", ", "-").replace(" ", "-"): (images, start, critic, seed)
    for images, seed, start, critic in product(SETS, range(3), STARTS, CRITICS)
    if critic != "pixels, 0.1.0" or images == next(iter(SETS))
}
"""All, by name; of each set the first seeds first, so that whatever there was time for can be compared."""


def unpack(source: Path, images: str, out: Path) -> Path:
    """The folder of a set, with parts train and test, made once."""
    archive, learned, others, number = SETS[images]
    folder = out / "data" / images.replace(" ", "-")
    if folder.exists():
        return folder
    beside = folder.with_name(f"{folder.name}.making")
    with zipfile.ZipFile(source / archive) as file:
        names = {part: sorted(name for name in file.namelist() if f"/{part}" in name) for part in (learned, others)}
        first, second = ([name for name in names[part] if not name.endswith("/")] for part in (learned, others))
        random.Random(0).shuffle(first)
        parts = {"train": first[:number], "test": first[number:] + second} if number else {"train": first + second}
        for part, chosen in parts.items():
            for name in chosen:
                path = beside / part / name.strip("/").replace("/", "-")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read(name))
    return beside.rename(folder)


def new_trainer(data: Path, out: Path, images: str, start: str, critic: str, seed: int) -> TransferTrainer:
    """The trainer of a cell, at its start."""
    with FileLock(out / "data.lock"):
        folder = unpack(data, images, out)
    settings = {
        **PRESETS["small"],
        **CRITICS[critic],
        "linear_decay": False,
        "evaluate_images": SCORED,
        "source": STARTS[start],
        "seed": seed,
        "device": "cpu",
    }
    return TransferTrainer.from_config(TransferConfig(**settings, data=folder, out=out / "unused"))


def train(data: Path, out: Path, name: str) -> dict[str, Any]:
    """Train a cell, and write its sheets; its scores."""
    images, start, critic, seed = CELLS[name]
    trainer, rows = new_trainer(data, out, *CELLS[name]), []
    assert trainer.evaluate is not None
    stops = [iterations_of(out, critic, budget) for budget in BUDGETS]
    for budget, terms in zip(BUDGETS, train_to(trainer, stops), strict=True):
        for grid, pixels in trainer.sample_grids().items():
            Image.fromarray(pixels.squeeze()).save(out / f"{name}-{budget:.0f}-{grid}.png")
        found = trainer.evaluate()
        scores = {"records": found.records, "diversity": found.diversity}
        rows.append({"seconds": budget, "images": trainer.seen, "terms": terms, **scores})
    return {"images": images, "start": start, "critic": critic, "seed": seed, "rows": rows}


def table(out: Path) -> str:
    """Means over the seeds that are there and half of their range, a line a set, start, budget and critic."""
    done = finished(out).values()
    lines = ["| images | start | CPU s | critic | KID[cifar] | precision | recall | colour, largest | shown | n |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    for images, start, (number, budget), critic in product(SETS, STARTS, enumerate(BUDGETS), CRITICS):
        rows = [
            cell["rows"][number]
            for cell in done
            if (cell["images"], cell["start"], cell["critic"]) == (images, start, critic)
        ]
        if not rows:
            continue

        def values(metric: str, rows: list[dict[str, Any]] = rows) -> list[float]:
            return [record["value"] for row in rows for record in row["records"] if record["metric"] == metric]

        shown = f"{statistics.mean(row['images'] for row in rows):,.0f}"
        scores = " | ".join(_in_words(values(metric)) for metric in ("KID", "precision", "recall", "colour"))
        lines.append(f"| {images} | {start} | {budget:.0f} | {critic} | {scores} | {shown} | {len(rows)} |")
    return "\n".join(lines)


def _in_words(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    """Measure the costs, train what is not finished, or show what is."""
    own = parser("pixels alone against both critics, at equal processor time")
    own.add_argument("--data", type=Path, help="folder of cifar10.zip, facades.zip and lsun5.zip")
    options = own.parse_args()
    if options.table:
        sys.stdout.write(table(options.out) + "\n")
    elif options.costs:
        first, start = next(iter(SETS)), "scratch"
        measure_costs(
            options.out,
            {critic: new_trainer(options.data, options.out, first, start, critic, 0) for critic in CRITICS},
        )
    else:
        train_missing(options, CELLS, lambda cell: train(options.data, options.out, cell))


if __name__ == "__main__":
    main()
