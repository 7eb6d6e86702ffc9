"""What a critic of features is worth at equal processor time: pixels alone against both, in cells that go on later.

    python -m benchmarks.feature_critic --data FOLDER --out runs/features [--minutes 80] [--only TEXT]
    python -m benchmarks.feature_critic --out runs/features --table

FOLDER has cifar10.zip, facades.zip and lsun5.zip, with folders `train/CLASS` (facades: `train/A`, `val/A`). A cell is
one run of a set, a start, a critic and a seed, in one thread, without decay, scored after 190 and 380 seconds of its
own processor time by the extractor `cifar`, which trains none of them. A cell that has its file in `--out` is finished.
"""

import argparse
import json
import random
import statistics
import sys
import time
import zipfile
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from PIL import Image

from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.training.log import say
from ganshift.training.loop import arithmetic
from ganshift.training.memory import keep_freed_memory
from ganshift.training.run_folder import versions

BUDGETS = (190.0, 380.0)
"""Seconds of a run's own processor time after which it is scored."""
CRITICS: dict[str, dict[str, Any]] = {
    "pixels": {},
    "both": {"feature_critic": 1.0, "critic_steps": 1, "batch": 16},
}
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


@dataclass(frozen=True)
class Cell:
    """One run."""

    images: str
    start: str
    critic: str
    seed: int

    @property
    def name(self) -> str:
        """What its file is called."""
        return "-".join((self.images.replace(" ", "-"), self.start, self.critic, str(self.seed)))


CELLS = [Cell(*each) for each in product(SETS, STARTS, CRITICS, range(3))]
"""All, in the order in which they are trained within `in_order`."""


def in_order() -> list[Cell]:
    """The first seeds first, so that whatever there was time for can be compared."""
    return sorted(CELLS, key=lambda cell: (list(SETS).index(cell.images), cell.seed))


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


def train(cell: Cell, data: Path, out: Path) -> None:
    """Train a cell and write its rows, once it is whole, and its sheets."""
    settings = {
        **PRESETS["small"],
        **CRITICS[cell.critic],
        "linear_decay": False,
        "evaluate_images": SCORED,
        "source": STARTS[cell.start],
        "seed": cell.seed,
        "device": "cpu",
    }
    trainer = TransferTrainer.from_config(TransferConfig(**settings, data=data, out=out / "unused"))
    assert trainer.evaluate is not None
    batches, used, rows = trainer.batches(0), 0.0, []
    for budget in BUDGETS:
        with arithmetic(trainer):
            while used < budget:
                start = time.process_time()
                terms = trainer.iteration(next(batches))
                used += time.process_time() - start
        for name, pixels in trainer.sample_grids().items():
            Image.fromarray(pixels.squeeze()).save(out / f"{cell.name}-{budget:.0f}-{name}.png")
        found = trainer.evaluate()
        rows.append(
            {
                "seconds": budget,
                "images": trainer.seen,
                "terms": {name: float(term) for name, term in terms.items()},
                "records": found.records,
                "diversity": found.diversity,
            }
        )
    row = {**asdict(cell), "rows": rows, "versions": versions()}
    path = out / f"{cell.name}.json"
    beside = path.with_suffix(".making")
    beside.write_text(json.dumps(row, indent=1))
    beside.rename(path)


def table(out: Path) -> str:
    """Means over the seeds that are there and half of their range, a line a set, start, budget and critic."""
    done = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
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
    """Train what is not finished, or show what is."""
    parser = argparse.ArgumentParser(description="pixels alone against both critics, at equal processor time")
    parser.add_argument("--data", type=Path, help="folder of cifar10.zip, facades.zip and lsun5.zip")
    parser.add_argument("--out", type=Path, required=True, help="folder of the cells")
    parser.add_argument("--minutes", type=float, default=80.0, help="begin no cell after so many")
    parser.add_argument("--only", default="", help="train only cells whose names contain this")
    parser.add_argument("--table", action="store_true", help="show what is finished, and stop")
    options = parser.parse_args()
    if options.table:
        sys.stdout.write(table(options.out) + "\n")
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    options.out.mkdir(parents=True, exist_ok=True)
    last = time.monotonic() + 60 * options.minutes
    for cell in in_order():
        if options.only not in cell.name or (options.out / f"{cell.name}.json").exists():
            continue
        if time.monotonic() > last:
            break
        with FileLock(options.out / "data.lock"):
            data = unpack(options.data, cell.images, options.out)
        try:
            with FileLock(options.out / f"{cell.name}.lock", timeout=0):  # another process may be at it
                if not (options.out / f"{cell.name}.json").exists():
                    say(cell.name)
                    train(cell, data, options.out)
        except Timeout:
            continue


if __name__ == "__main__":
    main()
