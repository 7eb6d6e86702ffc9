"""The convolutions against PyTorch's plain composition, their first and second derivatives included."""

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from ganshift.nn.autograd import no_weight_gradients
from ganshift.nn.conv import Conv2d, doubling_convolution, halving_convolution

SHAPES = [(3, 5, 4, 6), (1, 1, 2, 2), (2, 4, 8, 8)]
"""Images, channels, height, width: odd channels, one image, not square."""
CASES = [(3, None), (3, "up"), (3, "down"), (1, None)]


def composition(x, conv):
    """Upsample, convolve, pool: what each convolution stands for."""
    x = F.interpolate(x, scale_factor=2.0, mode="nearest") if conv.resample == "up" else x
    x = F.conv2d(x, conv.weight, conv.bias, padding=conv.kernel_size[0] // 2)
    return F.avg_pool2d(x, 2) if conv.resample == "down" else x


def new_conv(c_in, kernel, resample, bias=True, dtype=torch.float64):
    torch.manual_seed(0)
    return Conv2d(c_in, 3, kernel, resample, bias=bias).to(dtype)


def derivatives(convolve, conv, x):
    """The output, its gradients, and the gradients of a penalty on the slope, through a nonlinearity before and after.

    Adding the gradient of the weights makes every second derivative take part.
    """
    x = x.clone().requires_grad_()
    out = convolve(x.tanh(), conv)
    inputs = [x, *conv.parameters()]
    first = torch.autograd.grad(out.square().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(first[0].square().sum() + first[1].pow(3).sum(), inputs)
    return out.detach(), first, second


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("kernel", "resample"), CASES)
def test_equals_the_composition(kernel, resample, shape, channels_last, bias):
    conv, x = new_conv(shape[1], kernel, resample, bias), torch.randn(shape, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    assert_close(derivatives(lambda x, conv: conv(x), conv, x), derivatives(composition, conv, x))


@pytest.mark.parametrize("size", [4, 16])  # small maps, and few pixels for so many channels, make products
@pytest.mark.parametrize(("kernel", "resample"), CASES)
def test_float32_is_exact_but_for_rounding(kernel, resample, size):
    conv, x = new_conv(16, kernel, resample), torch.randn(2, 16, size, size, dtype=torch.float64)
    exact = derivatives(composition, conv, x)
    ours = derivatives(lambda x, conv: conv(x), conv.float(), x.float())
    for value, true in zip(flat(ours), flat(exact), strict=True):
        assert (value - true).norm() <= 2e-6 * true.norm()


@pytest.mark.parametrize("images", [1, 2])
@pytest.mark.parametrize("side", [13, 40, 41, 64, 65])  # few pixels make products; many are doubled channels-last
@pytest.mark.parametrize("direction", ["halving", "doubling"])
def test_halving_and_doubling_are_exact_but_for_rounding(direction, side, images):
    """Of an even larger side, the last pixel has no pair."""
    torch.manual_seed(0)
    shape = [images, 5, side, side] if direction == "halving" else [images, 8, (side - 1) // 2, (side - 1) // 2]
    conv, x = torch.nn.Conv2d(5, 8, 3, bias=False), torch.randn(shape, dtype=torch.float64)
    exact = derivatives(lambda x, conv: plain(direction, x, conv.weight, side), conv.double(), x)
    ours = derivatives(lambda x, conv: fast(direction, x, conv.weight, side), conv.float(), x.float())
    for value, true in zip(flat(ours), flat(exact), strict=True):
        assert value.shape == true.shape
        assert (value - true).norm() <= 2e-6 * true.norm()


def plain(direction, x, weight, side):
    if direction == "halving":
        return F.conv2d(x, weight, stride=2)
    return F.conv_transpose2d(x, weight, stride=2, output_padding=1 - side % 2)


def fast(direction, x, weight, side):
    if direction == "halving":
        return halving_convolution(x, weight, None, (0, 0))
    return doubling_convolution(x, weight, None, (0, 0), (side, side))


def flat(results):
    return [results[0], *results[1], *results[2]]


@pytest.mark.parametrize(("kernel", "resample"), CASES)
def test_second_derivatives_are_right_numerically(kernel, resample):
    conv = new_conv(2, kernel, resample)
    x = torch.randn(2, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    inputs = (x, conv.weight, conv.bias)

    def call(x, weight, bias):
        return torch.func.functional_call(conv, {"weight": weight, "bias": bias}, x)

    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_images_do_not_meet(resample):
    conv, x = new_conv(5, 3, resample), torch.randn(3, 5, 4, 4, dtype=torch.float64)
    assert_close(torch.cat([conv(image) for image in x.split(1)]), conv(x))


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_autocast_computes_in_half_precision(resample):
    conv, x = new_conv(4, 3, resample, dtype=torch.float32), torch.randn(2, 4, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x)
        assert out.dtype == composition(x, conv).dtype == torch.bfloat16
        (slope,) = torch.autograd.grad(out.float().square().sum(), x, create_graph=True)
    slope.square().sum().backward()
    assert slope.dtype == conv.weight.grad.dtype == torch.float32
    assert_close(out.float(), composition(x, conv), rtol=0.05, atol=0.05)


@pytest.mark.parametrize("resample", [None, "up", "down"])
def test_passes_for_the_images_alone_skip_the_weights(resample):
    conv, x = new_conv(4, 3, resample), torch.randn(2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    out = conv(x).square().sum()
    (expected,) = torch.autograd.grad(out, x, retain_graph=True)
    with no_weight_gradients():
        slope, of_weight = torch.autograd.grad(out, (x, conv.weight), create_graph=True, allow_unused=True)
    assert_close(slope, expected)
    assert of_weight is None
    slope.square().sum().backward()  # outside the block, the weights have their second derivative
    assert conv.weight.grad.abs().sum() > 0


def test_frozen_weights_have_no_gradient_and_pass_it_on():
    conv, x = new_conv(4, 3, "down").requires_grad_(False), torch.randn(2, 4, 4, 4, dtype=torch.float64)
    x.requires_grad_()
    conv(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert conv.weight.grad is None


def test_names_of_weights_are_those_of_a_plain_convolution():
    conv = Conv2d(4, 3, 3, "up")
    assert conv.state_dict().keys() == torch.nn.Conv2d(4, 3, 3).state_dict().keys()
    assert conv.weight.shape == (3, 4, 3, 3)
