"""The least time that the operators of a dual step need on this machine, beside the time that they take.

    python -m benchmarks.roofline [--quick] [--json] [--rounds N]

No operator is faster than its FLOP by the measured peak, nor than its bytes by the measured bandwidth, where its inputs
are read from memory once and its result is written there once. (What a cache still holds from the operator before
could be faster; the maps of a step do not fit, nor do the weights of a network.) The optimiser is taken to read and
write each weight and its mean square once and nothing else.

All on one thread and by its own clock, which stands still while another program has the core.
"""

import argparse
import time
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.cases import CASES, iteration, trainer_of
from benchmarks.measuring import flop_formula, machine, peak_kernels, show, spread, take_turns, work_of
from ganshift.tools.bench import write_pictures
from ganshift.training.memory import keep_freed_memory

CASE = "dual256"
STREAM = 40_000_000
"""Numbers that the bandwidth is measured with; no cache holds them."""
SHOWN = 20
"""Operators that are shown, those first that take longest."""
PRODUCTS, OPTIMISER, OTHERS = "convolutions and products", "optimiser", "everything else"


class Operators(TorchDispatchMode):
    """Calls, FLOP, bytes and seconds of all operators inside a `with` block, by name and shapes."""

    def __init__(self):
        super().__init__()
        self.seconds = defaultdict(list)
        self.work = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        started = time.thread_time()
        result = func(*args, **kwargs)
        seconds = time.thread_time() - started
        if not func.is_view:
            given, made = (
                [value for value in tree_leaves(tree) if isinstance(value, torch.Tensor)]
                for tree in ((args, kwargs), result)
            )
            key = f"{func.overloadpacket} " + ", ".join("x".join(map(str, x.shape)) for x in given if x.dim() > 1)
            formula = flop_formula(func)
            flops = formula(*args, **kwargs, out_val=result) if formula else 0
            self.seconds[key].append(seconds)
            self.work[key] = flops, sum(tensor.nbytes for tensor in given + made)
        return result


def kind_of(key, flops):
    """Which part of a step an operator belongs to."""
    if flops:
        return PRODUCTS
    return OPTIMISER if "_foreach_" in key else OTHERS


def streams():
    """Ways to go through memory, each with the bytes that it moves."""
    first, second = torch.ones(STREAM), torch.ones(STREAM)
    return {
        "read": (lambda: first.sum(), first.nbytes),
        "copy": (lambda: second.copy_(first), 2 * first.nbytes),
        "in place": (lambda: first.mul_(1.0), 2 * first.nbytes),
    }


def analyse(step, num_weights, rounds):
    """Rows of the step beside its bounds, of its parts and of its operators."""
    kernels, ways = peak_kernels(), streams()
    actions = {CASE: step} | kernels | {name: way for name, (way, _) in ways.items()}
    flops_of = {name: work_of(action).flops for name, action in actions.items()}  # which warms them up, too
    taken = {
        name: spread(seconds).median for name, seconds in take_turns(actions, rounds, clock=time.thread_time).items()
    }
    peak = max(flops_of[name] / taken[name] for name in kernels)
    rate = max(moved / taken[name] for name, (_, moved) in ways.items())
    operators = Operators()
    for _ in range(rounds):
        with operators:
            step()

    parts = {name: defaultdict(float) for name in (PRODUCTS, OPTIMISER, OTHERS)}
    layers = []
    for key, seconds in operators.seconds.items():
        flops, moved = operators.work[key]
        calls = len(seconds) / rounds
        row = {
            "calls": calls,
            "GFLOP": calls * flops / 1e9,
            "megabytes": calls * moved / 1e6,
            "least seconds": calls * max(flops / peak, moved / rate),
            "seconds": calls * spread(seconds).median,
        }
        for name, value in row.items():
            parts[kind_of(key, flops)][name] += value
        layers.append({"what": key} | row)
    moved = 4 * 4 * num_weights  # read and write weights and mean squares, in float32
    parts[OPTIMISER] |= {"megabytes": moved / 1e6, "least seconds": moved / rate}
    layers.sort(key=lambda row: row["seconds"], reverse=True)

    whole = {
        "what": CASE,
        "seconds": taken[CASE],
        "GFLOP": flops_of[CASE] / 1e9,
        "peak, GFLOP/s": peak / 1e9,
        "GB/s": rate / 1e9,
        "share of peak": flops_of[CASE] / taken[CASE] / peak,
    }
    for name, included in (("products and optimiser", (PRODUCTS, OPTIMISER)), ("all", tuple(parts))):
        bound = sum(parts[part]["least seconds"] for part in included)
        whole[f"at most, {name}"] = flops_of[CASE] / bound / peak
    return {
        "step": [whole],
        "parts": [{"what": name} | part for name, part in parts.items()],
        "operators": layers[:SHOWN],
    }


def main():
    """Analyse the published step, or a small one, and write what was found."""
    parser = argparse.ArgumentParser(description="the least time of the operators of a dual step")
    parser.add_argument("--json", action="store_true", help="write JSON instead of tables")
    parser.add_argument("--quick", action="store_true", help="small networks")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of one iteration each")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    with TemporaryDirectory() as scratch:
        write_pictures(Path(scratch))
        trainer = trainer_of(CASES[CASE].config(Path(scratch), options.quick))
        num_weights = sum(
            parameter.numel() for name in ("generators", "critics") for parameter in trainer.parts()[name].parameters()
        )
        groups = analyse(iteration(trainer), num_weights, options.rounds)
    show({"quick": options.quick, "groups": groups, "machine": machine()}, options.json)


if __name__ == "__main__":
    main()
