"""How fast a run trains: what is counted, and that nothing is left behind."""

from pathlib import Path

import pytest
import torch
from training.test_loop import Config, WalkTrainer

from ganshift.errors import UserError
from ganshift.methods.dual.config import PRESETS as DUAL
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.registry import throughput_of
from ganshift.methods.transfer.config import PRESETS as TRANSFER
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.training.throughput import throughput


def transfer(tmp_path, **settings):
    given = {**TRANSFER["tiny"], "data": Path("bundled:digits-5-9"), "out": tmp_path / "run", **settings}
    return TransferConfig(**given)


def dual(tmp_path, **settings):
    return DualConfig(**{**DUAL["tiny"], "data": Path("bundled:photo-sketch"), "out": tmp_path / "run", **settings})


class Clocked(WalkTrainer):
    """A walk whose iterations take the seconds that it is told, by a clock that stands still but for them."""

    def __init__(self, config, *seconds):
        super().__init__(config)
        self.left, self.now = list(seconds), 100.0

    def run_iteration(self, batch):
        terms = super().run_iteration(batch)
        self.now += self.left.pop(0)
        return terms

    def clock(self):
        return self.now


@pytest.mark.parametrize(
    ("iterations", "images", "seconds"),
    [
        ((4.0, 1.0, 2.0, 3.0), 3 * 4, 6.0),  # the first is not counted, and 1 + 2 is not yet 5
        ((4.0, 5.0), 4, 5.0),
        ((5.0,), 4, 5.0),  # the first alone takes the time there is
        ((60.0,), 4, 60.0),
    ],
)
def test_what_is_counted(tmp_path, iterations, images, seconds):
    trainer = Clocked(Config(out=tmp_path / "run", images=8), *iterations)  # 4 images an iteration
    found = throughput(trainer, 5, trainer.clock)
    assert trainer.left == []
    assert (found.images, found.seconds) == (images, seconds)
    assert found.images_per_second == images / seconds
    assert found.seconds_per_1000_images == pytest.approx(seconds / images * 1000)


def test_every_iteration_is_a_whole_one(tmp_path):
    """The generator rests in the first iteration of a run, which would make it look cheap."""
    trainer = TransferTrainer.from_config(transfer(tmp_path))
    before = trainer.algorithm.generator.start.weight.clone()
    throughput(trainer, 0)
    assert not torch.equal(trainer.algorithm.generator.start.weight, before)


@pytest.mark.parametrize("config_of", [transfer, dual])
def test_nothing_is_left_behind(tmp_path, config_of, capfd):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    found = throughput_of(config_of(tmp_path), 0.05)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert found.images > 0
    assert found.seconds >= 0.05
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_table_of_a_source_is_not_said(tmp_path, capfd):
    throughput_of(transfer(tmp_path, source="digits32"), 0)
    assert capfd.readouterr() == ("", "")


def test_settings_that_cannot_train(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        throughput_of(transfer(tmp_path, data=tmp_path / "none"), 5)
    with pytest.raises(UserError, match=r"training stops at .* images: .* try smaller learning rates"):
        throughput_of(transfer(tmp_path, generator_learning_rate=1e30, critic_learning_rate=1e30), 60)
