"""No zeros go back through a penalty's forward pass, and its gradients are those of PyTorch's own operators."""

from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from benchmarks.literal.transfer import Training
from ganshift.methods.losses import gradient_penalty
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.nn.autograd import skips_zeros


@pytest.mark.parametrize("size", [32, 64])
def test_gradients_of_the_penalty_are_those_of_plain_operators(size):
    torch.manual_seed(0)
    shape = {"size": size, "width": 4, "channels": 3, "num_classes": 3}
    config = TransferConfig(data=Path("x"), out=Path("x"), images=1)
    literal = Training(config, **shape)
    critic = ResNetCritic(**shape, norm=size == 64, class_head=True)
    literal.load(ResNetGenerator(**shape), critic)
    draws = [torch.rand(2, 3, size, size).double(), torch.rand(2, 3, size, size).double(), torch.rand(2).double()]
    gradients = []
    for network in (critic.double(), literal.critic.double()):
        gradient_penalty(lambda images, critic=network: critic(images)[0], *draws).backward()
        found = {name: parameter.grad for name, parameter in network.named_parameters()}
        # Where one network has no gradient, the other's may be zero.
        gradients.append(
            {name: gradient for name, gradient in found.items() if gradient is not None and gradient.any()}
        )
    assert "start.conv1.weight" in gradients[0] or "start.weight" in gradients[0]
    assert_close(*gradients, rtol=1e-12, atol=1e-12)


def test_a_gradient_that_is_missing_stays_missing():
    calls = []

    @skips_zeros
    class Twice(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad_output):
            calls.append(grad_output)
            return 2 * grad_output

    x = torch.ones(3, requires_grad=True)
    (slope,) = torch.autograd.grad(Twice.apply(x.square()).sum(), x, create_graph=True)
    calls.clear()
    slope.sum().backward()
    assert not calls  # the output of the forward pass is no part of the slope
    assert_close(x.grad, torch.full((3,), 4.0))
