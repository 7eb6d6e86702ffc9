import pytest
import torch
from torch.nn import functional as F

from ganshift.errors import UserError
from ganshift.methods.dual.networks import Critic, UNet
from ganshift.nn.norm import InstanceNorm
from ganshift.nn.same_conv import DownConv, UpConv, same_padding

SIZES = [(8, 8), (7, 9), (1, 1), (1, 6), (2, 5), (13, 4)]


@pytest.mark.parametrize(
    ("side", "kernel", "padding"),
    [
        (256, 3, (0, 1)),
        (256, 5, (1, 2)),
        (1, 3, (1, 1)),
        (1, 5, (2, 2)),
        (7, 3, (1, 1)),
        (7, 5, (2, 2)),
        (2, 3, (0, 1)),
    ],
)
def test_same_padding(side, kernel, padding):
    assert same_padding(side, kernel) == padding


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_down_conv_pads_like_tensorflow(size, kernel):
    conv, images = DownConv(2, 3, kernel), torch.randn(2, 2, *size)
    (top, bottom), (left, right) = (same_padding(side, kernel) for side in size)
    expected = F.conv2d(F.pad(images, (left, right, top, bottom)), conv.weight, conv.bias, stride=2)
    torch.testing.assert_close(conv(images), expected)
    assert expected.shape[2:] == tuple(-(-side // 2) for side in size)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_up_conv_is_the_adjoint(size, kernel):
    """<down x, y> = <x, up y> for all x and y."""
    down, up = DownConv(2, 3, kernel, bias=False).double(), UpConv(3, 2, kernel, bias=False).double()
    up.load_state_dict(down.state_dict())
    x = torch.randn(2, 2, *size, dtype=torch.float64)
    y = torch.randn_like(down(x))
    torch.testing.assert_close((down(x) * y).sum(), (x * up(y, size)).sum())


def _plain_down(conv, images):
    """A halving by torch's convolution, and nothing else."""
    (top, bottom), (left, right) = (same_padding(side, conv.weight.shape[-1]) for side in images.shape[2:])
    return F.conv2d(F.pad(images, (left, right, top, bottom)), conv.weight, conv.bias, stride=2)


def _plain_up(conv, images):
    """A doubling to even sides by torch's transposed convolution, and nothing else."""
    height, width = (2 * side for side in images.shape[2:])
    top, left = (same_padding(side, conv.weight.shape[-1])[0] for side in (height, width))
    full = F.conv_transpose2d(images, conv.weight, conv.bias, stride=2)
    return full[:, :, top : top + height, left : left + width]


def _doubled(conv, images):
    return conv(images, tuple(2 * side for side in images.shape[2:]))


LAYERS = [
    (DownConv(3, 5), DownConv.__call__, _plain_down),
    (DownConv(3, 5, 5, bias=False), DownConv.__call__, _plain_down),
    (UpConv(3, 5), _doubled, _plain_up),
    (UpConv(3, 5, 5, bias=False), _doubled, _plain_up),
    (UpConv(3, 2, 5), _doubled, _plain_up),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(2, 2), (3, 6), (16, 16), (17, 20)])  # few pixels and more, before and after
@pytest.mark.parametrize(("conv", "ours", "plain"), LAYERS)
def test_convs_are_torch_convolutions(conv, ours, plain, size, dtype):
    """Outputs, gradients and second derivatives, as products of matrices and as convolutions."""
    torch.manual_seed(0)
    conv = conv.to(dtype)
    for parameter in conv.parameters():
        torch.nn.init.normal_(parameter, std=0.02)  # as the networks are drawn
    images = torch.randn(2, 3, *size, dtype=dtype, requires_grad=True)
    inputs = (images, *conv.parameters())
    found = []
    for layer in (ours, plain):
        result = layer(conv, images)
        cotangent = torch.linspace(-1, 1, result.numel(), dtype=dtype).view_as(result)
        gradients = torch.autograd.grad(result.square() / 2, inputs, cotangent, create_graph=True)
        second = torch.autograd.grad(sum(gradient.square().sum() for gradient in gradients), inputs)
        found.append([result, *gradients, *second])
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if dtype == torch.float64 else {"rtol": 1e-3, "atol": 1e-3}
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, **tolerance)


def test_instance_norm():
    norm = InstanceNorm(3)
    images = 5 + 0.01 * torch.randn(2, 3, 6, 5)
    mean, variance = images.double().mean((2, 3), keepdim=True), images.double().var((2, 3), correction=0, keepdim=True)
    expected = (images - mean) / (variance + 1e-6).sqrt()
    with torch.no_grad():
        torch.testing.assert_close(norm(images), (expected * norm.weight[:, None, None]).float(), rtol=1e-3, atol=1e-3)
        norm.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        torch.testing.assert_close(norm(torch.randn(1, 3, 1, 1)), norm.bias.view(1, 3, 1, 1), rtol=0, atol=0)


@pytest.mark.parametrize("as_published", [False, True])
@pytest.mark.parametrize(
    ("levels", "size"), [(8, (128, 128)), (5, (32, 32)), (5, (33, 47)), (3, (50, 21)), (1, (9, 9))]
)
def test_unet_keeps_the_size(levels, size, as_published):
    unet = UNet(1, 4, width=2, levels=levels, size=32, as_published=as_published)
    images = unet(torch.randn(2, 1, *size))
    assert images.shape == (2, 4, *size)
    assert images.abs().max() <= 1


def test_unet_translates_each_image_alone():
    unet, images = UNet(3, 3, width=2, levels=5, size=32), torch.randn(3, 3, 32, 32)
    torch.testing.assert_close(unet(images)[1:2], unet(images[1:2]))


def bottleneck(unet, images):
    """What the deepest layer hands to the first doubling."""
    found = []
    unet.down[-1].register_forward_hook(lambda module, inputs, output: found.append(output))
    unet(images)
    return found[0]


@pytest.mark.parametrize(("size", "levels"), [(32, 5), (16, 6)])
def test_bottleneck_carries_information_unless_as_published(size, levels):
    images = torch.randn(2, 3, size, size)
    repaired = bottleneck(UNet(3, 3, 4, levels, size), images)
    published = bottleneck(UNet(3, 3, 4, levels, size, as_published=True), images)
    assert repaired.shape == published.shape == (2, 32, 1, 1)
    assert (repaired[0] - repaired[1]).abs().max() > 0
    assert published.eq(0).all()  # the bias of the norm


def test_biases_are_where_they_matter():
    unet, published = UNet(3, 3, 2, 5, 32), UNet(3, 3, 2, 5, 32, as_published=True)
    biased = [name for name in unet.state_dict() if name.endswith("conv.bias")]
    assert biased == ["down.0.conv.bias", "down.4.conv.bias", "up.4.conv.bias"]
    assert sum(name.endswith("conv.bias") for name in published.state_dict()) == 10


def test_start_weights():
    torch.manual_seed(0)
    unet, critic = UNet(3, 3, width=16, levels=4, size=16), Critic(3, width=8, size=32)
    for stage in (*unet.down, *critic.stages):
        assert stage.conv.weight.abs().max() <= 0.04
    deep = unet.down[3].conv.weight.std()
    torch.testing.assert_close(
        deep, torch.tensor(0.02 * 0.8796), rtol=0.02, atol=0
    )  # deviation of the truncated normal
    assert 0.06 < unet.up[0].conv.weight.abs().max() < 0.14
    gains = torch.cat([stage.norm.weight for stage in unet.down[1:3]])
    assert 0.005 < (gains - 1).std() < 0.04
    assert all(tensor.eq(0).all() for name, tensor in unet.state_dict().items() if name.endswith("bias"))


def test_dropout_sits_after_the_first_three_doublings():
    unet = UNet(3, 3, width=2, levels=6, size=64, dropout=0.25)
    assert [stage.dropout.p for stage in unet.up] == [0.25, 0.25, 0.25, 0.0, 0.0, 0.0]
    images = torch.randn(1, 3, 64, 64)
    assert not torch.equal(unet(images), unet(images))
    unet.eval()
    assert torch.equal(unet(images), unet(images))


@pytest.mark.parametrize("size", [32, (40, 64), (33, 95)])
@pytest.mark.parametrize("head", ["global", "patch"])
def test_critic_scores_each_image(size, head):
    critic = Critic(3, width=2, size=size, head=head)
    height, width = (size, size) if isinstance(size, int) else size
    images = torch.randn(3, 3, height, width)
    scores = critic(images)
    patches = (1, -(-height // 64), -(-width // 64))
    assert scores.shape == ((3,) if head == "global" else (3, *patches))
    torch.testing.assert_close(scores[1:2], critic(images[1:2]))
    assert (scores[0] - scores[1]).abs().max() > 0


def test_global_critic_flattens_channels_last():
    critic = Critic(1, width=1, size=64)  # last maps: 8 channels of 2x2
    with torch.no_grad():
        critic.head.weight.zero_()[0, 3] = 1  # row 0, column 0, channel 3
    found = []
    critic.stages[-1].register_forward_hook(lambda module, inputs, output: found.append(output))
    scores = critic(torch.randn(2, 1, 64, 64))
    torch.testing.assert_close(scores, F.leaky_relu(found[0][:, 3, 0, 0], 0.2))


@pytest.mark.parametrize("head", ["global", "patch"])
def test_critic_has_second_derivatives(head):
    torch.manual_seed(0)
    critic = Critic(1, width=1, size=33, head=head).double()
    with torch.no_grad():  # so that nothing hides near a kink of the leaky ReLU
        for stage in critic.stages:
            stage.conv.weight.mul_(20)
    images = torch.randn(1, 1, 33, 33, dtype=torch.float64, requires_grad=True)
    direction = torch.randn_like(images)

    def slope(weight):
        """The critic's slope along a direction, as a function of one weight tensor."""
        parameters = {**dict(critic.named_parameters()), "stages.1.conv.weight": weight}
        scores = torch.func.functional_call(critic, parameters, (images,))
        (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
        return (gradient * direction).sum()

    weight = critic.stages[1].conv.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(slope, (weight,), eps=1e-7, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("network", [UNet(1, 1, 2, 5, 32), Critic(1, 2, 32), Critic(1, 2, 32, "patch")])
def test_outputs_and_norms_are_float32_under_autocast(network):
    norms = []
    for module in network.modules():
        if isinstance(module, InstanceNorm):
            module.register_forward_hook(lambda module, inputs, output: norms.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = network(torch.randn(2, 1, 32, 32))
    assert output.dtype == torch.float32
    assert set(norms) == {torch.float32}


def test_refusals():
    with pytest.raises(UserError, match="at least 1 level"):
        UNet(3, 3, levels=0)
    with pytest.raises(UserError, match="global or patch"):
        Critic(3, head="pixel")


def test_maps_of_two_pixels_have_no_norm():
    """Of two values a norm leaves signs only; squares have none such, so that their networks are as before."""
    oblong, square = UNet(3, 3, 4, 8, (256, 384)), UNet(3, 3, 4, 8, 256)
    assert not isinstance(oblong.down[7].norm, InstanceNorm)  # 1 x 2
    assert isinstance(oblong.down[6].norm, InstanceNorm)  # 2 x 3
    assert [type(stage.norm) for stage in oblong.down] == [type(stage.norm) for stage in square.down]
    critic = Critic(3, 4, (32, 48))
    assert not isinstance(critic.stages[-1].norm, InstanceNorm)  # 1 x 2
    assert isinstance(critic.stages[-2].norm, InstanceNorm)
    published = UNet(3, 3, 4, 8, (256, 384), as_published=True)
    assert isinstance(published.down[7].norm, InstanceNorm)
