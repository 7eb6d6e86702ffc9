"""What a critic of features is worth at equal processor time: pixels alone against both, in cells that go on later.

    python -m benchmarks.feature_critic --data FOLDER --out runs/features --costs
    python -m benchmarks.feature_critic --data FOLDER --out runs/features [--minutes 80] [--only TEXT]
    python -m benchmarks.feature_critic --out runs/features --judge [--open-nsfw open-nsfw.onnx]
    python -m benchmarks.feature_critic --out runs/features --table

FOLDER has cifar10.zip, facades.zip and lsun5.zip, with folders `train/CLASS` (facades: `train/A`, `val/A`). A cell is
one run of a set, a start, a critic and a seed, in one thread, without decay. Its generator is kept after the iterations
that 190 and 380 processor seconds were measured to hold, and judged by networks that did not train it (`judges`).
"""

import json
import random
import statistics
import sys
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.equal_time import finished, iterations_of, measure_costs, parser, train_missing, train_to
from benchmarks.judges import judged, open_judges
from ganshift.data.open import open_images
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.networks import LATENT_DIM, ResNetGenerator
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.metrics.scores import colour_differences, colours
from ganshift.tensors import Bytes, to_uint8
from ganshift.training.log import say

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
"""Images drawn for a score, and at most so many they are compared with."""


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
        "evaluate_every": 0,
        "source": STARTS[start],
        "seed": seed,
        "device": "cpu",
    }
    return TransferTrainer.from_config(TransferConfig(**settings, data=folder, out=out / "unused"))


def train(data: Path, out: Path, name: str) -> dict[str, Any]:
    """Train a cell; keeps the averaged generator and a sheet at each budget."""
    images, start, critic, seed = CELLS[name]
    trainer, rows = new_trainer(data, out, *CELLS[name]), []
    (out / "generators").mkdir(exist_ok=True)
    stops = [iterations_of(out, critic, budget) for budget in BUDGETS]
    for budget, terms in zip(BUDGETS, train_to(trainer, stops), strict=True):
        save_file(trainer.ema.average.state_dict(), generator_file(out, name, budget))
        for pixels in trainer.sample_grids().values():
            Image.fromarray(pixels).save(generator_file(out, name, budget).with_suffix(".png"))
        rows.append({"seconds": budget, "images": trainer.seen, "terms": terms})
    return {"images": images, "start": start, "critic": critic, "seed": seed, "rows": rows}


def generator_file(out: Path, name: str, budget: float) -> Path:
    """Where the generator of a cell lies, as it was after so many seconds."""
    return out / "generators" / f"{name}-{budget:.0f}.safetensors"


def judge(out: Path, open_nsfw: Path | None) -> None:
    """Score what has no scores yet; they go into files beside the cells."""
    judges = open_judges(open_nsfw)
    known: dict[tuple[str, str], Tensor] = {}
    for name, cell in finished(out).items():
        for budget in BUDGETS:
            path = out / "scores" / f"{name}-{budget:.0f}.json"
            found = json.loads(path.read_text()) if path.exists() else {}
            missing = {
                key: judge
                for key, judge in judges.items()
                if key not in found and not (key == "lite0" and cell["critic"] == "both")  # which it trained
            }
            if not missing:
                continue
            generated, real = draw(generator_file(out, name, budget)), held_out(out, cell["images"])
            for key, of in missing.items():
                if (key, cell["images"]) not in known:
                    known[key, cell["images"]] = of(real)
                found[key] = judged(of(generated), known[key, cell["images"]])
            found["colour"] = colour_differences(colours(generated), colours(real)).tolist()
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(found, indent=1))
            say(path.stem)


def draw(weights: Path) -> Bytes:
    """Images of a generator."""
    generator = ResNetGenerator(size=32, width=PRESETS["small"]["width"])
    generator.load_state_dict(load_file(weights))
    latents = torch.randn(SCORED, LATENT_DIM, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return torch.cat([to_uint8(generator.eval()(part)) for part in latents.split(100)])


def held_out(out: Path, images: str) -> Bytes:
    """The images that generated ones are compared with, at most `SCORED`, evenly spaced."""
    folder = out / "data" / images.replace(" ", "-")
    real = open_images(folder / ("test" if (folder / "test").exists() else "train"), 32, 3)
    count = min(SCORED, len(real))
    return real.read([index * len(real) // count for index in range(count)])


def table(out: Path) -> str:
    """Means over the seeds that are there, with least and largest, a line a set, start, budget and critic."""
    cells = finished(out)
    judges = ["open_nsfw", "lite0", "cifar"]
    columns = [f"{what}[{judge}]" for judge in judges for what in ("KID", "recall")]
    lines = [f"| images | start | CPU s | critic | {' | '.join(columns)} | colour, largest | shown | n |"]
    lines.append("|---" * (len(columns) + 7) + "|")
    for images, start, (number, budget), critic in product(SETS, STARTS, enumerate(BUDGETS), CRITICS):
        alike = [n for n, c in cells.items() if (c["images"], c["start"], c["critic"]) == (images, start, critic)]
        files = [out / "scores" / f"{name}-{budget:.0f}.json" for name in alike]
        found = [json.loads(path.read_text()) for path in files if path.exists()]
        if not found:
            continue
        values = [
            _in_words([each[judge][what] for each in found if judge in each])
            for judge in judges
            for what in ("KID", "recall")
        ]
        colour = max(abs(shift) for each in found for shift in each["colour"][:3])  # of means; deviations follow
        shown = statistics.mean(cells[name]["rows"][number]["images"] for name in alike)
        row = [images, start, f"{budget:.0f}", critic, *values, f"{colour:.3f}", f"{shown:,.0f}", f"{len(found)}"]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _in_words(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def main() -> None:
    """Measure the costs, train what is not finished, or show what is."""
    own = parser("pixels alone against both critics, at equal processor time")
    own.add_argument("--data", type=Path, help="folder of cifar10.zip, facades.zip and lsun5.zip")
    own.add_argument("--judge", action="store_true", help="score the generators that have no scores yet, and stop")
    own.add_argument("--open-nsfw", type=Path, help="file of the third judge")
    options = own.parse_args()
    if options.judge:
        judge(options.out, options.open_nsfw)
    elif options.table:
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
