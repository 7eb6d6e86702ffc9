"""The layers' own derivatives: first and second, against finite differences and against PyTorch's."""

import pytest
import torch
from torch.nn import functional as F

from ganshift.nn.activation import downsample, rectify
from ganshift.nn.autograd import no_weight_gradients
from ganshift.nn.norm import LayerNorm


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.double, requires_grad=True)


def layer_norm(num_classes: int = 0) -> LayerNorm:
    norm = LayerNorm(4, num_classes).double()
    with torch.no_grad():
        norm.gain.normal_()
        norm.bias.normal_()
    return norm


@pytest.mark.parametrize("num_classes", [0, 2])
def test_layer_norm_has_the_derivatives_of_finite_differences(num_classes: int):
    torch.manual_seed(0)
    norm, labels = layer_norm(num_classes), torch.tensor([0, 1, 1]) if num_classes else None

    def of(x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(norm, {"gain": gain, "bias": bias}, (x, labels))

    inputs = (3 + maps(3, 4, 3, 5), norm.gain, norm.bias)  # a mean that has to be taken away
    assert torch.autograd.gradcheck(of, inputs)
    assert torch.autograd.gradgradcheck(of, inputs)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_of_a_penalty_through_layer_norm_are_pytorchs(layout: torch.memory_format):
    torch.manual_seed(0)
    norm = layer_norm()
    images, weight = maps(3, 4, 6, 6).detach().contiguous(memory_format=layout), maps(3, 4, 6, 6).detach()

    def gradients(normalise) -> list[torch.Tensor]:
        x = images.clone().requires_grad_()
        with no_weight_gradients():
            (slope,) = torch.autograd.grad((normalise(x).tanh() * weight).sum(), x, create_graph=True)
        return list(torch.autograd.grad((slope.norm() - 1) ** 2, [x, norm.gain, norm.bias]))

    theirs = gradients(lambda x: F.group_norm(x, 1, norm.gain, norm.bias, norm.eps))
    for own, other in zip(gradients(norm), theirs, strict=True):
        torch.testing.assert_close(own, other)


def test_layer_norm_keeps_the_layout_of_maps_forward_and_back():
    x = torch.randn(2, 4, 6, 6).contiguous(memory_format=torch.channels_last).requires_grad_()
    y = LayerNorm(4)(x)
    (slope,) = torch.autograd.grad(y, x, torch.randn(2, 4, 6, 6), create_graph=True)
    (second,) = torch.autograd.grad(slope.square().sum(), x)
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in (y, slope, second))


@pytest.mark.parametrize("of", [downsample, rectify, lambda x: rectify(x.sin(), in_place=True)])
def test_pooling_and_relu_have_the_derivatives_of_finite_differences(of):
    torch.manual_seed(0)
    x = maps(2, 3, 4, 6)
    assert torch.autograd.gradcheck(of, (x,))
    assert torch.autograd.gradgradcheck(of, (x,))


def test_pooling_and_relu_are_pytorchs():
    x = torch.randn(2, 3, 4, 6)
    assert torch.equal(downsample(x), F.avg_pool2d(x, 2))
    assert torch.equal(rectify(x), F.relu(x))
    assert torch.equal(rectify(changed := x.clone(), in_place=True), F.relu(x))
    assert torch.equal(changed, F.relu(x))


def test_second_derivatives_write_no_zeros_for_the_map():
    """PyTorch's own would."""
    x = maps(2, 3, 4, 6)
    for of, zeros in ((lambda x: downsample(rectify(x)), 0), (lambda x: F.avg_pool2d(F.relu(x), 2), 2)):
        (slope,) = torch.autograd.grad(of(x).square().sum(), x, create_graph=True)
        with torch.profiler.profile() as profiled:
            torch.autograd.grad(slope.square().sum(), x)
        assert sum(event.name in ("aten::zeros", "aten::zeros_like") for event in profiled.events()) == zeros
