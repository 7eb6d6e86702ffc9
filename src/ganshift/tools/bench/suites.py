"""What `ganshift bench` measures, one function a group; each gives rows of named figures."""

import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
import torch
from torch_fidelity.feature_extractor_base import FeatureExtractorBase
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torch_fidelity.utils import extract_featuresdict_from_input_id

from ...data.datasets import open_array, open_images
from ...data.sampling import batches
from ...inference.generator import SAMPLING_BATCH
from ...inference.latents import draw_latents
from ...inference.translating import translate_files
from ...methods.dual.model import Translator
from ...methods.transfer.model import Generator
from ...metrics import scores
from ...metrics.extractors import EXTRACTORS, open_extractor
from ...metrics.measuring import BATCH, ExtractorName, batches_of
from ...tensors import Terms
from ...training.loop import fit
from ...training.trainer import Job
from . import Group
from . import memory as memory_room
from .cases import CASES, FILE_SIZE, iteration, new_job
from .memory import peak_megabytes
from .method import CPU, Action, Row, measure, spread, take_turns


@dataclass(frozen=True)
class Bench:
    """Where the pictures are, and how long to measure."""

    folder: Path
    quick: bool
    device: torch.device = CPU
    fast: bool = False

    @property
    def rounds(self) -> int:
        """Rounds of what takes seconds."""
        return 2 if self.quick else 3

    def job(self, name: str, **more: Any) -> Job:
        """A published run, or its quick version."""
        return new_job(CASES[name].config(self.folder, self.quick, device=str(self.device), fast=self.fast, **more))

    def measure(self, actions: Mapping[str, Action], with_peak: bool = True) -> list[Row]:
        """Rows of these actions on the device."""
        return measure(actions, self.rounds, with_peak, device=self.device, fast=self.fast)


def memory(bench: Bench) -> list[Row]:
    """Peak memory of training, each case in its own process."""
    quick = ["--quick"] if bench.quick else []
    return [
        {
            "what": f"{name}, training",
            "megabytes": peak_megabytes(memory_room.__name__, name, str(bench.folder), *quick),
        }
        for name in CASES
    ]


def start_up(bench: Bench) -> list[Row]:
    """Whole commands, from the shell's point of view."""
    data = str(bench.folder / "classes")
    commands: dict[str, list[str]] = {
        "ganshift --help": ["--help"],
        "ganshift transfer --help": ["transfer", "--help"],
        "ganshift transfer, tiny, one iteration": ["transfer", "--preset", "tiny", "--data", data],
        "ganshift dual, tiny, one iteration": ["dual", "--preset", "tiny", "--a", data, "--b", data],
    }
    with TemporaryDirectory() as scratch:

        def run(name: str) -> Callable[[], object]:
            def once() -> None:
                training = ["--iterations", "1", "--out", f"{scratch}/{time.monotonic_ns()}"]
                arguments = commands[name] + (training if "--help" not in commands[name] else [])
                subprocess.run([sys.executable, "-m", "ganshift", *arguments], check=True, capture_output=True)

            return once

        return bench.measure({name: run(name) for name in commands}, with_peak=False)


def training(bench: Bench) -> list[Row]:
    """Iterations of the published runs, and the batches that feed them: in memory, and decoded in this process."""
    iterations: dict[str, Action] = {}
    feeding: dict[str, Action] = {}
    for name in CASES:
        jobs = {"in memory": bench.job(name), "from files": bench.job(name, memory_budget=1e-6, workers=0)}
        iterations[f"{name}, iteration"] = iteration(jobs["in memory"], bench.fast)
        for where, job in jobs.items():
            feeding[f"{name}, batch {where}"] = partial(next, job.batches(0))
    rows = bench.measure(iterations | feeding)
    seconds = {row["what"]: row["seconds"] for row in rows}
    for row in rows:
        if row["what"] in feeding:
            fed = row["what"].split(", ")[0] + ", iteration"
            row["times faster than the iteration"] = seconds[fed] / row["seconds"]
    return rows


def sampling(bench: Bench) -> list[Row]:
    """Images of a 32-pixel generator: the forward pass alone, and pictures in memory."""
    model = Generator(bench.job("transfer32").description["generator"], [str(label) for label in range(10)])
    model = model.to(bench.device)
    latents = draw_latents(SAMPLING_BATCH, seed=0).to(bench.device)
    labels = torch.arange(SAMPLING_BATCH, device=bench.device) % 10
    rows = bench.measure(
        {
            "transfer32, forward pass": lambda: model.generate(latents, labels),
            "transfer32, Generator.sample": lambda: model.sample(latents),
        }
    )
    return [_with_rate(row, SAMPLING_BATCH) for row in rows]


def translation(bench: Bench) -> list[Row]:
    """Files of 320 pixels by a 256-pixel translator: the forward passes alone, and the folder to files."""
    description = bench.job("dual256").description
    model = Translator(description["gen_ab"], description["gen_ba"]).to(bench.device)
    images = torch.rand(1, 3, FILE_SIZE, FILE_SIZE, device=bench.device) * 2 - 1
    with TemporaryDirectory() as scratch:
        files = sorted((bench.folder / "domains" / "train" / "A").iterdir())
        rows = bench.measure(
            {
                "dual256, forward passes": lambda: [model.translate(images) for _ in files],
                "dual256, a folder of files": lambda: translate_files(model, files, "b", Path(scratch)),
            }
        )
    return [_with_rate(row, len(files)) for row in rows]


def evaluation(bench: Bench) -> list[Row]:
    """Features of a folder of files, by our loop and by torch-fidelity's on the same networks; scores of features.

    Inception has the weights that it is made with, since its time does not depend on them.
    """
    folder = bench.folder / "classes" / "0" if bench.quick else bench.folder / "classes"
    count = sum(path.is_file() for path in folder.rglob("*"))
    actions: dict[str, Action] = {}
    for name in get_args(ExtractorName):
        extractor = _untrained_inception() if name == "inception" else open_extractor(name)
        extractor = extractor.to(bench.device)
        actions[f"{name}, features"] = partial(_features, folder, extractor)
        actions[f"{name}, features by torch-fidelity"] = partial(_features_by_torch_fidelity, folder, extractor)
    rows = bench.measure(actions)
    seconds = {row["what"]: row["seconds"] for row in rows}
    for row in rows:
        if theirs := seconds.get(f"{row['what']} by torch-fidelity"):
            row["times faster than torch-fidelity"] = theirs / row["seconds"]
    rows = [_with_rate(row, count) for row in rows]
    images, width = (500, 64) if bench.quick else (5_000, 256)
    generator = torch.Generator().manual_seed(0)
    generated, real = torch.randn(2, images, width, generator=generator)
    size = scores.kid_subset_size(None, images, images)
    found: dict[str, Action] = {
        f"FID of {images:,} features": partial(_fid, generated, real),
        f"KID of {images:,} features": lambda: scores.kid(generated, real, scores.KID_SUBSETS, size),
        f"precision and recall of {images:,} features": lambda: scores.precision_recall(generated, real),
    }
    return rows + bench.measure(found, with_peak=False)


def _features(folder: Path, extractor: FeatureExtractorBase) -> dict[str, torch.Tensor]:
    """Open a folder and extract all of its features, as an evaluation does for a reference."""
    images = open_images(folder, FILE_SIZE, channels=3)
    layers = list(scores.extract(extractor, batches_of(images, BATCH)))
    return {name: torch.cat([batch[name] for batch in layers]) for name in layers[0]}


def _features_by_torch_fidelity(folder: Path, extractor: FeatureExtractorBase) -> dict[str, torch.Tensor]:
    """The same by torch-fidelity, with as many processes that read files as it likes."""
    device = next(extractor.parameters()).device
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # more processes than cores
        return extract_featuresdict_from_input_id(
            1,
            extractor,
            input1=str(folder),
            samples_find_deep=True,
            batch_size=BATCH,
            cuda=device.type == "cuda",
            verbose=False,
        )


def _untrained_inception() -> FeatureExtractorBase:
    """Inception without a file of weights, which the class insists on."""

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
            """Keep the weights that the network is made with."""

    with TemporaryDirectory() as scratch:
        nothing = Path(scratch) / "nothing.pth"
        torch.save({}, nothing)
        layers = [EXTRACTORS["inception"].features, EXTRACTORS["inception"].logits]
        return Untrained("inception", layers, feature_extractor_weights_path=str(nothing))


def _fid(generated: torch.Tensor, real: torch.Tensor) -> scores.Score:
    """FID with its jackknife, from features on."""
    moments = [scores.Moments(len(generated), scores.JACKKNIFE_GROUPS), scores.Moments(len(real))]
    for taken, features in zip(moments, (generated, real), strict=True):
        taken.update(features)
    return scores.fid(moments[0], moments[1].statistics())


def growth(bench: Bench) -> list[Row]:
    """How an iteration of one critic step and one of the generator grows with width, size and batch."""
    width, size = (8, 64) if bench.quick else (16, 128)
    small = {"generator_width": width, "critic_width": width}
    starts: dict[str, dict[str, int]] = {
        "transfer32": {**small, "batch": 8, "critic_steps": 1},
        "dual256": {**small, "size": size},
    }
    doublings: dict[tuple[str, str], Sequence[int]] = {
        ("transfer32", "width"): (width, 2 * width, 4 * width),
        ("transfer32", "size"): (32, 64, 128),
        ("transfer32", "batch"): (8, 16, 32),
        ("dual256", "width"): (width, 2 * width, 4 * width),
        ("dual256", "size"): (size, 2 * size, 4 * size),
        ("dual256", "batch"): (1, 2, 4),
    }
    rows = []
    for (case, setting), values in doublings.items():
        values = values[:2] if bench.quick else values
        names = ("generator_width", "critic_width") if setting == "width" else (setting,)
        jobs = {
            f"{case.removesuffix('32').removesuffix('256')}, {setting} {value}": bench.job(
                case, **starts[case] | dict.fromkeys(names, value)
            )
            for value in values
        }
        found = bench.measure({name: iteration(job, bench.fast) for name, job in jobs.items()}, with_peak=False)
        for before, row in zip([None, *found], found, strict=False):
            if before:
                row["times the time"] = row["seconds"] / before["seconds"]
                row["times the FLOP"] = row["GFLOP"] / before["GFLOP"]
        rows += found
    return rows


def length(bench: Bench) -> list[Row]:
    """What could grow with the images of a set, or with the length of a run, and must not."""
    rows = []
    for count in (1_000, 10_000) if bench.quick else (1_000, 10_000, 100_000):
        images = open_array(np.zeros((count, 1, 32, 32), dtype=np.uint8))
        for start in (0, 1_000_000, 1_000_000_000):
            stream = batches({"real": images}, batch=64, start=start, seed=0, flip=True, workers=0)
            with closing(stream):
                (first,) = take_turns({"first": partial(next, stream)}, 1)["first"]
                later = spread(take_turns({"later": partial(next, stream)}, 10)["later"])
            row = later.row(f"64 of {count:,} images, from position {start:,}")
            rows.append(row | {"first batch, seconds": first})
    return rows + _loop(bench, 300 if bench.quick else 5_000)


def _loop(bench: Bench, iterations: int) -> list[Row]:
    """What the loop adds to an iteration, with a line of the log each, around a run that computes nothing."""
    times: list[float] = []

    def iterate(batch: Any, seen: int, budget: int) -> Terms:
        times.append(time.perf_counter())
        return {"nothing": torch.zeros(())}

    rare = dict.fromkeys(("iterations", "sample_every", "checkpoint_every"), iterations)
    config = CASES["transfer32"].config(bench.folder, quick=True, batch=1, critic_steps=1, log_every=1, **rare)
    fit(config, replace(new_job(config), iterate=iterate))
    seconds = [later - earlier for earlier, later in pairwise(times)]
    return [
        spread(seconds[:100]).row("the loop itself, the first 100 iterations"),
        spread(seconds[-100:]).row(f"the loop itself, the last 100 of {iterations:,} iterations"),
    ]


def _with_rate(row: Row, images: int) -> Row:
    kernel = row["what"].startswith(("matmul", "conv"))
    return row if kernel else row | {"images/s": images / row["seconds"]}


SUITES: dict[Group, Callable[[Bench], list[Row]]] = {
    "memory": memory,
    "start-up": start_up,
    "training": training,
    "sampling": sampling,
    "translation": translation,
    "evaluation": evaluation,
    "growth": growth,
    "length": length,
}
"""Groups of `ganshift bench`, by name."""
