"""Norms with optional per-class gain and bias.

Norms compute in the precision of their gain, which is float32 under autocast too: their statistics need it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from ..tensors import Images, Labels
from .autograd import skips_zeros, weight_gradients_enabled

INSTANCE_EPSILON = 1e-6
"""Of `InstanceNorm`, added to the variance."""


AddUp = Callable[[Tensor], None]
"""Replaces a tensor by its sum over all processes."""


class Affine(nn.Module):
    """One gain and one bias per channel; with `num_classes` > 0 one of each per class, chosen by the labels."""

    def __init__(self, channels: int, num_classes: int = 0):
        super().__init__()
        shape = (num_classes, channels) if num_classes else (channels,)
        self.gain = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape))

    def of_labels(self, normalised: Images, labels: Labels) -> Images:
        """Scale and shift each image by its class's numbers."""
        return torch.addcmul(self.bias[labels][..., None, None], normalised, self.gain[labels][..., None, None])


class BatchNorm(Affine):
    """Batch normalisation (Ioffe & Szegedy 2015), class-conditional when `num_classes` > 0 (Dumoulin et al. 2017).

    Normalises by the batch while training and by running statistics otherwise, unless `batch_statistics` says to use
    the batch's at sampling time too, as both published codes do, or `image_statistics` those of each image.
    `synchronise` lets several processes share a batch.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, num_classes: int = 0, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(channels, num_classes)
        self.eps, self.momentum = eps, momentum
        self.use_batch = False
        self.use_image = False
        self.add_up: AddUp | None = None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Images, labels: Labels | None = None) -> Images:
        """Normalise; `labels` are used, and needed, by a conditional norm only."""
        x = x.to(self.gain.dtype)
        if self.use_image and not self.training:
            return torch.group_norm(x, x.shape[1], self.gain, self.bias, self.eps)
        mean, var = (None, None) if self.use_batch else (self.running_mean, self.running_var)
        by_batch = self.training or self.use_batch
        if self.training and self.add_up:
            normalised = self.of_all_processes(x, self.add_up)
            if self.gain.dim() == 1:
                return torch.addcmul(self.bias[:, None, None], normalised, self.gain[:, None, None])
            return self.of_labels(normalised, _needed(labels))
        if self.gain.dim() == 1:
            return F.batch_norm(x, mean, var, self.gain, self.bias, by_batch, self.momentum, self.eps)
        if self.training and torch.is_grad_enabled():
            gain, bias = (numbers[_needed(labels)] for numbers in (self.gain, self.bias))
            return _ScaledBatchNorm.apply(x, gain, bias, mean, var, self.momentum, self.eps)
        x = F.batch_norm(x, mean, var, None, None, by_batch, self.momentum, self.eps)
        return self.of_labels(x, _needed(labels))

    def of_all_processes(self, x: Images, add_up: AddUp) -> Images:
        """Normalise by the images that all processes have now, and move the running statistics by them."""
        mean, count = _MeanOfAll.apply(x.mean(dim=(0, 2, 3)), len(x), add_up)
        centred = x - mean[:, None, None]
        variance, _ = _MeanOfAll.apply(centred.square().mean(dim=(0, 2, 3)), len(x), add_up)
        with torch.no_grad():
            numbers = count * x.shape[2] * x.shape[3]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * numbers / (numbers - 1), self.momentum)
        return centred * (variance + self.eps).rsqrt()[:, None, None]


class _MeanOfAll(torch.autograd.Function):
    """The mean of a statistic over the images of all processes, and how many images that are.

    Gradients of a loss are averaged over processes by their images afterwards. With that, this mean is its own adjoint.
    """

    @staticmethod
    def forward(ctx: Any, statistic: Tensor, images: int, add_up: AddUp) -> tuple[Tensor, Tensor]:
        message = torch.cat([statistic * images, torch.full_like(statistic[:1], images)])
        add_up(message)
        count = message[-1].clone()
        ctx.share, ctx.add_up = images / count, add_up
        ctx.mark_non_differentiable(count)
        return message[:-1] / count, count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        of_all = grad_output * ctx.share
        ctx.add_up(of_all)
        return of_all, None, None


@skips_zeros
class _ScaledBatchNorm(torch.autograd.Function):
    """Normalisation by the batch, then a gain and a bias for every image and channel, as n c.

    The same as batch norm and `Affine.of_labels`, whose gradients need the normalised maps as well as those that came
    in; these need the latter only, and all sums over pixels are of two kinds: of the gradient, and of it times the map.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gain: Tensor,
        bias: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        eps: float,
    ) -> Tensor:
        y, mean, inverse_std = torch.native_batch_norm(x, None, None, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, gain, mean, inverse_std)
        return y.mul_(gain[..., None, None]).add_(bias[..., None, None])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, mean, inverse_std = ctx.saved_tensors
        over_pixels = grad_output.sum(dim=(2, 3))
        of_gain = ((grad_output * x).sum(dim=(2, 3)) - mean * over_pixels) * inverse_std
        pixels = x.numel() / x.shape[1]
        # Ioffe & Szegedy 2015, section 3: the gradient less its mean and its component along the normalised map.
        along = (gain * of_gain).sum(dim=0) / pixels * inverse_std**2
        constant = along * mean - (gain * over_pixels).sum(dim=0) / pixels * inverse_std
        of_x = grad_output * (gain * inverse_std)[..., None, None]
        of_x.addcmul_(x, -along[:, None, None]).add_(constant[:, None, None])
        return of_x, of_gain, over_pixels, None, None, None, None


class LayerNorm(Affine):
    """Normalisation of each image over C, H and W (Ba et al. 2016), with gain and bias per channel (and class)."""

    def __init__(self, channels: int, num_classes: int = 0, eps: float = 1e-5):
        super().__init__(channels, num_classes)
        self.eps = eps

    def forward(self, x: Images, labels: Labels | None = None) -> Images:
        """Normalise; `labels` are used, and needed, by a conditional norm only."""
        x = x.to(self.gain.dtype)
        if x.device.type != "cpu":
            x = x.contiguous()  # all that kernels of accelerators know; before torch 2.14 they refuse other layouts
        if self.gain.dim() == 1:
            return _LayerNorm.apply(x, self.gain, self.bias, self.eps)
        return self.of_labels(_LayerNorm.apply(x, None, None, self.eps), _needed(labels))


@skips_zeros
class _LayerNorm(torch.autograd.Function):
    """Group norm of one group. Its second derivative, for the penalty, takes half of the passes of PyTorch's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        n, c, h, w = x.shape
        y, mean, inverse_std = torch.native_group_norm(x, gain, bias, n, c, h * w, 1, eps)
        ctx.save_for_backward(x, gain, mean, inverse_std)
        ctx.eps = eps
        return y

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, mean, inverse_std = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return *_layer_norm_backward(grad_output, x, gain, mean, inverse_std, ctx.needs_input_grad[:3]), None
        of_x = _LayerNormBackward.apply(grad_output, x, gain, mean, inverse_std)
        if gain is None or not weight_gradients_enabled():
            return of_x, None, None, None
        normalised = _LayerNorm.apply(x, None, None, ctx.eps)
        return of_x, (grad_output * normalised).sum(dim=(0, 2, 3)), grad_output.sum(dim=(0, 2, 3)), None


@skips_zeros
class _LayerNormBackward(torch.autograd.Function):
    """The gradient of a layer norm by its input, and the gradients of that."""

    @staticmethod
    def forward(
        ctx: Any, grad_output: Tensor, x: Tensor, gain: Tensor | None, mean: Tensor, inverse_std: Tensor
    ) -> Tensor | None:
        ctx.save_for_backward(grad_output, x, gain, mean, inverse_std)
        return _layer_norm_backward(grad_output, x, gain, mean, inverse_std, (True, False, False))[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        grad_output, x, gain, mean, r = ctx.saved_tensors
        mean, r = mean[..., None, None], r[..., None, None]  # n 1 1 1
        a = grad_output if gain is None else grad_output * gain[:, None, None]
        # With means over each image and z = r (x - mean), the gradient was r (a - E[a] - z E[a z]).
        of_v, of_a = v.mean(dim=(1, 2, 3), keepdim=True), a.mean(dim=(1, 2, 3), keepdim=True)
        v_z = r * (_mean_product(v, x) - mean * of_v)
        a_z = r * (_mean_product(a, x) - mean * of_a)
        along = r * (_mean_product(v, a) - of_v * of_a - 3 * a_z * v_z)
        of_x = v * (-(r**2) * a_z)
        of_x.addcmul_(a, -(r**2) * v_z).addcmul_(x, -(r**2) * along)
        of_x.add_(r**2 * (along * mean + of_v * a_z + of_a * v_z))
        of_grad_output = (v * r).addcmul_(x, -(r**2) * v_z).add_(r**2 * v_z * mean - r * of_v)
        of_gain = None
        if gain is not None:
            of_gain = (grad_output * of_grad_output).sum(dim=(0, 2, 3))
            of_grad_output *= gain[:, None, None]
        return of_grad_output, of_x, of_gain, None, None


def _layer_norm_backward(
    grad_output: Tensor, x: Tensor, gain: Tensor | None, mean: Tensor, inverse_std: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    n, c, h, w = x.shape
    layout = torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
    grad_output = grad_output.contiguous(memory_format=layout)
    return torch.ops.aten.native_group_norm_backward(grad_output, x, mean, inverse_std, gain, n, c, h * w, 1, wanted)


def _mean_product(x: Images, y: Images) -> Float[Tensor, "n 1 1 1"]:
    """The mean of the products of two images' numbers, in one pass."""
    x, y = (image.permute(0, 2, 3, 1).flatten(1) for image in (x, y))
    return (torch.linalg.vecdot(x, y) / x.shape[1])[:, None, None, None]


class InstanceNorm(nn.Module):
    """Each image's channels to mean 0 and variance 1 (biased) over their pixels, then a learned gain and bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + 0.02 * torch.randn(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Images) -> Images:
        """Normalise in float32, whatever the precision of the maps. A map of one pixel becomes the bias."""
        maps = maps.to(self.weight.dtype)
        if maps.shape[2:].numel() == 1:
            # Exactly 0 before gain and bias; the fused kernel would leave rounding errors times 1 / sqrt(epsilon).
            return (maps - maps) * self.weight[:, None, None] + self.bias[:, None, None]
        # One group per channel is instance norm, in one kernel where a formula takes six passes over the maps. The
        # kernel loses digits where the mean is far larger than the deviation, so the mean is taken off before, without
        # a gradient, because the norm does not change when its input is shifted.
        maps = maps - maps.detach().mean(dim=(2, 3), keepdim=True)
        return torch.group_norm(maps, maps.shape[1], self.weight, self.bias, INSTANCE_EPSILON)

    def plain(self) -> nn.Module:
        """The same layer without its own way for maps of one pixel, where this gives the same; shares the weights."""
        return _PlainInstanceNorm(self)


class _PlainInstanceNorm(nn.Module):
    """`InstanceNorm` in operators that every runtime knows."""

    def __init__(self, layer: InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, maps: Tensor) -> Tensor:
        maps = maps - maps.mean(dim=(2, 3), keepdim=True)
        return torch.group_norm(maps, maps.shape[1], self.weight, self.bias, INSTANCE_EPSILON)


class FixedInstanceNorm(nn.Module):
    """Each image's channels to mean 0 and variance 1 (biased) over their pixels; nothing is learned."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, maps: Images) -> Images:
        """Normalise. A map of one pixel becomes 0."""
        # One group per channel; the mean is taken off before, as in `InstanceNorm`.
        maps = maps - maps.mean(dim=(2, 3), keepdim=True)
        return torch.group_norm(maps, maps.shape[1], None, None, self.eps)


class NoNorm(nn.Module):
    """Stands where a norm could be and changes nothing."""

    def forward(self, x: Images, labels: Labels | None = None) -> Images:
        """Return the input."""
        return x


def synchronise(network: nn.Module, add_up: AddUp) -> None:
    """Let the batch norms of a network normalise by the batch of all processes while it trains.

    All processes must then go through the network equally often.
    """
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.add_up = add_up


def is_synchronised(network: nn.Module) -> bool:
    """Whether batch norms of a network wait for other processes."""
    return any(isinstance(module, BatchNorm) and module.add_up is not None for module in network.modules())


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Let the batch norms of a network use each batch's own statistics inside the block, and leave no trace of it."""
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    for norm in norms:
        norm.use_batch = True
    try:
        yield
    finally:
        for norm in norms:
            norm.use_batch = False


def image_statistics(network: nn.Module, use: bool) -> None:
    """Let the batch norms of a network use each image's own statistics in evaluation mode, or no longer.

    They must not be class-conditional.
    """
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.use_image = use


def _needed(labels: Labels | None) -> Labels:
    if labels is None:
        raise ValueError("a class-conditional norm needs labels, got None")
    return labels
