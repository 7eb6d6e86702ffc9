"""How fast a run trains: what is counted, and that nothing is left behind."""

import dataclasses
from pathlib import Path

import pytest
import torch

from ganshift.errors import UserError
from ganshift.methods.dual.config import PRESETS as DUAL
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.transfer.config import PRESETS as TRANSFER
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.trainer import new_job
from ganshift.training.throughput import pace, time_iterations


def transfer(tmp_path, **settings):
    given = {**TRANSFER["tiny"], "data": Path("bundled:digits-5-9"), "out": tmp_path / "run", **settings}
    return TransferConfig(**given)


def dual(tmp_path, **settings):
    return DualConfig(**{**DUAL["tiny"], "data": Path("bundled:photo-sketch"), "out": tmp_path / "run", **settings})


class Clock:
    """Stands still but while an iteration runs."""

    def __init__(self, *seconds):
        self.seconds = list(seconds)
        self.now = 100.0

    def __call__(self):
        return self.now

    def timing(self, job):
        def iterate(*arguments):
            terms = job.iterate(*arguments)
            self.now += self.seconds.pop(0)
            return terms

        return dataclasses.replace(job, iterate=iterate)


@pytest.mark.parametrize(
    ("iterations", "images", "seconds"),
    [
        ((4.0, 1.0, 2.0, 3.0), 3 * 8, 6.0),  # the first is not counted, and 1 + 2 is not yet 5
        ((4.0, 5.0), 8, 5.0),
        ((5.0,), 8, 5.0),  # the first alone takes the time there is
        ((60.0,), 8, 60.0),
    ],
)
def test_what_is_counted(tmp_path, iterations, images, seconds):
    config = transfer(tmp_path)  # 8 images an iteration
    clock = Clock(*iterations)
    found = time_iterations(config, clock.timing(new_job(config)), 5, clock)
    assert clock.seconds == []
    assert (found.images, found.seconds) == (images, seconds)
    assert found.images_per_second == images / seconds
    assert found.seconds_per_1000_images == pytest.approx(seconds / images * 1000)


def test_every_iteration_is_a_whole_one(tmp_path):
    """The generator rests in the first iteration of a run, which would make it look cheap."""
    config = transfer(tmp_path)
    terms = []
    job = new_job(config)

    def iterate(*arguments):
        terms.append(job.iterate(*arguments))
        return {}

    clock = Clock(1.0, 1.0, 1.0)
    time_iterations(config, clock.timing(dataclasses.replace(job, iterate=iterate)), 1.5, clock)
    assert len(terms) == 3
    assert all(any(name.startswith("generator") for name in names) for names in terms)


@pytest.mark.parametrize("config_of", [transfer, dual])
def test_nothing_is_left_behind(tmp_path, config_of, capfd):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found = pace(config_of(tmp_path), 0.05)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found.images > 0
    assert found.seconds >= 0.05
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_table_of_a_source_is_not_said(tmp_path, capfd):
    pace(transfer(tmp_path, source="digits32"), 0)
    assert capfd.readouterr() == ("", "")


def test_settings_that_cannot_train(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        pace(transfer(tmp_path, data=tmp_path / "none"))
    with pytest.raises(UserError, match=r"training stops at .* images: .* try smaller learning rates"):
        pace(transfer(tmp_path, generator_learning_rate=1e30, critic_learning_rate=1e30), 60)
