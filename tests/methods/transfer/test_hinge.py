"""The hinge loss with spectral norms: what the critic is, what its update is, and how a run keeps it."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from ganshift.errors import UserError
from ganshift.methods.transfer.algorithm import WGANGP
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.methods.transfer.trainer import train
from ganshift.nn.spectral_norm import add_spectral_norms, plain_weights, renormalise
from ganshift.training.draws import Draws
from ganshift.training.update import PlainUpdate
from ganshift.training.weights import load_weights


def settings(out, **more):
    tiny = {**PRESETS["tiny"], "linear_decay": False, "device": "cpu", "data": Path("bundled:faces"), "loss": "hinge"}
    return TransferConfig(**{**tiny, "images": 32, **more}, out=out)


@pytest.fixture
def critic():
    torch.manual_seed(0)
    critic = ResNetCritic(size=32, width=4)
    add_spectral_norms(critic)
    return critic


def kernels(critic):
    return [layer.weight for layer in critic.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]


def norms(critic):
    return torch.stack([torch.linalg.matrix_norm(kernel.flatten(1), ord=2) for kernel in kernels(critic)])


def test_norms_become_one_and_stand_still_in_between(critic):
    before = [kernel.detach().clone() for kernel in kernels(critic)]
    critic(torch.rand(2, 3, 32, 32))
    assert all(torch.equal(*pair) for pair in zip(kernels(critic), before, strict=True))
    for _ in range(200):
        renormalise(critic)
    assert_close(norms(critic), torch.ones(len(before)), rtol=1e-2, atol=0)


def test_ordinary_layers_of_its_plain_weights_have_the_same_scores(critic):
    images, plain = torch.rand(2, 3, 32, 32), ResNetCritic(size=32, width=4)
    assert not torch.equal(plain(images)[0], critic(images)[0])
    plain.load_state_dict(plain_weights(critic))
    assert torch.equal(plain(images)[0], critic(images)[0])


def test_the_loss_is_the_hinge_and_has_no_penalty(critic):
    config = TransferConfig(data=Path("x"), out=Path("x"), images=1, batch=3, loss="hinge")
    algorithm = WGANGP(ResNetGenerator(size=32, width=4), critic, config)
    real, fake = torch.rand(2, 3, 3, 32, 32)
    terms = algorithm.critic_loss(real, fake, None, None, torch.rand(3, 1))
    (real_scores, _), (fake_scores, _) = critic(real), critic(fake)
    expected = (1 - real_scores).clamp(min=0).mean() + (1 + fake_scores).clamp(min=0).mean()
    assert terms.keys() == {"critic/hinge"}
    assert_close(terms["critic/hinge"], expected)


def test_an_iteration_iterates_each_norm_once_for_each_critic_update(critic):
    config = TransferConfig(data=Path("x"), out=Path("x"), images=1, batch=3, loss="hinge", dequantize=False)
    generator = ResNetGenerator(size=32, width=4)
    optimizers = {network: torch.optim.SGD(network.parameters(), 0.0) for network in (generator, critic)}
    again = ResNetCritic(size=32, width=4)
    add_spectral_norms(again)
    again.load_state_dict(critic.state_dict())
    stored = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8)
    draws = Draws(torch.device("cpu"))
    WGANGP(generator, critic, config).iteration([(stored, None)] * 2, PlainUpdate(optimizers), draws, critic_only=False)
    renormalise(again)
    renormalise(again)
    assert_close(norms(critic), norms(again), rtol=0, atol=0)


def test_a_run_goes_on_to_the_last_bit_and_its_critic_is_a_source(tmp_path):
    """In two parts, the second from the checkpoint of the first; critic.safetensors is an ordinary critic."""
    train(settings(tmp_path / "whole"))
    for images in (16, 32):
        train(settings(tmp_path / "parts", images=images, checkpoint_every=16))
    for name in ("model.safetensors", "critic.safetensors"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    ResNetCritic(size=32, width=4, channels=1).load_state_dict(load_weights(tmp_path / "whole" / "critic.safetensors"))
    for loss in ("hinge", "wgan-gp"):
        train(settings(tmp_path / loss, loss=loss, source=str(tmp_path / "whole"), images=8))
        assert "initialised" not in (tmp_path / loss / "surgery.txt").read_text()


@pytest.mark.parametrize(
    ("of_source", "load", "warns"),
    [("wgan-gp", "both", True), ("wgan-gp", "generator", False), ("hinge", "both", False)],
)
def test_a_source_by_another_loss_prints_a_warning(of_source, load, warns, tmp_path, caplog):
    train(settings(tmp_path / "source", loss=of_source, images=8))
    train(settings(tmp_path / "run", source=str(tmp_path / "source"), load=load, images=8))
    assert ("the source's critic was trained with another loss" in caplog.text) == warns


def test_any_micro_batch_is_the_same_run(tmp_path):
    """The norms stand still within an update."""
    for name, size in (("one", None), ("parts", 1)):
        train(settings(tmp_path / name, generator_norm=False, micro_batch=size, images=16))
    one, parts = (load_weights(tmp_path / name / "critic.safetensors") for name in ("one", "parts"))
    assert_close(parts, one, rtol=0, atol=1e-5)


def test_it_is_not_as_published():
    with pytest.raises(UserError, match="loss=hinge is not what the published code does"):
        TransferConfig(data=Path("x"), out=Path("x"), images=1, loss="hinge", as_published=True)
