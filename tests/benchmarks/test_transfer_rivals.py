"""Recipes of others: their losses on critics whose slopes are known, how they draw weights, and how they adapt."""

import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks import transfer_recipe
from benchmarks import transfer_rivals as rivals
from benchmarks.adaptive import EVERY, PACE, AdaptiveAugment
from ganshift.errors import UserError
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer


class LinearCritic(nn.Module):
    """Each score is `slope` times the sum of an image, plus `level`."""

    def __init__(self, slope, level=0.0):
        super().__init__()
        self.slope, self.level = nn.Parameter(torch.tensor(slope)), level

    def forward(self, images):
        return self.slope * images.sum(dim=(1, 2, 3)) + self.level, None


class TwoSizes(LinearCritic):
    """The same at two sizes, as the package's critic answers; 4 scores an image at the first."""

    def forward(self, images, prob, types, calc_aux_loss=False):
        scores, _ = super().forward(images)
        return scores[:, None].repeat(1, 4), scores[:, None], torch.tensor(0.25) if calc_aux_loss else None


class Constant(nn.Module):
    """A generator of gray."""

    def forward(self, latents, noise=None):
        return torch.zeros(len(latents), 3, 8, 8)


@pytest.fixture
def trainer(tmp_path):
    """A run of 8 noisy images of 32 pixels."""
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(0).integers(256, size=(8, 32, 32, 3), dtype=np.uint8)
    for number, each in enumerate(pixels):
        Image.fromarray(each).save(tmp_path / "images" / f"{number}.png")
    arm = transfer_recipe.ARMS["stylegan2-ada"].settings
    settings = {**PRESETS["small"], **arm, "batch": 4, "evaluate_every": 0, "device": "cpu"}
    return TransferTrainer.from_config(TransferConfig(**settings, data=tmp_path / "images", out=tmp_path / "run"))


def test_logistic_losses_and_r1_of_a_linear_critic(trainer):
    algorithm = rivals.StyleGAN2ADA(Constant(), LinearCritic(0.5, level=3.0), trainer.settings)
    real, fake = torch.ones(4, 3, 8, 8), torch.zeros(4, 3, 8, 8)
    terms = algorithm.adversarial_loss(real, fake)
    assert terms["critic/logistic"].item() == pytest.approx(math.log1p(math.exp(-99.0)) + math.log1p(math.exp(3.0)))
    assert algorithm.logistic_generator_loss(torch.zeros(4, 5))["generator/logistic"].item() == pytest.approx(
        math.log1p(math.exp(-3.0))
    )
    slopes = 3 * 8 * 8 * 0.5**2
    assert algorithm.r1(real)["critic/R1"].item() == pytest.approx(16 * 0.01 / 2 * slopes)


def test_losses_at_two_sizes_of_a_linear_critic(trainer):
    slope = 0.001
    algorithm = rivals.LightweightGAN(Constant(), TwoSizes(slope), trainer.settings)
    real, fake = torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8)
    terms = algorithm.two_sizes_loss(real, fake, penalised=True)
    for name in ("critic/hinge", "critic/hinge 32"):
        assert terms[name].item() == pytest.approx(1 - slope * 192 + 1)
    assert terms["critic/drawing"].item() == 0.25
    assert terms["critic/penalty"].item() == pytest.approx(10 * 192 * (5 * slope) ** 2)  # four scores and one
    assert "critic/penalty" not in algorithm.two_sizes_loss(real, fake, penalised=False)
    terms = algorithm.two_sizes_generator_loss(torch.zeros(2, 5))
    for name in ("generator/adversarial", "generator/adversarial 32"):
        assert terms[name].item() == pytest.approx(-slope * 192 / 2)  # gray, of images from 0 to 1


def test_stylegan2_moves_both_networks_with_r1_every_sixteenth_time(trainer, monkeypatch):
    monkeypatch.setattr(rivals, "WIDTH", 4)
    rival = rivals.stylegan2_ada(trainer)
    before = {n: [p.detach().clone() for p in network.parameters()] for n, network in rival.networks.items()}
    batches = rival.batches(0)
    found = ["critic/R1" in rival.iteration(next(batches)) for _ in range(18)]
    assert [number for number, has in enumerate(found) if has] == [0, 16]
    for name, network in rival.networks.items():
        assert not any(torch.equal(*pair) for pair in zip(network.parameters(), before[name], strict=True)), name
    betas = {name: rival.optimizers[network].param_groups[0]["betas"] for name, network in rival.networks.items()}
    assert betas == {"generator": (0.0, 0.99), "critic": (0.0, 0.99 ** (16 / 17))}
    assert rival.ema.average(torch.randn(2, 512)).shape == (2, 3, 32, 32)


def test_the_same_seed_draws_the_same_networks(trainer, monkeypatch):
    monkeypatch.setattr(rivals, "WIDTH", 4)
    first, second = (rivals.stylegan2_ada(trainer).algorithm.generator.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_layers_keep_the_variance_and_learn_at_one_rate(trainer):
    rival = rivals.stylegan2_ada(trainer)
    torch.manual_seed(0)
    for name, layer in rival.algorithm.critic.named_modules():
        if isinstance(layer, nn.Conv2d):
            out = layer(torch.randn(8, layer.in_channels, 16, 16))[:, :, 2:-2, 2:-2]  # beside the zeros around
            assert 0.7 < out.std() < 1.3, name
            assert 0.8 < layer.parametrizations.weight.original.std() < 1.2, name
    mapping = rival.algorithm.generator.mapping.layers[0]
    assert 0.9 < mapping(torch.randn(64, 512)).std() < 1.1
    assert 95 < mapping.parametrizations.weight.original.std() < 105  # so that Adam's steps move it by a hundredth
    assert (rival.algorithm.generator.blocks[0].conv1.affine.bias == 1).all()


def test_what_is_missing_is_said(trainer, monkeypatch):
    monkeypatch.setitem(sys.modules, "lightweight_gan", None)
    with pytest.raises(UserError, match=r"pip install lightweight-gan==1\.2\.1"):
        rivals.lightweight_gan(trainer)


def test_augmentation_follows_the_critic():
    augment = AdaptiveAugment()
    for _ in range(EVERY - 1):
        augment.observe(torch.ones(10))
        assert augment.probability == 0
    augment.observe(torch.ones(10))
    assert augment.probability == pytest.approx(EVERY * 10 / PACE)
    for _ in range(EVERY):
        augment.observe(torch.tensor([1.0, 1.0, 1.0, -1.0]))  # a mean of 0.5
    assert augment.probability == pytest.approx(EVERY * 6 / PACE)
    for _ in range(2 * EVERY):
        augment.observe(-torch.ones(10))
    assert augment.probability == 0


def test_nothing_is_augmented_with_probability_0():
    images = torch.rand(5, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(AdaptiveAugment()(images), images, rtol=0, atol=1e-5)


def test_augmentation_changes_every_image_at_last_and_keeps_gray_and_plain_ones():
    augment = AdaptiveAugment()
    augment.probability = 1.0
    torch.manual_seed(0)
    gray = torch.rand(20, 1, 16, 16).expand(-1, 3, -1, -1).clone().requires_grad_()
    changed = augment(gray)
    torch.testing.assert_close(changed[:, :1].expand(-1, 3, -1, -1), changed, rtol=0, atol=1e-4)
    assert ((changed - gray).abs().mean(dim=(1, 2, 3)) > 0.02).all()
    changed.sum().backward()
    assert gray.grad.isfinite().all()
    assert (gray.grad != 0).any()
    plain = augment(torch.rand(20, 3, 1, 1).expand(-1, -1, 16, 16))
    torch.testing.assert_close(plain[:, :, :1, :1].expand_as(plain), plain, rtol=0, atol=1e-4)
    assert (plain.flatten(1).std(dim=1) > 0).any()


def test_a_part_of_the_images_is_changed():
    torch.manual_seed(0)
    chosen = AdaptiveAugment()._chosen(torch.ones(2, 10_000), 0.1)
    assert torch.equal(chosen[0], chosen[1])
    assert chosen[0].mean().item() == pytest.approx(0.1, abs=0.02)
