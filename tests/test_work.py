"""A guard against slower steps that no clock is needed for: what a step computes, counted.

A change that lowers one, or must raise it, puts the table that
the failing test prints in the place of this one, and says in CHANGELOG.md or docs/performance.md what changed.
"""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.measuring import work_of
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.trainer import new_algorithm, new_optimizer
from ganshift.methods.transfer.algorithm import WGANGP
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.nn.matmul import product
from ganshift.training.grad_accumulation import Updates

BATCH, CLASSES = 2, 3
COUNTS = {
    "transfer 32, critic step": 31_515_392,
    "transfer 32, generator step": 20_340_992,
    "transfer 64, critic step": 763_592_704,
    "transfer 64, generator step": 299_270_144,
    "dual wgan-gp, critic step": 52_421_632,
    "dual wgan-gp, generator step": 62_048_256,
    "dual wgan, critic step": 30_201_856,
    "dual wgan, generator step": 62_048_256,
}
"""FLOP of the second of two steps, when the optimisers have their states."""


def transfer_steps(size):
    """A conditional run of width 8, all pairs penalised at one mixture."""
    config = TransferConfig(data=Path("x"), out=Path("x"), images=1)
    generator = ResNetGenerator(size=size, width=8, num_classes=CLASSES)
    critic = ResNetCritic(size=size, width=8, num_classes=CLASSES, norm=size == 64, class_head=True)
    algorithm = WGANGP(generator, critic, config, num_classes=CLASSES)
    networks = (generator, critic)
    update = Updates({network: torch.optim.Adam(network.parameters(), 1e-3, (0.0, 0.9)) for network in networks})
    real, latents, labels = torch.rand(BATCH, 3, size, size), torch.randn(BATCH, 128), torch.arange(BATCH)

    def critic_step():
        with torch.no_grad():
            fake = generator(latents, labels)
        update(critic, algorithm.critic_loss, real, fake, labels, labels, torch.rand(BATCH, 1))

    return {"critic": critic_step, "generator": lambda: update(generator, algorithm.generator_loss, latents, labels)}


def dual_steps(loss):
    """A run of width 4 at 64 pixels; the fakes are made once, for both steps, and count with the critics'."""
    config = DualConfig(
        data=Path("x"), out=Path("x"), images=1, batch=BATCH, size=64, generator_width=4, critic_width=4, loss=loss
    )
    algorithm = new_algorithm(config, 3, 1)
    networks = (algorithm.generators, algorithm.critics)
    update = Updates({moving: new_optimizer(config, moving) for moving in networks})
    pair = torch.rand(BATCH, 3, 64, 64), torch.rand(BATCH, 1, 64, 64)
    alphas = torch.rand(2, BATCH) if loss == "wgan-gp" else (None, None)
    fakes = []

    def critic_step():
        fakes[:] = algorithm.translate(*pair)
        update(algorithm.critics, algorithm.critic_loss, *pair, *(fake.detach() for fake in fakes), *alphas)

    return {
        "critic": critic_step,
        "generator": lambda: update(algorithm.generators, algorithm.generator_loss, *pair, *fakes),
    }


def counted():
    torch.manual_seed(0)
    runs = {
        "transfer 32": transfer_steps(32),
        "transfer 64": transfer_steps(64),
        "dual wgan-gp": dual_steps("wgan-gp"),
        "dual wgan": dual_steps("wgan"),
    }
    found = {}
    for name, steps in runs.items():
        for step in steps.values():
            step()
        for network, step in steps.items():
            found[f"{name}, {network} step"] = work_of(step).flops
    return found


def test_steps_compute_what_they_did():
    found = counted()
    table = "\n".join(f'    "{name}": {flops:_},' for name, flops in found.items())
    assert found == COUNTS, f"the table is now\n{table}"


def test_flops_of_a_convolution_and_its_derivatives():
    """One unit is the forward pass: n h w c_out, times c_in k k multiplications and as many additions."""
    images, weight = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(5, 3, 3, 3, requires_grad=True)
    unit = 2 * 8 * 8 * 5 * (3 * 3 * 3) * 2

    def penalty():
        (slopes,) = torch.autograd.grad(forward().square().sum(), images, create_graph=True)
        slopes.square().sum().backward()

    def forward():
        return F.conv2d(images, weight, padding=1)

    assert work_of(forward).flops == unit
    assert work_of(lambda: forward().sum().backward()).flops == 3 * unit  # and towards images and weight
    # The slope; its derivative towards what came down and towards the weight; of what came up, the two of before.
    assert work_of(penalty).flops == (1 + 1 + 2 + 2) * unit


def test_flops_of_other_layers():
    """A transposed convolution spreads each of its input's pixels; without a gradient of the input, half is left."""
    maps, weight = torch.randn(1, 3, 4, 4), torch.randn(3, 5, 3, 3, requires_grad=True)
    unit = 4 * 4 * 3 * (5 * 3 * 3) * 2
    assert work_of(lambda: F.conv_transpose2d(maps, weight, stride=2).sum().backward()).flops == 2 * unit
    linear = nn.Linear(7, 5)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            work = work_of(lambda: linear(torch.ones(2, 7)).view(5, 2))
        assert work.flops == 2 * 7 * 5 * 2
        assert work.kernel_calls == 2  # ones and addmm; transposing and viewing compute nothing


def test_flops_of_our_product():
    """With both gradients; it has a kernel that PyTorch's formulas do not know."""
    left, right = torch.randn(8, 9, requires_grad=True), torch.randn(9, 7, requires_grad=True)
    assert work_of(lambda: product(left, right).sum().backward()).flops == 3 * (8 * 9 * 7 * 2)


@pytest.mark.parametrize("out", [None, torch.empty(8, 7)])
def test_flops_of_a_matrix_product(out):
    assert work_of(lambda: torch.mm(torch.ones(8, 9), torch.ones(9, 7), out=out)).flops == 8 * 9 * 7 * 2
