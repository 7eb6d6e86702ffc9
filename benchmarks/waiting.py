"""What it costs that OpenMP's threads spin while they wait, on a quiet machine and on a busy one.

    python -m benchmarks.waiting [--json] [--only METHOD/PRESET...] [--rounds N]

Each way of waiting trains in a process of its own, and all take turns: first by themselves, then beside as many busy
loops as there are cores. Rows are seconds of some iterations; docs/performance.md has what was found.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.measuring import Worker, machine, show, spread, take_turns
from ganshift.training.log import say

WAYS = {
    "one thread": {"OMP_NUM_THREADS": "1"},
    "as OpenMP does": {},
    "spin 100,000": {"GOMP_SPINCOUNT": "100000"},
    "spin 10,000": {"GOMP_SPINCOUNT": "10000"},
    "spin 1,000": {"GOMP_SPINCOUNT": "1000"},
    "no spinning": {"GOMP_SPINCOUNT": "0"},
}
"""What is set for each, beside the environment without settings of OpenMP's."""
CASES = {"transfer/demo": ("bundled:digits", 4), "dual/small": ("bundled:photo-sketch", 10)}
"""Images and iterations of a turn, by method and preset."""


@contextmanager
def busy_cores() -> Iterator[None]:
    """Within the block, a busy loop for every core."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def serve(name):
    """What the process of a way does: some iterations for every line that comes in."""
    from ganshift.methods.registry import method_named
    from ganshift.training.loop import arithmetic
    from ganshift.training.memory import keep_freed_memory

    keep_freed_memory()
    data, iterations = CASES[name]
    method, preset = name.split("/")
    method = method_named(method, name)
    trainer = method.trainer().from_config(
        method.config(**method.presets[preset], data=Path(data), out=Path("unused"), device="cpu")
    )
    batches = trainer.batches(0)

    def action() -> None:
        with arithmetic(trainer):
            for _ in range(iterations):
                for term in trainer.iteration(next(batches)).values():
                    term.item()

    action()
    Worker.serve({}, action)


def measure(name, rounds):
    """Rows of one case: each way, on the quiet machine and on the busy one."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-m", "benchmarks.waiting", "--serve", name]
    with ExitStack() as stack:
        workers = {way: stack.enter_context(Worker(command, environment | more)) for way, more in WAYS.items()}
        say(f"{name}: {rounds} quiet rounds")
        quiet = take_turns(workers, rounds)
        say(f"{name}: {rounds} busy rounds")
        with busy_cores():
            busy = take_turns(workers, rounds)
    rows = []
    for way in WAYS:
        row = {"what": f"{name}, {way}"}
        for state, found, base in (("quiet", quiet, "as OpenMP does"), ("busy", busy, "one thread")):
            timing = spread(found[way])
            row |= {f"{state} seconds": timing.median, f"{state} quartiles": list(timing.quartiles)}
            row[f"{state}, by {base}"] = timing.median / spread(found[base]).median
        rows.append(row)
    return rows


def main():
    """Measure the cases asked for, or all, and write what was found."""
    parser = argparse.ArgumentParser(description="what it costs that threads spin while they wait")
    parser.add_argument("--json", action="store_true", help="write JSON instead of tables")
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="cases to measure")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each way")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    groups = {name: measure(name, options.rounds) for name in options.only}
    show({"groups": groups, "machine": machine()}, options.json)


if __name__ == "__main__":
    main()
