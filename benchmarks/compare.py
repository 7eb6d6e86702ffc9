"""Our training iterations beside the literal baseline's, in the same run: `make bench`.

    python -m benchmarks.compare [--json] [--quick] [--only CASE...] [--rounds N] [--against CHECKOUT...]
                                [--precision PRECISION]

`--against` adds other checkouts of this repository, such as one that `git worktree add ../before v0.1.0` makes.

All sides take turns (docs/performance.md). GFLOP are the multiplications and additions of convolutions and products, by
PyTorch's formulas, second derivatives included. The share of peak is their part of what a large product and large
convolutions reach in the same run; the useful share counts the literal step's GFLOP instead, so that work which we save
counts as done. Memory is the largest growth after the imports, in a process of its own (VmHWM, Linux only).
"""

import argparse
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import torch

from benchmarks.cases import CASES, iteration, trainer_of
from benchmarks.literal import dual, transfer
from benchmarks.measuring import Work, Worker, machine, measure, show, spread, work_of
from benchmarks.memory import peak_growth
from ganshift.cli import SPINS
from ganshift.methods.transfer.config import TransferConfig
from ganshift.tools.bench import CLASSES, write_pictures
from ganshift.training.config import Precision
from ganshift.training.log import say
from ganshift.training.memory import keep_freed_memory

CHANNELS = 3
WIDTHS = {32: 128, 64: 64}
"""Published widths by image size, where the settings leave them to the variant."""


def literal_training(config):
    """The literal baseline of these settings, on colour images."""
    if isinstance(config, TransferConfig):
        size = config.size or 32
        return transfer.Training(config, size, config.generator_width or WIDTHS[size], CHANNELS, CLASSES)
    return dual.Training(config, CHANNELS, CHANNELS)


def side_of(side, name, folder, options, checkout=Path()):
    """One side of the comparison in a process of its own, which does an iteration whenever it is called.

    So neither has the other's memory, allocator or way of waiting: ours sets its own up, as training does.
    """
    command = [sys.executable, "-m", "benchmarks.compare", "--side", side, "--only", name, "--folder", str(folder)]
    environment = os.environ | {"PYTHONPATH": str((checkout / "src").resolve())}
    command += ["--quick"] * options.quick
    if side == "ours" and checkout == Path():
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
    if side == "ours" and options.precision:
        command += ["--precision", options.precision]
    return Worker(command, environment, checkout)


def serve(side, name, folder, options):
    """What the process of a side does: say what an iteration needs, then do one for every line that comes in."""
    more = {"precision": options.precision} if side == "ours" else {}
    if side == "ours":
        keep_freed_memory()
    prepare = prepare_ours if side == "ours" else prepare_literal
    action, megabytes = peak_growth(lambda: prepare(CASES[name].config(folder, options.quick, **more)))
    work = work_of(action)
    Worker.serve({"megabytes": megabytes, "flops": work.flops, "kernel_calls": work.kernel_calls}, action)


def prepare_ours(config):
    """An iteration of ours."""
    return iteration(trainer_of(config))


def prepare_literal(config):
    """An iteration of the literal baseline on random bytes."""
    literal = literal_training(config)
    size, count = config.size or 32, config.images_per_iteration if isinstance(config, TransferConfig) else config.batch
    images = torch.randint(256, (2, count, CHANNELS, size, size), dtype=torch.uint8)
    second = torch.randint(CLASSES, (count,)) if isinstance(config, TransferConfig) else images[1]
    return lambda: literal.iteration(images[0], second)


def compare(name, folder, options):
    """One case: rows of ours, other checkouts, the literal baseline and the machine's peak, and what follows."""
    with ExitStack() as stack:
        sides = {f"{name}, ours": side_of("ours", name, folder, options)}
        sides |= {f"{name}, {path.name}": side_of("ours", name, folder, options, path) for path in options.against}
        sides[f"{name}, literal"] = side_of("literal", name, folder, options)
        for worker in sides.values():
            stack.enter_context(worker)
        counted = {side: Work(worker.facts["flops"], worker.facts["kernel_calls"]) for side, worker in sides.items()}
        rows = measure(sides, options.rounds, counted=counted)
    for row, worker in zip(rows, sides.values(), strict=False):
        row["processor seconds"] = spread(worker.processor_seconds).median
        row["megabytes"] = worker.facts["megabytes"]
    literal = rows[len(sides) - 1]
    for row in rows[: len(sides) - 1]:
        row["times faster"] = literal["seconds"] / row["seconds"]
        if row["processor seconds"]:
            row["times faster by the processor"] = literal["processor seconds"] / row["processor seconds"]
        row["useful share of peak"] = row["share of peak"] * literal["GFLOP"] / row["GFLOP"]
        if row["megabytes"] is not None:
            row["times the memory"] = row["megabytes"] / literal["megabytes"]
    return rows


def main():
    """Compare the cases asked for, or all, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="write JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="small networks")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to compare")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of one iteration each")
    parser.add_argument("--against", nargs="+", type=Path, default=[], help="other checkouts to time as well")
    parser.add_argument("--precision", choices=get_args(Precision), help="what ours computes in; fp32 if left out")
    parser.add_argument("--side", choices=("ours", "literal"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(options.side, options.only[0], options.folder, options)
        sys.exit()
    with TemporaryDirectory() as scratch:
        write_pictures(Path(scratch))
        groups = {}
        for name in options.only:
            groups[name] = compare(name, Path(scratch), options)
            say(f"measured {name}")
    show({"quick": options.quick, "groups": groups, "machine": machine()}, options.json)


if __name__ == "__main__":
    main()
