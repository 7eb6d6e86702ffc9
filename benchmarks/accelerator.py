"""What only an accelerator can show: `benchmarks/accelerator.sh`, at most 8 minutes on one GPU.

    python -m benchmarks.accelerator [--device cuda] [--json FILE] [--quick]

One JSON object, written anew after every part, so that what was measured is kept if time runs out: ceilings of the
device; whether a run resumes to the last bit; milliseconds an iteration of the three published cases, kernel by kernel
and as one CUDA graph, in float32, TF32 and bfloat16, with their launches and memory; how they grow with the batch;
decoding; drawing images and scoring them. `--quick` has small networks and few rounds: it tests the script.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.cases import BUDGET, CASES, trainer_of
from benchmarks.measuring import machine, spread
from ganshift.data.open import open_images
from ganshift.data.sampling import batches
from ganshift.tools.bench import write_pictures
from ganshift.training.log import say
from ganshift.training.loop import arithmetic
from ganshift.training.trainer import Trainer

PRECISIONS = ("fp32", "tf32", "bf16")
WARM_UP = 4
"""Iterations that are not timed: the graph is recorded in the third."""
LARGER = {"transfer32": (4, 16), "dual256": (4, 16)}
"""How many times as large a batch is tried."""
Found = dict[str, Any]


def main() -> None:
    """Measure everything, and write what was found after each part."""
    parser = argparse.ArgumentParser(description="what only an accelerator can show")
    parser.add_argument("--device", default="cuda", help="where to compute")
    parser.add_argument("--json", type=Path, default=Path("build/accelerator.json"), help="where the figures go")
    parser.add_argument("--quick", action="store_true", help="small networks and few rounds")
    parser.add_argument("--seconds", type=float, default=480.0, help="after which no further part begins")
    options = parser.parse_args()
    began = time.monotonic()
    found: Found = {"machine": machine(), "device": device_name(options.device), "quick": options.quick, "parts": {}}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        write_pictures(Path(scratch))
        for name, measure in parts(Path(scratch), options):
            if time.monotonic() - began > options.seconds:
                found["parts"][name] = {"left out": "no time was left"}
            else:
                started = time.monotonic()
                try:
                    found["parts"][name] = measure()
                except Exception as error:  # the other parts are worth having all the same
                    found["parts"][name] = {"error": f"{type(error).__name__}: {error}"}
                found["parts"][name]["took seconds"] = round(time.monotonic() - started, 1)
            say(f"{name}: {json.dumps(found['parts'][name])}")
            options.json.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(any("error" in part for part in found["parts"].values()))


def parts(folder: Path, options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Found]]]:
    """Everything that is measured, by name, the most important first."""

    def trainer(case: str, **settings: Any) -> Trainer:
        return trainer_of(CASES[case].config(folder, options.quick, device=options.device, **settings))

    rounds = 3 if options.quick else 20
    yield "ceilings", lambda: ceilings(torch.device(options.device), options.quick)
    for case in CASES:
        for precision in PRECISIONS:
            yield f"{case} {precision}", lambda c=case, p=precision: iterations(trainer(c, precision=p), rounds)
    for deterministic in (False, True):
        name = "exact, deterministic" if deterministic else "exact"
        yield name, lambda d=deterministic: exactness(lambda: trainer("transfer32", deterministic=d))
    for case, factors in LARGER.items():
        for factor in factors:
            batch = factor * trainer(case).config.batch
            yield f"{case}, batch {batch}", lambda c=case, b=batch: iterations(trainer(c, batch=b), rounds)
    for workers in (2, 8):
        yield f"decoding, {workers} workers", lambda w=workers: decoding(folder, w, rounds)
    number = 100 if options.quick else 5_000
    yield "drawing and scoring", lambda: scoring(trainer("transfer32", evaluate_every=1, evaluate_images=number))


def device_name(device: str) -> str:
    """What the device calls itself."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def ceilings(device: torch.device, quick: bool) -> Found:
    """Bytes and FLOP a second that the device reaches in the simplest programs."""
    large = torch.zeros(2**20 if quick else 2**28, device=device)
    side = 256 if quick else 8192
    matrices = {name: torch.randn(side, side, device=device, dtype=kind) for name, kind in _KINDS.items()}
    found: Found = {"copy GB/s": round(2 * large.nbytes / seconds_of(large.clone) / 1e9, 1)}
    before = torch.backends.cuda.matmul.fp32_precision
    for name, matrix in matrices.items():
        torch.backends.cuda.matmul.fp32_precision = "tf32" if name == "tf32" else "ieee"
        took = seconds_of(lambda m=matrix: m @ m)
        found[f"product TFLOP/s {name}"] = round(2 * side**3 / took / 1e12, 2)
    torch.backends.cuda.matmul.fp32_precision = before
    return found


_KINDS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def seconds_of(action: Callable[[], Any], times: int = 10) -> float:
    """Median seconds of an action, device and all."""
    action()
    found = []
    for _ in range(times):
        torch.accelerator.synchronize()
        started = time.perf_counter()
        action()
        torch.accelerator.synchronize()
        found.append(time.perf_counter() - started)
    return spread(found).median


def iterations(trainer: Trainer, rounds: int) -> Found:
    """An iteration as one graph, which is how a run goes, and kernel by kernel."""
    found: Found = {"images per iteration": trainer.images_per_iteration}
    for way in ("graph", "eager"):
        if way == "eager":
            trainer.steps.give_up("both ways are measured")
        torch.cuda.reset_peak_memory_stats()
        with closing(trainer.batches(0)) as batches, arithmetic(trainer):
            trainer.budget, trainer.seen = BUDGET, trainer.images_per_iteration
            for _ in range(WARM_UP):
                trainer.iteration(next(batches))
            batch = next(batches)
            took = [seconds_of(lambda b=batch: trainer.iteration(b), 1) for _ in range(rounds)]
            with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
                trainer.iteration(batch)
                torch.accelerator.synchronize()
        found[f"{way} ms"] = round(spread(took).median * 1e3, 3)
        found[f"{way} peak MB"] = round(torch.cuda.max_memory_allocated() / 1e6, 1)
        started = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch", "cudaLaunchKernelExC", "cuLaunchKernelEx")
        found[f"{way} launches"] = sum(event.count for event in profiled.key_averages() if event.key in started)
    return found


def exactness(new: Callable[[], Trainer]) -> Found:
    """Six iterations at once, and three, a restart and three: how far are the weights apart?"""
    states = []
    for stops in ((6,), (3, 3)):
        state, seen = None, 0
        for count in stops:
            trainer = new()
            trainer.budget, trainer.seen = BUDGET, seen
            if state is not None:
                trainer.load_state_dict(state)
            with closing(trainer.batches(seen)) as batches, arithmetic(trainer):
                for _ in range(count):
                    trainer.iteration(next(batches))
            state, seen = trainer.state_dict(), trainer.seen
        assert state is not None
        states.append(state)
    differences = [
        (value.double() - other.double()).abs().max().item()
        for name in ("generator", "critic")
        for value, other in zip(states[0][name].values(), states[1][name].values(), strict=True)
    ]
    return {"largest difference of a weight": max(differences)}


def decoding(folder: Path, workers: int, rounds: int) -> Found:
    """JPEG files of 320 pixels to 256, read ahead by processes."""
    images = open_images(folder / "domains" / "train" / "A", 256, memory_budget_bytes=1)
    with closing(batches({"a": images}, batch=64, start=0, seed=0, flip=True, workers=workers)) as read:
        next(read)
        started = time.perf_counter()
        for _ in range(rounds):
            next(read)
        return {"images per second": round(64 * rounds / (time.perf_counter() - started), 1)}


def scoring(trainer: Trainer) -> Found:
    """Seconds of the first and of another of the evaluations that training takes on its way."""
    found: Found = {"images": trainer.config.evaluate_images}
    for which in ("first", "another"):
        started = time.perf_counter()
        trainer.evaluate()
        found[f"{which}, seconds"] = round(time.perf_counter() - started, 2)
    return found


if __name__ == "__main__":
    main()
