"""Which settings and critics make better pictures at equal processor time, in cells that go on later.

    python -m benchmarks.transfer_recipe --data FOLDER --out runs/recipe --costs
    python -m benchmarks.transfer_recipe --data FOLDER --out runs/recipe [--minutes 80] [--only TEXT]
    python -m benchmarks.transfer_recipe --out runs/recipe --judge [--open-nsfw open-nsfw.onnx]
    python -m benchmarks.transfer_recipe --out runs/recipe --table
    python -m benchmarks.transfer_recipe --out runs/recipe --sheets

FOLDER has cifar10.zip, facades.zip and lsun5.zip, with folders `train/CLASS` (facades: `train/A`, `val/A`); the emoji
are bundled. A cell is one run of a set, a start, an arm and a seed, in one thread, without decay. Images are drawn from
it after the iterations that two budgets of processor seconds were measured to hold, and judged by networks that did not
train it (`judges`). Two arms are recipes of others (`transfer_rivals`): `--only stylegan2-ada` trains one of them, and
`--only lightweight-gan` the other, whose package is to be installed before. What was measured lies in
benchmarks/cells/transfer, without the images.
"""

import json
import random
import statistics
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock
from PIL import Image, ImageDraw
from torch import Tensor

from benchmarks import transfer_candidates as candidates
from benchmarks import transfer_rivals as rivals
from benchmarks.equal_time import (
    OurTraining,
    finished,
    iterations_of,
    measure_costs,
    parser,
    train_missing,
)
from benchmarks.judges import judged, open_judges
from ganshift.data.open import open_images
from ganshift.methods.transfer.algorithm import WGANGP
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.metrics.scores import colour_differences, colours
from ganshift.tensors import Bytes, to_uint8
from ganshift.training.log import say

OLD = {"width": 32, "critic_steps": 2, "batch": 32, "ema_images": 4_000}
SMALL_BATCHES = {"width": 32, "critic_steps": 1, "batch": 16, "ema_images": 1_000}
NARROW = {**SMALL_BATCHES, "width": 16}
BOTH = {"feature_critic": 1.0}
HINGE = {"loss": "hinge"}
SLOW = {"generator_learning_rate": 2.5e-4}
TWO = {"critic_steps": 2}


@dataclass(frozen=True)
class Arm:
    """What is trained: settings that differ from the preset `small`, and an objective, or the recipe of others."""

    settings: dict[str, Any]
    algorithm: type[WGANGP] = WGANGP
    rival: Callable[[TransferTrainer], TransferTrainer] | None = None


ARMS = {
    "pixels, 0.1.0": Arm(OLD),
    "pixels": Arm(SMALL_BATCHES),
    "both": Arm({**SMALL_BATCHES, **BOTH}),
    "both, always": Arm({**SMALL_BATCHES, "feature_critic": 0.5}, candidates.FeaturesAlways),
    "relativistic": Arm(SMALL_BATCHES, candidates.Relativistic),
    "hinge": Arm({**SMALL_BATCHES, **HINGE}),
    "hinge, slow generator": Arm({**SMALL_BATCHES, **HINGE, **SLOW}),
    "slow generator": Arm({**SMALL_BATCHES, **SLOW}),
    "two critic steps": Arm({**SMALL_BATCHES, **TWO}),
    "two critic steps, both": Arm({**SMALL_BATCHES, **TWO, **BOTH}),
    "stylegan2-ada": Arm({**SMALL_BATCHES, **rivals.STYLEGAN2_RATES}, rival=rivals.stylegan2_ada),
    "lightweight-gan": Arm({**SMALL_BATCHES, **rivals.LIGHTWEIGHT_RATES}, rival=rivals.lightweight_gan),
    "64, width 32": Arm(SMALL_BATCHES),
    "64, width 16": Arm(NARROW),
    "64, width 16, two critic steps": Arm({**NARROW, **TWO}),
    "64, width 16, batch 8": Arm({**NARROW, "batch": 8}),
    "64, width 16, both": Arm({**NARROW, **BOTH}),
    "64, width 16, augmented": Arm({**NARROW, "augment": PRESETS["few-shot"]["augment"]}),
    "64, width 16, hinge": Arm({**NARROW, **HINGE}),
    "128, width 16": Arm(NARROW),
    "128, width 8": Arm({**SMALL_BATCHES, "width": 8}),
    "128, width 8, both": Arm({**SMALL_BATCHES, "width": 8, **BOTH}),
}
"""The preset `small` of 0.1.0; smaller batches; the feature critic too; other objectives, rates and critic steps;
rivals; other sizes."""
RIVALS = tuple(arm for arm, of in ARMS.items() if of.rival)
COSTED = 16
"""Iterations of a turn that costs are measured by: of a rival's, every sixteenth takes longer."""
BUDGETS = {32: (190.0, 380.0), 64: (300.0, 600.0), 128: (600.0, 1200.0)}
"""Processor seconds after which a run is scored."""
SCORED = 500
"""Images drawn for a score, and at most so many they are compared with."""
GAP, TITLE = 6, 88
"""Pixels between what stands beside each other, and of what is written to the left of it; half as many above it."""


@dataclass(frozen=True)
class Set:
    """Images to learn, and others that generated ones are compared with."""

    archive: str
    """A zip, or a bundled set."""
    learned: str = ""
    others: str = ""
    """Folders of the zip; scores are among the others and what is not learned."""
    number: int | None = None
    """How many are learned. All of both folders if None, and of a bundled set; then scores are among these."""
    size: int = 32
    starts: tuple[str, ...] = ("scratch", "cifar10-small")
    arms: tuple[str, ...] = ("pixels", "both", "two critic steps", "two critic steps, both")
    from_scratch: tuple[str, ...] = ()
    """Arms that have no other start."""

    def cells(self) -> list[tuple[str, str]]:
        """Start and arm of each."""
        return [*product(self.starts, self.arms), *product(("scratch",), self.from_scratch)]


AT_64 = Set("bundled:emoji", size=64, starts=("scratch",), arms=tuple(arm for arm in ARMS if arm.startswith("64")))
SETS = {
    "500 automobiles": Set(
        *("cifar10.zip", "train/automobile/", "test/automobile/", 500),
        arms=("pixels, 0.1.0", "pixels", "two critic steps", "both", "two critic steps, both", "both, always", "hinge"),
        from_scratch=("slow generator", "relativistic", "hinge, slow generator", *RIVALS),
    ),
    "all of CIFAR-10": Set(
        *("cifar10.zip", "train/", "test/", 50_000),
        starts=("scratch",),
        arms=("pixels", "slow generator", "two critic steps"),
    ),
    "100 automobiles": Set("cifar10.zip", "train/automobile/", "test/automobile/", 100),
    "100 facades": Set("facades.zip", "train/A/", "val/A/", 100, from_scratch=RIVALS),
    "towers": Set("lsun5.zip", "train/tower/", "val/tower/"),
    "emoji at 64": AT_64,
    "50 emoji at 64": replace(AT_64, number=50),
    "emoji at 128": replace(AT_64, size=128, arms=tuple(arm for arm in ARMS if arm.startswith("128"))),
}
CELLS = {
    f"{name}-{start}-{arm}-{seed}".replace(", ", "-").replace(" ", "-"): (name, start, arm, seed)
    for (name, of), seed in product(SETS.items(), range(3))
    for start, arm in of.cells()
}
"""All, by name; of each set the first seeds first, so that whatever there was time for can be compared."""


def data_of(source: Path | None, name: str, out: Path) -> Path:
    """Where the images of a set are: a folder with parts train and test, unpacked once, or a bundled set."""
    of = SETS[name]
    if of.archive.startswith("bundled:"):
        return Path(of.archive)
    folder = out / "data" / name.replace(" ", "-")
    if folder.exists():
        return folder
    beside = folder.with_name(f"{folder.name}.making")
    with zipfile.ZipFile((source or Path()) / of.archive) as file:
        names = {
            part: sorted(each for each in file.namelist() if f"/{part}" in each) for part in (of.learned, of.others)
        }
        first, second = ([each for each in names[part] if not each.endswith("/")] for part in (of.learned, of.others))
        random.Random(0).shuffle(first)
        parts = (
            {"train": first[: of.number], "test": first[of.number :] + second}
            if of.number
            else {"train": first + second}
        )
        for part, chosen in parts.items():
            for each in chosen:
                path = beside / part / each.strip("/").replace("/", "-")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(file.read(each))
    return beside.rename(folder)


def new_trainer(data: Path | None, out: Path, name: str, start: str, arm: str, seed: int) -> TransferTrainer:
    """The trainer of a cell, at its start."""
    of = SETS[name]
    with FileLock(out / "data.lock"):
        folder = data_of(data, name, out)
    settings = {
        **PRESETS["small"],
        **ARMS[arm].settings,
        "size": of.size,
        "conditioning": "none",
        "linear_decay": False,
        "evaluate_every": 0,
        "source": None if start == "scratch" else start,
        "subset": of.number if folder == Path(of.archive) else None,
        "seed": seed,
        "device": "cpu",
    }
    trainer = TransferTrainer.from_config(TransferConfig(**settings, data=folder, out=out / "unused"))
    trainer.algorithm = ARMS[arm].algorithm(**vars(trainer.algorithm))
    if rival := ARMS[arm].rival:
        return rival(trainer)
    return trainer


class OurTransfer(OurTraining):
    """A run of `transfer`, which can be drawn from."""

    trainer: TransferTrainer

    @property
    def seen(self) -> int:
        """Real images shown."""
        return self.trainer.seen

    @torch.no_grad()
    def draw(self, count: int) -> Bytes:
        """Images of the averaged generator."""
        latents = torch.randn(count, self.trainer.algorithm.latent_dim, generator=torch.Generator().manual_seed(0))
        return torch.cat([to_uint8(self.trainer.ema.average(part)) for part in latents.split(50)])


def train(data: Path, out: Path, cell: str) -> dict[str, Any]:
    """Train a cell; keeps images of it, and a sheet of the first, at each budget."""
    name, start, arm, seed = CELLS[cell]
    training, rows, done = OurTransfer(new_trainer(data, out, *CELLS[cell])), [], 0
    (out / "drawn").mkdir(exist_ok=True)
    for budget in BUDGETS[SETS[name].size]:
        stop = iterations_of(out, arm, budget)
        terms = training.advance(stop - done)
        done, drawn = stop, training.draw(SCORED)
        np.savez_compressed(drawn_file(out, cell, budget), images=drawn.numpy())
        sheet(drawn[:64]).save(drawn_file(out, cell, budget).with_suffix(".png"))
        rows.append({"seconds": budget, "images": training.seen, "terms": terms})
    return {"set": name, "start": start, "arm": arm, "seed": seed, "rows": rows}


def sheet(images: Bytes) -> Image.Image:
    """Eight images a row."""
    rows = [torch.cat(list(row), dim=2) for row in images.split(8)]
    return Image.fromarray(torch.cat(rows, dim=1).permute(1, 2, 0).numpy())


def sheets(out: Path, name: str) -> Image.Image:
    """The first 24 images of the cells of a set with the least seed, a column an arm, a row a start and a budget."""
    there = {about["arm"] for about in finished(out).values() if about["set"] == name}
    arms = [arm for arm in ARMS if arm in there]
    rows = list(product(SETS[name].starts, BUDGETS[SETS[name].size]))
    width, height = (4 * SETS[name].size, 6 * SETS[name].size)
    whole = Image.new("RGB", (TITLE + len(arms) * (width + GAP), TITLE // 2 + len(rows) * (height + GAP)), "white")
    write = partial(ImageDraw.Draw(whole).text, fill="black", font_size=13)
    for row, (start, budget) in enumerate(rows):
        down = TITLE // 2 + row * (height + GAP)
        write((0, down), f"{start}\n{budget:.0f} s")
        for column, arm in enumerate(arms):
            across = TITLE + column * (width + GAP)
            if row == 0:
                write((across, 0), arm.replace(", ", ",\n"))
            alike = (cell for cell, of in CELLS.items() if of[:3] == (name, start, arm))
            files = (drawn_file(out, cell, budget).with_suffix(".png") for cell in alike)
            if found := next((path for path in files if path.exists()), None):
                with Image.open(found) as drawn:
                    whole.paste(drawn.crop((0, 0, width, height)), (across, down))
    return whole


def drawn_file(out: Path, cell: str, budget: float) -> Path:
    """Where the images of a cell lie, drawn after so many seconds."""
    return out / "drawn" / f"{cell}-{budget:.0f}.npz"


def score_file(out: Path, cell: str, budget: float) -> Path:
    """Where its scores lie."""
    return out / "scores" / f"{cell}-{budget:.0f}.json"


def judge(out: Path, open_nsfw: Path | None) -> None:
    """Score what has no scores yet; they go into files beside the cells."""
    judges = open_judges(open_nsfw)
    known: dict[tuple[str, str], Tensor] = {}
    for cell, about in finished(out).items():
        name, settings = about["set"], ARMS[about["arm"]].settings
        for budget in (row["seconds"] for row in about["rows"]):
            path = score_file(out, cell, budget)
            found = json.loads(path.read_text()) if path.exists() else {}
            missing = {
                key: judge
                for key, judge in judges.items()
                if key not in found and not (key == "lite0" and "feature_critic" in settings)  # which it trained
            }
            if not missing:
                continue
            generated, real = (
                torch.from_numpy(np.load(drawn_file(out, cell, budget))["images"]),
                compared_with(out, name),
            )
            for key, of in missing.items():
                if (key, name) not in known:
                    known[key, name] = of(real)
                found[key] = judged(of(generated), known[key, name])
            found["colour"] = colour_differences(colours(generated), colours(real)).tolist()
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(found, indent=1))
            say(path.stem)


def compared_with(out: Path, name: str) -> Bytes:
    """The images that generated ones are compared with, at most `SCORED`, evenly spaced."""
    folder = data_of(None, name, out)
    real = open_images(folder / "test" if (folder / "test").exists() else folder, SETS[name].size, 3)
    count = min(SCORED, len(real))
    return real.read([index * len(real) // count for index in range(count)])


def table(out: Path) -> str:
    """Means over the seeds that are there, with least and largest, a line a set, start, budget and arm."""
    cells = finished(out)
    judges = ["open_nsfw", "lite0", "cifar"]
    columns = [f"{what}[{judge}]" for judge in judges for what in ("KID", "recall")]
    lines = [f"| images | start | CPU s | arm | {' | '.join(columns)} | colour, largest | shown | n |"]
    lines.append("|---" * (len(columns) + 7) + "|")
    for name, of in SETS.items():
        for (number, budget), (start, arm) in product(enumerate(BUDGETS[of.size]), of.cells()):
            alike = [n for n, c in cells.items() if (c["set"], c["start"], c["arm"]) == (name, start, arm)]
            files = [score_file(out, cell, budget) for cell in alike]
            found = [json.loads(path.read_text()) for path in files if path.exists()]
            if not found:
                continue
            values = [
                _in_words([each[judge][what] for each in found if judge in each])
                for judge in judges
                for what in ("KID", "recall")
            ]
            colour = max(abs(shift) for each in found for shift in each["colour"][:3])  # of means; deviations follow
            shown = statistics.mean(cells[cell]["rows"][number]["images"] for cell in alike)
            row = [name, start, f"{budget:.0f}", arm, *values, f"{colour:.3f}", f"{shown:,.0f}", f"{len(found)}"]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _in_words(values: list[float]) -> str:
    if not values:
        return "-"
    return f"{statistics.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def arms_to_measure(data: Path, out: Path) -> dict[str, Callable[[], TransferTrainer]]:
    """What begins each arm, of the first set that has it."""
    first = {arm: name for name, of in reversed(SETS.items()) for _, arm in of.cells()}
    return {arm: partial(new_trainer, data, out, name, "scratch", arm, 0) for arm, name in first.items()}


def main() -> None:
    """Measure the costs, train what is not finished, or show what is."""
    own = parser("settings and critics of transfer at equal processor time")
    own.add_argument("--data", type=Path, help="folder of cifar10.zip, facades.zip and lsun5.zip")
    own.add_argument("--judge", action="store_true", help="score what has no scores yet, and stop")
    own.add_argument("--open-nsfw", type=Path, help="file of the third judge")
    own.add_argument("--sheets", action="store_true", help="put the cells of each set beside each other, and stop")
    options = own.parse_args()
    if options.judge:
        judge(options.out, options.open_nsfw)
    elif options.table:
        sys.stdout.write(table(options.out) + "\n")
    elif options.sheets:
        for name in {about["set"] for about in finished(options.out).values()}:
            sheets(options.out, name).save(options.out / f"{name.replace(' ', '-')}.jpg", quality=85)
    elif options.costs:
        measure_costs(options, arms_to_measure(options.data, options.out), COSTED)
    else:
        train_missing(options, CELLS, lambda cell: train(options.data, options.out, cell))


if __name__ == "__main__":
    main()
