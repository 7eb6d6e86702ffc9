"""Our training iterations beside the literal baseline's, in the same run: `make bench`.

    python -m benchmarks.compare [--json] [--quick] [--only CASE...] [--rounds N]

The method and the columns are explained in docs/performance.md.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.literal import dual, transfer
from ganshift.bench.cases import CASES, CLASSES, iteration, new_job, write_pictures
from ganshift.bench.memory import peak_megabytes, report_memory
from ganshift.bench.method import machine, measure
from ganshift.bench.run import show
from ganshift.runtime.log import say
from ganshift.transfer.config import TransferConfig

CHANNELS = 3
WIDTHS = {32: 128, 64: 64}
"""Published widths by image size, where the settings leave them to the variant."""


def literal_training(config):
    """The literal baseline of these settings, on colour images."""
    if isinstance(config, TransferConfig):
        size = config.size or 32
        return transfer.Training(config, size, config.generator_width or WIDTHS[size], CHANNELS, CLASSES)
    return dual.Training(config, CHANNELS, CHANNELS)


def compare(name, folder, quick, rounds):
    """One case: rows of ours, the literal baseline and the machine's peak, and what follows from them."""
    config = CASES[name].config(folder, quick)
    job, literal = new_job(config), literal_training(config)
    batch = next(job.batches(0))
    if isinstance(config, TransferConfig):
        literal.load(job.state["generator"], job.state["critic"])
        inputs = batch["real"].images, batch["real"].labels
    else:
        literal.load(job.state["generators"], job.state["critics"])
        inputs = batch["a"].images, batch["b"].images
    rows = measure({f"{name}, ours": iteration(job), f"{name}, literal": lambda: literal.iteration(*inputs)}, rounds)
    ours, theirs = rows[:2]
    small = ["--quick"] if quick else []
    ours["megabytes"] = peak_megabytes("ganshift.bench.memory", name, str(folder), *small)
    theirs["megabytes"] = peak_megabytes("benchmarks.compare", "--memory", "--only", name, *small)
    ours["times faster"] = theirs["seconds"] / ours["seconds"]
    ours["useful share of peak"] = ours["share of peak"] * theirs["GFLOP"] / ours["GFLOP"]
    if ours["megabytes"] is not None:
        ours["times the memory"] = ours["megabytes"] / theirs["megabytes"]
    return rows


def prepare_literal(name, quick):
    """An iteration of the literal baseline on random bytes, without anything of ours in memory."""
    config = CASES[name].config(Path(), quick)
    literal = literal_training(config)
    size, count = config.size or 32, config.images_per_iteration if isinstance(config, TransferConfig) else config.batch
    images = torch.randint(256, (2, count, CHANNELS, size, size), dtype=torch.uint8)
    second = torch.randint(CLASSES, (count,)) if isinstance(config, TransferConfig) else images[1]
    return lambda: literal.iteration(images[0], second)


def main():
    """Compare the cases asked for, or all, and write what was found."""
    parser = argparse.ArgumentParser(description="our training iterations beside the literal baseline's")
    parser.add_argument("--json", action="store_true", help="write JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="small networks")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to compare")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of one iteration each")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        report_memory(lambda: prepare_literal(options.only[0], options.quick))
        sys.exit()
    with TemporaryDirectory() as scratch:
        write_pictures(Path(scratch))
        groups = {}
        for name in options.only:
            groups[name] = compare(name, Path(scratch), options.quick, options.rounds)
            say(f"measured {name}")
    show({"quick": options.quick, "groups": groups, "machine": machine()}, options.json)


if __name__ == "__main__":
    main()
