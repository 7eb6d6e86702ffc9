"""Which parts make a better `dual` at equal processor time; CycleGAN's and CUT's recipes beside it. Cells go on later.

    python -m benchmarks.dual_recipe --facades facades.zip --out runs/recipe --costs
    python -m benchmarks.dual_recipe --facades facades.zip --out runs/recipe [--minutes 80] [--only facades-small]
    python -m benchmarks.dual_recipe --out runs/recipe --table

A cell is a task, an arm and a seed, at 64 pixels, in one thread, for the iterations that 300 processor seconds were
measured to hold. It is scored on the held-out true pairs by networks that trained none of it.
"""

import io
import statistics
import sys
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from benchmarks import dual_candidates as candidates
from benchmarks.equal_time import OurTraining, finished, iterations_of, measure_costs, parser, train_missing
from ganshift.data.bundled import sketch
from ganshift.data.domain_names import UNNAMED
from ganshift.data.open import open_domains
from ganshift.inference.translator_scores import measure_ways
from ganshift.methods.dual.algorithm import DualGAN
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.source import networks_from_scratch
from ganshift.methods.dual.trainer import DualTrainer, new_algorithm
from ganshift.metrics.measuring import EvaluationSettings, Extraction, provenance_of
from ganshift.nn.efficientnet_lite import open_efficientnet_lite0
from ganshift.tensors import Bytes, from_uint8, to_colour, to_uint8
from ganshift.training.update import PlainUpdate

SECONDS = 300.0
"""Processor time of a cell."""
PRETRAINING, AFTER = 0.2, 0.9
"""Where there is some: its iterations and those that follow, as shares of all. One takes about half of a usual one."""
BEFORE = {
    **{"size": 64, "generator_width": 32, "critic_width": 24, "ema_images": 200},
    **{"weight_a": 100.0, "weight_b": 100.0, "learning_rate": 3e-4},
}
"""The preset `small` of 0.1.0."""
IDENTITY = {"identity": 0.5}
ADAM = {"optimizer": "adam", "learning_rate": 2e-4}
PATCHES = {**BEFORE, "critic": "patch", "receptive_field": 33}
SQUARES = {**PATCHES, "loss": "least-squares"}
"""What the single candidates start from: the first two, which gained most."""
RESNET = {"architecture": "resnet", "generator_width": 64, "critic_width": 64, "receptive_field": None, **ADAM}


@dataclass(frozen=True)
class Arm:
    """What is trained."""

    settings: dict[str, Any]
    algorithm: type[DualGAN] = DualGAN
    changes: tuple[candidates.Change, ...] = ()
    pretrained: bool = False
    budget: float = SECONDS
    blur: bool = False
    """Whether ResNet generators and critics blur where they halve and double, as in CUT."""


def weighted(settings: dict[str, Any], weight: float) -> dict[str, Any]:
    """The same with another weight of both round trips."""
    return {**settings, "weight_a": weight, "weight_b": weight}


ARMS = {
    "before": Arm(BEFORE),
    "patches": Arm(PATCHES),
    "squares, global": Arm({**BEFORE, "loss": "least-squares"}),
    "hinge": Arm(PATCHES, candidates.Hinge),
    "squares": Arm(SQUARES),
    "adam": Arm({**SQUARES, **ADAM}),
    "weight 10": Arm(weighted(SQUARES, 10.0)),
    "resize": Arm(SQUARES, changes=(candidates.resize,)),
    "identity": Arm({**SQUARES, **IDENTITY}),
    "identity, weight 10": Arm(weighted({**SQUARES, **IDENTITY}, 10.0)),
    "rounded": Arm(SQUARES, candidates.Rounded),
    "resnet": Arm({**SQUARES, "architecture": "resnet", "generator_width": 32, "receptive_field": 34}),
    "contrast": Arm(SQUARES, candidates.PatchNCE, (candidates.add_projections,)),
    "contrast alone": Arm(weighted(SQUARES, 0.0), candidates.PatchNCE, (candidates.add_projections,)),
    "inpainting": Arm(SQUARES, pretrained=True),
    "CycleGAN": Arm(weighted({**SQUARES, **RESNET, **IDENTITY, "ema_images": 0}, 10.0), candidates.CycleGAN),
    "CUT": Arm(
        weighted({**SQUARES, **RESNET, "ema_images": 0}, 0.0),
        candidates.CUT,
        (candidates.add_projections,),
        budget=2 * SECONDS,  # two translators, neither of which has anything of the other
        blur=True,
    ),
}
TASKS = ("facades", "emoji", "photo-sketch")
CELLS = {
    f"{task}-{arm}-{seed}".replace(", ", "-").replace(" ", "-"): (task, arm, seed)
    for seed, task, arm in product(range(3), TASKS, ARMS)
}
QUALITY = 95
"""Of the JPEG that a round trip goes through."""


def data_of(task: str, facades: Path | None) -> Path:
    """Where the images of a task are."""
    bundled = {"emoji": Path("bundled:emoji-pair"), "photo-sketch": Path("bundled:photo-sketch")}
    return bundled.get(task, facades or Path("facades"))


def new_trainer(facades: Path | None, task: str, arm: str, seed: int) -> DualTrainer:
    """The trainer of a cell, at its start; of any field of view, since CycleGAN's at 64 pixels is larger than that."""
    of = ARMS[arm]
    settings = {**of.settings, "images": 10**6, "evaluate_every": 0, "seed": seed, "device": "cpu"}
    config = DualConfig(**settings, data=data_of(task, facades), out=Path("unused"))
    domains = open_domains(config.data, None, None, config.image_size)
    channels = domains.train_a.channels, domains.train_b.channels
    networks = networks_from_scratch(config, *channels)
    if of.blur:
        blurs = {"gen": {"blur_down": True, "blur_up": True}, "cri": {"blur": True}}
        networks = replace(networks, arguments={n: {**old, **blurs[n[:3]]} for n, old in networks.arguments.items()})
    torch.manual_seed(seed)
    drawn = new_algorithm(config, *channels, networks)
    algorithm = of.algorithm(drawn.generators, drawn.critics, config)
    for change in of.changes:
        change(algorithm)
    return DualTrainer(config, domains, algorithm, torch.device("cpu"), networks)


def pretrain(trainer: DualTrainer, iterations: int) -> None:
    """Fill in masked images, which both generators learn with the optimiser that they are trained by later."""
    generators = trainer.algorithm.generators
    update = PlainUpdate({generators: trainer.generator_optimizer})
    batches, loss = trainer.batches(0), candidates.inpainting_loss(trainer.algorithm)
    for _ in range(iterations):
        batch = next(batches)
        update(generators, loss, from_uint8(batch["a"].images), from_uint8(batch["b"].images))


def train(facades: Path | None, out: Path, name: str) -> dict[str, Any]:
    """Train a cell and score it."""
    task, arm, seed = CELLS[name]
    of, trainer = ARMS[arm], new_trainer(facades, *CELLS[name])
    (out / "samples").mkdir(exist_ok=True)
    iterations = iterations_of(out, arm, of.budget)
    if of.pretrained:
        pretrain(trainer, round(PRETRAINING * iterations))
        iterations = round(AFTER * iterations)
    terms = OurTraining(trainer).advance(iterations)
    for way, pixels in trainer.sample_grids().items():
        Image.fromarray(pixels.squeeze()).save(out / "samples" / f"{name}-{way}.png")
    return {
        "task": task,
        "arm": arm,
        "seed": seed,
        "iterations": iterations,
        "terms": terms,
        "scores": scores(trainer, task),
    }


def scores(trainer: DualTrainer, task: str) -> dict[str, float]:
    """Of the averaged generators, both ways, on the held-out true pairs."""
    a, b = trainer.domains.val_a, trainer.domains.val_b
    ways = {"a-b": ("gen_ab", a, b), "b-a": ("gen_ba", b, a)}
    networks = {way: trainer.ema.average.get_submodule(of[0]) for way, of in ways.items()}
    to_b, to_a = networks.values()
    found: dict[str, float] = {}
    for measured in measure_ways(to_b, to_a, a, b, "val", extraction(), provenance_of(""), UNNAMED):
        found |= {record.metric.replace("[cifar]", ""): record.value for record in measured.records}
    for way, (_, start, target) in ways.items():
        images, truth = (from_uint8(each.read(range(len(each)))) for each in (start, target))
        back = networks[way[::-1]]
        with torch.no_grad():
            made = torch.cat([networks[way](part) for part in images.split(10)])
            trips = [torch.cat([back(part) for part in each.split(10)]) for each in (made, through_jpeg(made))]
        found[f"features {way}"] = features_apart(to_uint8(made), to_uint8(truth))
        plain, stored = ((trip - images).abs().mean().item() for trip in trips)
        found[f"JPEG {way}"] = stored / plain
        if task == "photo-sketch" and way == "a-b":
            found["right side"] = on_the_right_side(to_uint8(images), to_uint8(made))
    return found


@cache
def extraction() -> Extraction:
    """What FID and KID compare: features of crops."""
    return Extraction.open(EvaluationSettings(metrics=("fid", "kid"), device="cpu", progress=False))


@cache
def imagenet() -> nn.Module:
    """The network that compares pairs."""
    return open_efficientnet_lite0()


@torch.no_grad()
def features_apart(images: Bytes, truth: Bytes) -> float:
    """Mean squared distance of normalised features of pairs over four depths, each place alone (Zhang et al. 2018)."""
    apart = []
    for part, true in zip(images.split(10), truth.split(10), strict=True):
        shown = [F.interpolate(to_colour(from_uint8(each)), scale_factor=2, mode="bilinear") for each in (part, true)]
        levels = zip(*(imagenet().features(each, 4) for each in shown), strict=True)
        apart.append([(F.normalize(x) - F.normalize(y)).square().sum(1).mean() for x, y in levels])
    return torch.tensor(apart).mean().item()


def through_jpeg(images: torch.Tensor) -> torch.Tensor:
    """Images as a JPEG gives them back."""
    stored = []
    for pixels in to_uint8(images).permute(0, 2, 3, 1).numpy():
        file = io.BytesIO()
        Image.fromarray(pixels.squeeze()).save(file, "JPEG", quality=QUALITY)
        again = torch.from_numpy(np.array(Image.open(file)))
        stored.append(again.reshape(pixels.shape).permute(2, 0, 1))
    return from_uint8(torch.stack(stored))


def on_the_right_side(photographs: Bytes, sketches: Bytes) -> float:
    """The share of sketches that are more like the computed one of the photograph than like that of its negative.

    Its lines lie on the dark sides of edges, and those of the negative's on the bright sides.
    """
    right = []
    for photograph, made in zip(photographs.permute(0, 2, 3, 1).numpy(), sketches.numpy(), strict=True):
        computed = [np.array(sketch(Image.fromarray(of))) for of in (photograph, 255 - photograph)]
        alike = [np.corrcoef(made.ravel(), lines.ravel())[0, 1] for lines in computed]
        right.append(alike[0] > alike[1])
    return float(np.mean(right))


def gain(found: dict[str, float], before: dict[str, float]) -> float:
    """How much smaller than before FID and the distance of features are, as one factor: the mean of both, both ways."""
    names = [f"{score} {way}" for score in ("FID", "features") for way in ("a-b", "b-a")]
    return exp(statistics.mean(log(before[name] / found[name]) for name in names))


COLUMNS = ("FID a-b", "FID b-a", "KID a-b", "KID b-a", "SSIM a-b", "SSIM b-a", "features a-b", "features b-a")
MORE = ("JPEG a-b", "JPEG b-a", "right side")


def table(out: Path) -> str:
    """Means over the seeds, a line a task and arm, and the mean factor by which it gains on `before`, seed by seed."""
    cells = finished(out)
    lines = [
        "| task | arm | n | gain | " + " | ".join((*COLUMNS, *MORE)) + " |",
        "|---" * (4 + len(COLUMNS) + len(MORE)) + "|",
    ]
    for task, arm in product(TASKS, ARMS):
        found = {cell["seed"]: cell["scores"] for cell in cells.values() if (cell["task"], cell["arm"]) == (task, arm)}
        if not found:
            continue
        first = {c["seed"]: c["scores"] for c in cells.values() if (c["task"], c["arm"]) == (task, "before")}
        gains = [gain(each, first[seed]) for seed, each in found.items() if seed in first]
        said = f"{statistics.geometric_mean(gains):.2f} ({min(gains):.2f} to {max(gains):.2f})" if gains else "-"
        means = [
            f"{statistics.mean(each[column] for each in found.values()):.3g}" if column in found[min(found)] else "-"
            for column in (*COLUMNS, *MORE)
        ]
        lines.append(f"| {task} | {arm} | {len(found)} | {said} | {' | '.join(means)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure the costs, train what is not finished, or show what is."""
    own = parser("parts of a better dual, at equal processor time")
    own.add_argument("--facades", type=Path, help="facades.zip, with train/A, train/B, val/A and val/B")
    options = own.parse_args()
    if options.table:
        sys.stdout.write(table(options.out) + "\n")
    elif options.costs:
        measure_costs(options, {arm: partial(new_trainer, options.facades, "facades", arm, 0) for arm in ARMS})
    else:
        train_missing(options, CELLS, lambda cell: train(options.facades, options.out, cell))


if __name__ == "__main__":
    main()
