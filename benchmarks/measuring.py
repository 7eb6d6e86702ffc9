"""How costs are measured: work is counted, times are taken in turns and summed up by medians.

Actions that are to be compared take turns, round by round, so that whatever else the machine does falls on all alike;
kernels that show what the machine can do take their turns among them. Only ratios within one such run mean anything.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganshift.training.run_folder import versions

TABLE_WIDTH = 150
"""Columns of text that the widest table needs; where there are fewer, it is better wrapped by the terminal than cut."""
Action = Callable[[], object]
"""Something to be measured; what it returns is dropped."""
Row = dict[str, Any]
"""Named figures of one thing that was measured, as JSON values; units are in the names."""


def _flops_of_linear(left: torch.Tensor, weight: torch.Tensor, *rest: Any, out_val: torch.Tensor) -> int:
    return 2 * weight.shape[1] * out_val.numel()


FORMULAS: Mapping[str, Callable[..., int]] = {"mkldnn._linear_pointwise": _flops_of_linear}
"""FLOP of operators that we use and PyTorch has no formula for, by name."""


def flop_formula(operator: Any) -> Callable[..., int] | None:
    """FLOP of an operator from its arguments and `out_val`, its result; None where it is no convolution or product."""
    packet = operator.overloadpacket
    return flop_registry.get(packet) or FORMULAS.get(str(packet))


class Work(TorchDispatchMode):
    """Counts what happens inside a `with` block, backward passes included: exact, whatever the machine does.

    `flops` are the multiplications and additions of convolutions and matrix products, by PyTorch's own formulas (and
    `FORMULAS`) and the shapes that occur; `kernel_calls` are operators that compute, so views of the same memory are
    left out. PyTorch's `FlopCounterMode` cannot be used, since it refuses the `autograd.grad` of a gradient penalty.
    """

    def __init__(self, flops: int = 0, kernel_calls: int = 0) -> None:
        super().__init__()
        self.flops = flops
        self.kernel_calls = kernel_calls

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_formula(func)
        if formula is None:  # in inference mode operators arrive here before they are taken apart
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        self.kernel_calls += not func.is_view
        return result


def work_of(action: Action) -> Work:
    """Do it once and count; on one thread, since what happens in others would not be seen."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Work() as work:
            action()
    finally:
        torch.set_num_threads(threads)
    return work


class Worker:
    """A process that says some facts, then does an action whenever it is called; its memory is its own."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path = Path()) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
        )
        self.facts: dict[str, Any] = json.loads(self._line())
        self.processor_seconds: list[float] = []
        """What each call took on all cores together (Linux): on one thread, other programs hardly change it."""

    @staticmethod
    def serve(facts: Mapping[str, Any], action: Action) -> None:
        """In the process: say the facts, then do the action for every line that comes in."""
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            action()
            sys.stdout.write("\n")
            sys.stdout.flush()

    def __call__(self) -> None:
        """Let it do the action once, and wait for it."""
        assert self.process.stdin
        before = self._spent()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self._line()
        self.processor_seconds.append(self._spent() - before)

    def _spent(self) -> float:
        status = Path(f"/proc/{self.process.pid}/stat")
        if not status.exists():
            return 0.0
        user, system = status.read_text(encoding="utf-8").rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended: {self.process.args!r}")
        return line

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of the seconds of some rounds."""

    median: float
    quartiles: tuple[float, float]
    rounds: int

    def row(self, what: str) -> Row:
        """The same as figures of what was timed."""
        return {"what": what, "seconds": self.median, "quartiles": list(self.quartiles), "rounds": self.rounds}


def spread(seconds: Sequence[float]) -> Spread:
    """Sum up the rounds of one action; a single one is its own median and quartiles."""
    if len(seconds) == 1:
        return Spread(seconds[0], (seconds[0], seconds[0]), 1)
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Spread(median, (low, high), len(seconds))


def take_turns(
    actions: Mapping[str, Action], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each action by round; in a round, every action has one turn. Warm them up before."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            started = clock()
            action()
            seconds[name].append(clock() - started)
    return seconds


def peak_kernels() -> dict[str, Action]:
    """Large products and convolutions, the best of which stands for what the machine can do."""
    square = torch.randn(1536, 1536)
    product = torch.empty_like(square)
    kernels: dict[str, Action] = {"matmul 1536": lambda: torch.mm(square, square, out=product)}
    for images, channels, size in ((16, 128, 32), (4, 512, 16)):
        for layout, memory in (("nchw", torch.contiguous_format), ("nhwc", torch.channels_last)):
            maps = torch.randn(images, channels, size, size).contiguous(memory_format=memory)
            weight = torch.randn(channels, channels, 3, 3).contiguous(memory_format=memory)
            kernels[f"conv {images}x{channels}x{size}x{size} {layout}"] = _convolution(maps, weight)
    return kernels


def _convolution(maps: torch.Tensor, weight: torch.Tensor) -> Action:
    return lambda: F.conv2d(maps, weight, padding=1)


def measure(
    actions: Mapping[str, Action],
    rounds: int,
    with_peak: bool = True,
    counted: Mapping[str, Work] | None = None,
) -> list[Row]:
    """Warm up every action once while counting its work, then time them in turns; one row an action.

    Actions of which the work is `counted` already are taken to be warm. With peak, kernels that show the machine's peak
    take turns with them and are rows too, and every row that computes has the share of the best of them, median against
    median.
    """
    kernels = peak_kernels() if with_peak else {}
    everything = {**actions, **kernels}
    known = counted or {}
    work = {name: known[name] if name in known else work_of(action) for name, action in everything.items()}
    timings = {name: spread(values) for name, values in take_turns(everything, rounds).items()}
    rates = {name: work[name].flops / timings[name].median for name in timings}
    peak = max((rates[name] for name in kernels), default=0.0)
    rows = []
    for name, timing in timings.items():
        row = timing.row(name)
        if flops := work[name].flops:
            row |= {"GFLOP": flops / 1e9, "kernel calls": work[name].kernel_calls, "GFLOP/s": rates[name] / 1e9}
        if flops and peak:
            row["share of peak"] = rates[name] / peak
        rows.append(row)
    return rows


def machine() -> Row:
    """What the figures belong to."""
    return {
        "platform": platform.platform(terse=True),
        "processor": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def show(results: Mapping[str, Any], as_json: bool) -> None:
    """Write results: their `groups` of rows as one table each, or everything as JSON."""
    if as_json:
        sys.stdout.write(json.dumps(results, indent=2) + "\n")
        return
    console = Console(highlight=False, width=max(shutil.get_terminal_size().columns, TABLE_WIDTH))
    for group, rows in results["groups"].items():
        console.print(_table(group, rows))
    console.print({name: value for name, value in results.items() if name != "groups"})


def _table(title: str, rows: Sequence[Row]) -> Table:
    """One column for every name that a row has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="left" if name == "what" else "right", no_wrap=name == "what")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in names))
    return table


def _cell(value: Any) -> str:
    """Three digits are more than such figures hold."""
    if isinstance(value, list):
        return " to ".join(map(_cell, value))
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str("" if value is None else value)
