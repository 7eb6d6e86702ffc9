"""What `ganshift bench` measures and shows, and the arithmetic of its method."""

import json
import os
from typing import get_args

import pytest
import torch

from ganshift.cli import main
from ganshift.metrics.extractors import open_extractor
from ganshift.tools.bench import Group
from ganshift.tools.bench.cases import CASES, iteration, new_job, write_pictures
from ganshift.tools.bench.memory import STATUS, peak_megabytes
from ganshift.tools.bench.method import Spread, measure, spread, take_turns, work_of
from ganshift.tools.bench.suites import SUITES, _features, _features_by_torch_fidelity


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


def test_memory_of_an_action(tmp_path, monkeypatch):
    """What an action holds at its largest counts, and what was there before it does not."""
    (tmp_path / "holder.py").write_text(
        "from ganshift.tools.bench.memory import report_memory\n"
        "there = bytearray(30_000_000)\n"
        "report_memory(lambda: lambda: bytearray(80_000_000) and None)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    found = peak_megabytes("holder")
    assert 75 < found < 90 if STATUS.exists() else found is None


def test_cases_are_as_published(tmp_path):
    write_pictures(tmp_path)
    assert get_args(Group) == tuple(SUITES)
    first, second, third = (case.config(tmp_path, quick=False) for case in CASES.values())
    assert (first.batch, first.critic_steps, first.generator_batch_multiple) == (64, 5, 2)
    assert (second.batch, second.critic_steps, second.size) == (16, 5, 64)
    assert (third.batch, third.critic_steps, third.size, third.generator_width) == (1, 1, 256, 64)
    assert all(config.as_published for config in (first, second, third))
    job = new_job(CASES["transfer32"].config(tmp_path, quick=True))
    before = [value.clone() for value in job.state["generator"].parameters()]
    iteration(job)()
    assert any(not torch.equal(old, new) for old, new in zip(before, job.state["generator"].parameters(), strict=True))


def test_fast_iterations(tmp_path):
    """In bfloat16 an iteration computes the same, with casts more and, by one fused optimizer, calls fewer."""
    write_pictures(tmp_path)
    works = {}
    for fast in (False, True):
        job = new_job(CASES["transfer32"].config(tmp_path, quick=True, fast=fast, critic_steps=1))
        works[fast] = work_of(iteration(job, fast))
    assert works[True].flops == works[False].flops
    assert works[True].kernel_calls != works[False].kernel_calls


def test_both_ways_to_features_agree(tmp_path):
    write_pictures(tmp_path)
    extractor = open_extractor("cifar")
    ours = _features(tmp_path / "classes", extractor)
    theirs = _features_by_torch_fidelity(tmp_path / "classes", extractor)
    for name, values in ours.items():
        torch.testing.assert_close(values, theirs[name])


@pytest.mark.slow
def test_command(capsys):
    """Every group that needs no other process, measured small."""
    groups = [group for group in SUITES if group not in ("memory", "start-up")]
    assert main(["bench", "--quick", "--json", "--only", *groups]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found["groups"]) == groups
    assert found["machine"]["versions"]["torch"] == torch.__version__
    training = {row["what"]: row for row in found["groups"]["training"]}
    for name in CASES:
        assert training[f"{name}, iteration"]["share of peak"] > 0
        assert training[f"{name}, batch from files"]["times faster than the iteration"] > 0
    evaluation = {row["what"]: row for row in found["groups"]["evaluation"]}
    assert evaluation["cifar, features"]["GFLOP"] == evaluation["cifar, features by torch-fidelity"]["GFLOP"]
    assert evaluation["inception, features"]["times faster than torch-fidelity"] > 0
    grown = found["groups"]["growth"][1]
    assert grown["what"] == "transfer, width 16"
    assert 3 < grown["times the FLOP"] < 4  # four times, but for the layers next to images and latents
    assert main(["bench", "--quick", "--fast", "--only", "length"]) == 0
    table = capsys.readouterr().out
    assert "64 of 10,000 images, from position 1,000,000,000" in table
    assert "'torch'" in table
