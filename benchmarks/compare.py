"""Our training iterations beside the literal baseline's, in the same run: `make bench`.

    python -m benchmarks.compare [--json] [--quick] [--only CASE...] [--rounds N] [--against CHECKOUT...]

`--against` adds other checkouts of this repository, such as one that `git worktree add ../before v0.1.0` makes.

The method and the columns are explained in docs/performance.md.
"""

import argparse
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.cases import CASES, iteration, trainer_of
from benchmarks.literal import dual, transfer
from benchmarks.measuring import Work, machine, measure, show, work_of
from benchmarks.memory import peak_growth
from ganshift.methods.transfer.config import TransferConfig
from ganshift.tools.bench import CLASSES, write_pictures
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


class Side:
    """One side of the comparison in a process of its own, which does an iteration whenever it is called.

    So neither has the other's memory, nor the other's allocator: ours sets its own up, as training does.
    """

    def __init__(self, side, name, folder, quick, checkout=Path()):
        command = [sys.executable, "-m", "benchmarks.compare", "--side", side, "--only", name, "--folder", str(folder)]
        command += ["--quick"] if quick else []
        environment = os.environ | {"PYTHONPATH": str((checkout / "src").resolve())}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, **pipes, text=True, cwd=checkout, env=environment)
        facts = json.loads(self.process.stdout.readline())
        self.work = Work(facts["flops"], facts["kernel_calls"])
        self.megabytes = facts["megabytes"]

    def __call__(self):
        """Let it do one iteration, and wait for it."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def serve(side, name, folder, quick):
    """What the process of a side does: say what an iteration needs, then do one for every line that comes in."""
    if side == "ours":
        keep_freed_memory()
    prepare = prepare_ours if side == "ours" else prepare_literal
    action, megabytes = peak_growth(lambda: prepare(CASES[name].config(folder, quick)))
    work = work_of(action)
    facts = {"megabytes": megabytes, "flops": work.flops, "kernel_calls": work.kernel_calls}
    print(json.dumps(facts), flush=True)  # noqa: T201
    for _ in sys.stdin:
        action()
        print(flush=True)  # noqa: T201


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


def compare(name, folder, quick, rounds, checkouts):
    """One case: rows of ours, other checkouts, the literal baseline and the machine's peak, and what follows."""
    with ExitStack() as stack:
        sides = {f"{name}, ours": Side("ours", name, folder, quick)}
        sides |= {f"{name}, {path.name}": Side("ours", name, folder, quick, path) for path in checkouts}
        sides[f"{name}, literal"] = Side("literal", name, folder, quick)
        for worker in sides.values():
            stack.enter_context(worker)
        rows = measure(sides, rounds, counted={side: worker.work for side, worker in sides.items()})
    for row, worker in zip(rows, sides.values(), strict=False):
        row["megabytes"] = worker.megabytes
    literal = rows[len(sides) - 1]
    for row in rows[: len(sides) - 1]:
        row["times faster"] = literal["seconds"] / row["seconds"]
        row["useful share of peak"] = row["share of peak"] * literal["GFLOP"] / row["GFLOP"]
        if row["megabytes"] is not None:
            row["times the memory"] = row["megabytes"] / literal["megabytes"]
    return rows


def main():
    """Compare the cases asked for, or all, and write what was found."""
    parser = argparse.ArgumentParser(description="our training iterations beside the literal baseline's")
    parser.add_argument("--json", action="store_true", help="write JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="small networks")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to compare")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of one iteration each")
    parser.add_argument("--against", nargs="+", type=Path, default=[], help="other checkouts to time as well")
    parser.add_argument("--side", choices=("ours", "literal"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        serve(options.side, options.only[0], options.folder, options.quick)
        sys.exit()
    with TemporaryDirectory() as scratch:
        write_pictures(Path(scratch))
        groups = {}
        for name in options.only:
            groups[name] = compare(name, Path(scratch), options.quick, options.rounds, options.against)
            say(f"measured {name}")
    show({"quick": options.quick, "groups": groups, "machine": machine()}, options.json)


if __name__ == "__main__":
    main()
