"""Shapes, sizes, conditioning and initialisation of the residual networks."""

from math import sqrt

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from ganshift.errors import UserError
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.nn.activation import downsample, upsample
from ganshift.nn.norm import BatchNorm, LayerNorm, batch_statistics


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [32, 64, 128])
def test_shapes_and_range(size, channels):
    generator = ResNetGenerator(size=size, width=4, channels=channels)
    critic = ResNetCritic(size=size, width=4, channels=channels, norm=size > 32)
    images = generator(torch.randn(2, 128))
    assert images.shape == (2, channels, size, size)
    assert images.abs().max() <= 1
    scores, logits = critic(images)
    assert scores.shape == (2,)
    assert logits is None


def test_published_parameter_counts():
    """At published widths: counted by hand from the tables of Gulrajani et al. 2017."""

    def count(network):
        return sum(parameter.numel() for parameter in network.parameters())

    def conv(c_in, c_out, kernel, bias=True):
        return c_in * c_out * kernel**2 + bias * c_out

    w = 128
    up = 4 * w + 2 * conv(w, w, 3) + conv(w, w, 1)
    assert count(ResNetGenerator(size=32, width=w)) == 129 * 16 * w + 3 * up + 2 * w + conv(w, 3, 3)
    first = conv(3, w, 3) + conv(w, w, 3) + conv(3, w, 1)
    assert count(ResNetCritic(size=32, width=w)) == first + 6 * conv(w, w, 3) + conv(w, w, 1) + w + 1
    d = 64
    blocks = 0
    for c_in, c_out in ((8 * d, 8 * d), (8 * d, 4 * d), (4 * d, 2 * d), (2 * d, d)):
        blocks += 2 * c_in + 2 * c_out + conv(c_in, c_out, 3, bias=False) + conv(c_out, c_out, 3) + conv(c_in, c_out, 1)
    assert count(ResNetGenerator(size=64, width=d)) == 129 * 16 * 8 * d + blocks + 2 * d + conv(d, 3, 3)


@pytest.mark.parametrize("size", [0, 16, 48, 256])
def test_other_sizes_are_refused(size):
    with pytest.raises(UserError, match=f"size must be one of 32, 64, 128.*got {size}"):
        ResNetGenerator(size=size, width=4)


@pytest.mark.parametrize("size", [32, 64])
def test_labels_change_a_conditional_generator_only(size):
    torch.manual_seed(0)
    generator = ResNetGenerator(size=size, width=4, num_classes=3).eval()
    for norm in (module for module in generator.modules() if isinstance(module, BatchNorm) and module.gain.dim() == 2):
        torch.nn.init.normal_(norm.gain)
    latents = torch.randn(1, 128).repeat(2, 1)
    one, two = generator(latents, torch.tensor([0, 2]))
    assert not torch.allclose(one, two)
    conditional_output_norm = generator.norm.gain.dim() == 2
    assert conditional_output_norm == (size == 64)  # published: the 32-pixel output norm never is
    with pytest.raises(ValueError, match="needs labels"):
        generator(latents)


def test_critic_conditioning():
    torch.manual_seed(0)
    images, labels = torch.randn(2, 3, 32, 32), torch.tensor([0, 1])
    acgan = ResNetCritic(size=32, width=4, num_classes=5, class_head=True)
    assert acgan(images)[1].shape == (2, 5)
    by_norm = ResNetCritic(size=32, width=4, num_classes=2, norm=True, conditional_norm=True)
    for norm in (module for module in by_norm.modules() if isinstance(module, LayerNorm)):
        torch.nn.init.normal_(norm.gain)
    assert not torch.allclose(by_norm(images, labels)[0], by_norm(images, 1 - labels)[0])
    with pytest.raises(UserError, match="never sees the label"):
        ResNetCritic(size=32, width=4, num_classes=2, norm=False, conditional_norm=True)
    with pytest.raises(UserError, match="needs norms"):
        ResNetGenerator(size=32, width=4, num_classes=2, norm=False)


@pytest.mark.parametrize(("size", "norm"), [(32, False), (32, True), (64, True)])
def test_critic_judges_each_image_alone(size, norm):
    critic = ResNetCritic(size=size, width=4, norm=norm)
    images = torch.randn(4, 3, size, size)
    assert_close(critic(images)[0][:1], critic(images[:1])[0], rtol=1e-4, atol=1e-5)


def test_batch_statistics_are_a_choice_at_sampling_time():
    generator = ResNetGenerator(size=32, width=4).eval()
    latents = torch.randn(4, 128)
    assert_close(generator(latents)[:2], generator(latents[:2]))
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    with batch_statistics(generator):
        by_batch = generator(latents)
        assert not torch.allclose(by_batch[:2], generator(latents[:2]))
    assert not torch.allclose(by_batch, generator(latents))
    assert_close(generator.state_dict(), before)


def test_running_statistics_follow_the_batches():
    norm = BatchNorm(2, momentum=1.0)
    x = torch.randn(8, 2, 4, 4) * 3 + 5
    norm(x)
    assert_close(norm.running_mean, x.mean(dim=(0, 2, 3)))
    assert_close(norm.running_var, x.var(dim=(0, 2, 3)))
    assert_close(norm.eval()(x).mean(), torch.tensor(0.0), atol=1e-5, rtol=0)


def test_class_conditional_batch_norm_is_batch_norm_with_a_gain_and_bias_a_class():
    """What it computes, and the gradients that it has a formula of its own for, against torch's."""
    torch.manual_seed(0)
    x = (torch.randn(6, 2, 3, 5) * 3 + 4).double().requires_grad_()
    labels = torch.tensor([0, 1, 1, 2, 0, 1])
    norm = BatchNorm(2, num_classes=4).double()
    nn.init.normal_(norm.gain)
    nn.init.normal_(norm.bias)
    slope = torch.randn(6, 2, 3, 5).double()

    plain = nn.BatchNorm2d(2, affine=False).double()
    expected = plain(x) * norm.gain[labels][..., None, None] + norm.bias[labels][..., None, None]
    found = norm(x, labels)
    assert_close(found, expected)
    assert_close((norm.running_mean, norm.running_var), (plain.running_mean, plain.running_var))
    inputs = (x, norm.gain, norm.bias)
    assert_close(torch.autograd.grad(found, inputs, slope), torch.autograd.grad(expected, inputs, slope))


def test_layer_norm_is_over_the_whole_image():
    x = torch.randn(3, 4, 5, 5) * 7 - 2
    flat = LayerNorm(4)(x).flatten(1)
    assert_close(flat.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)
    assert_close(flat.var(dim=1, correction=0), torch.ones(3), rtol=1e-4, atol=0)


def test_resampling():
    x = torch.arange(4.0).view(1, 1, 2, 2)
    assert upsample(x).flatten().tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3]
    assert downsample(x).item() == 1.5
    assert torch.equal(downsample(upsample(x)), x)


def test_initialisation_has_the_published_spread():
    torch.manual_seed(0)
    generator = ResNetGenerator(size=32, width=64)
    conv = generator.blocks[0].conv1.weight
    assert conv.std().item() == pytest.approx(sqrt(4 / (2 * 64 * 9)), rel=0.02)
    assert conv.abs().max().item() <= sqrt(3) * sqrt(4 / (2 * 64 * 9))
    assert generator.blocks[0].shortcut.weight.std().item() == pytest.approx(sqrt(2 / (2 * 64)), rel=0.05)
    assert generator.start.weight.std().item() == pytest.approx(sqrt(2 / (128 + 64 * 16)), rel=0.02)
    assert generator.to_image.weight.std().item() == pytest.approx(sqrt(2 / (67 * 9)), rel=0.05)
    assert not generator.start.bias.any()
