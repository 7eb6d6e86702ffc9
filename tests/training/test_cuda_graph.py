"""What a CUDA graph needs of an iteration, on the CPU: nothing is read from the device until it is asked for.

That a graph can be recorded, and what it takes to replay it, is in tests/null_device.
"""

import copy
from pathlib import Path

import pytest
import torch

from ganshift.errors import UserError
from ganshift.methods.dual.config import PRESETS as DUAL_PRESETS
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.trainer import DualTrainer
from ganshift.methods.transfer.config import PRESETS as TRANSFER_PRESETS
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer
from ganshift.training.cuda_graph import set_learning_rate
from ganshift.training.loop import fit
from ganshift.training.optim import NonFiniteLoss


def new_trainer(method, out=Path("unused"), **settings):
    """Its optimisers are those that a graph takes."""
    if method == "dual":
        config = {**DUAL_PRESETS["tiny"], "data": Path("bundled:photo-sketch"), "images": 8, **settings}
        return DualTrainer.from_config(DualConfig(**config, out=out, device="cpu"))
    config = {**TRANSFER_PRESETS["tiny"], "data": Path("bundled:digits"), "conditioning": "acgan", **settings}
    trainer = TransferTrainer.from_config(TransferConfig(**config, out=out, device="cpu"))
    for optimizer in trainer.optimizers.values():
        optimizer.param_groups[0]["fused"] = True
    return trainer


def flat(state):
    if isinstance(state, dict):
        return {f"{key}/{name}": value for key, each in state.items() for name, value in flat(each).items()}
    if isinstance(state, list | tuple):
        return flat(dict(enumerate(state)))
    return {"": state.clone() if isinstance(state, torch.Tensor) else copy.copy(state)}


def assert_same(one, other):
    one, other = flat(one), flat(other)
    assert one.keys() == other.keys()
    for name, value in one.items():
        same = torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name]
        assert same, name


@pytest.mark.parametrize("method", ["transfer", "dual"])
def test_an_iteration_that_reads_nothing_is_the_same(method):
    """The same draws, terms and states, to the last bit."""
    plain, deferred = new_trainer(method), new_trainer(method)
    deferred.update.defer(torch.zeros(()))
    for trainer in (plain, deferred):
        trainer.terms = [trainer.iteration(batch) for _, batch in zip(range(3), trainer.batches(0), strict=False)]
        trainer.refuse_failed({})
    assert_same(plain.terms, deferred.terms)
    assert_same(plain.state_dict(), deferred.state_dict())


@pytest.mark.parametrize("method", ["transfer", "dual"])
def test_after_a_loss_that_is_not_finite_nothing_moves(method):
    """Not even at the iterations that follow, whose losses are finite again, until it was asked for."""
    trainer = new_trainer(method, ema_images=0)
    trainer.update.defer(torch.zeros(()))
    batches = trainer.batches(0)
    trainer.iteration(next(batches))
    network = next(iter(trainer.update.optimizers))
    weight = next(network.parameters())
    number = weight.data.view(-1)[0].clone()
    weight.data.view(-1)[0] = torch.nan
    before = flat(trainer.state_dict())
    bad = trainer.iteration(next(batches))
    assert not all(torch.isfinite(term) for term in bad.values())
    weight.data.view(-1)[0] = number
    trainer.iteration(next(batches))
    after = flat(trainer.state_dict())
    moved = [
        name
        for name, value in before.items()
        if isinstance(value, torch.Tensor) and "running" not in name and not torch.equal(value, after[name])
    ]
    assert len(moved) == 1  # the weight that was put right here
    means = {name: term.item() for name, term in bad.items()}
    with pytest.raises(NonFiniteLoss, match=r"the loss must be finite, but .* is nan; nothing was updated"):
        trainer.refuse_failed(means)
    trainer.refuse_failed(means)  # asked for once
    trainer.iteration(next(batches))
    assert len([name for name, value in flat(trainer.state_dict()).items() if not same(value, after[name])]) > 1


def same(one, other):
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_run_stops_before_it_keeps_anything_of_it(tmp_path):
    """Seen with the log, and at a checkpoint where no line of the log was due."""
    trainer = new_trainer(
        "transfer",
        tmp_path / "run",
        critic_learning_rate=1e30,
        critic_steps=1,
        images=320,
        log_every=320,
        checkpoint_every=24,
    )
    trainer.update.defer(torch.zeros(()))
    with pytest.raises(UserError, match=r"stopped at 24 images: the loss must be finite, but critic/.* No checkpoint"):
        fit(trainer)
    assert not list((tmp_path / "run" / "checkpoints").glob("*.pt"))


def test_learning_rates_that_a_graph_reads_change_in_place():
    """Others are plain numbers, with all their digits."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    set_learning_rate(optimizer, 0.1)
    assert optimizer.param_groups[0]["lr"] == 0.1
