"""The arithmetic of the benchmarks, and the published cases that they measure."""

import subprocess
import sys

import pytest
import torch

from benchmarks.cases import CASES, iteration, trainer_of
from benchmarks.measuring import Spread, measure, spread, take_turns, work_of
from benchmarks.memory import STATUS
from ganshift.tools.bench import write_pictures


def test_spread():
    assert spread([5.0, 1.0, 2.0, 4.0, 3.0]) == Spread(3.0, (2.0, 4.0), 5)
    assert spread([7.0]) == Spread(7.0, (7.0, 7.0), 1)


def test_actions_take_turns():
    calls = []
    times = iter(range(100))  # a clock that ticks whenever it is read
    actions = {name: lambda name=name: calls.append(name) for name in "ab"}
    assert take_turns(actions, 3, lambda: float(next(times))) == {"a": [1.0] * 3, "b": [1.0] * 3}
    assert calls == list("ababab")


def test_rows_of_a_measurement():
    """An action has one turn more than there are rounds, to warm up and to be counted."""
    calls = []
    square = torch.ones(64, 64)
    rows = measure({"product": lambda: square @ square, "other": lambda: calls.append(1)}, rounds=2)
    assert len(calls) == 3
    product, other, *kernels = rows
    assert product["GFLOP"] == 2 * 64**3 / 1e9
    assert product["kernel calls"] == 1
    assert product["GFLOP/s"] == pytest.approx(product["GFLOP"] / product["seconds"])
    assert set(other) == {"what", "seconds", "quartiles", "rounds"}
    assert max(row["share of peak"] for row in kernels) == 1.0
    best = max(row["GFLOP/s"] for row in kernels)
    assert product["share of peak"] == pytest.approx(product["GFLOP/s"] / best)


MEMORY = """
from benchmarks.memory import peak_growth
there = bytearray(30_000_000)
print(peak_growth(lambda: lambda: bytearray(80_000_000) and None)[1])
"""


def test_memory_of_an_action():
    """What an action holds at its largest counts, and what was there before it does not."""
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    assert done.stdout == "None\n" if not STATUS.exists() else 75 < float(done.stdout) < 90


def test_cases_are_as_published(tmp_path):
    write_pictures(tmp_path)
    first, second, third = (case.config(tmp_path, quick=False) for case in CASES.values())
    assert (first.batch, first.critic_steps, first.generator_batch_multiple) == (64, 5, 2)
    assert (second.batch, second.critic_steps, second.size) == (16, 5, 64)
    assert (third.batch, third.critic_steps, third.size, third.generator_width) == (1, 1, 256, 64)
    assert all(config.as_published for config in (first, second, third))
    trainer = trainer_of(CASES["transfer32"].config(tmp_path, quick=True))
    generator = trainer.algorithm.generator
    before = [value.clone() for value in generator.parameters()]
    iteration(trainer)()
    assert any(not torch.equal(old, new) for old, new in zip(before, generator.parameters(), strict=True))


def test_fast_iterations(tmp_path):
    """In bfloat16 an iteration computes the same, with casts more and, by one fused optimizer, calls fewer."""
    write_pictures(tmp_path)
    works = {}
    for fast in (False, True):
        trainer = trainer_of(CASES["transfer32"].config(tmp_path, quick=True, fast=fast, critic_steps=1))
        works[fast] = work_of(iteration(trainer))
    assert works[True].flops == works[False].flops
    assert works[True].kernel_calls != works[False].kernel_calls
