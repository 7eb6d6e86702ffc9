"""Norms with optional per-class gain and bias, and the resampling of residual blocks.

Norms compute in the precision of their gain, which is float32 under autocast too: their statistics need it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from .tensors import Images, Labels


def upsample(x: Images) -> Float[Tensor, "n c 2*h 2*w"]:
    """Repeat every pixel 2 x 2 (nearest neighbour)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def downsample(x: Images) -> Float[Tensor, "n c h//2 w//2"]:
    """Average every 2 x 2 pixels."""
    return F.avg_pool2d(x, 2)


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
    the batch's at sampling time too, as both published codes do.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, num_classes: int = 0, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(channels, num_classes)
        self.eps, self.momentum = eps, momentum
        self.use_batch = False
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Images, labels: Labels | None = None) -> Images:
        """Normalise; `labels` are used, and needed, by a conditional norm only."""
        x = x.to(self.gain.dtype)
        mean, var = (None, None) if self.use_batch else (self.running_mean, self.running_var)
        by_batch = self.training or self.use_batch
        if self.gain.dim() == 1:
            return F.batch_norm(x, mean, var, self.gain, self.bias, by_batch, self.momentum, self.eps)
        if self.training and torch.is_grad_enabled():
            gain, bias = (numbers[_needed(labels)] for numbers in (self.gain, self.bias))
            return _ScaledBatchNorm.apply(x, gain, bias, mean, var, self.momentum, self.eps)
        x = F.batch_norm(x, mean, var, None, None, by_batch, self.momentum, self.eps)
        return self.of_labels(x, _needed(labels))


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
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, gain, mean, inverse_std = ctx.saved_tensors
        over_pixels = slope.sum(dim=(2, 3))
        of_gain = ((slope * x).sum(dim=(2, 3)) - mean * over_pixels) * inverse_std
        pixels = x.numel() / x.shape[1]
        # Ioffe & Szegedy 2015, section 3: the gradient less its mean and its component along the normalised map.
        along = (gain * of_gain).sum(dim=0) / pixels * inverse_std**2
        constant = along * mean - (gain * over_pixels).sum(dim=0) / pixels * inverse_std
        of_x = slope * (gain * inverse_std)[..., None, None]
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
        if self.gain.dim() == 1:
            return F.group_norm(x, 1, self.gain, self.bias, self.eps)
        return self.of_labels(F.group_norm(x, 1, eps=self.eps), _needed(labels))


class NoNorm(nn.Module):
    """Stands where a norm could be and changes nothing."""

    def forward(self, x: Images, labels: Labels | None = None) -> Images:
        """Return the input."""
        return x


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


def _needed(labels: Labels | None) -> Labels:
    if labels is None:
        raise ValueError("a class-conditional norm needs labels, got None")
    return labels
