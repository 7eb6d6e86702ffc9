"""ReLU and the resampling of residual blocks, whose second derivatives are lean.

PyTorch's own second derivatives of pooling and ReLU have a part by the map itself: zeros, which are written and then
added to what else arrives there. The functions here leave it out, which the gradient penalty is faster by.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from ..tensors import Images
from .autograd import skips_zeros


def upsample(x: Images) -> Float[Tensor, "n c 2*h 2*w"]:
    """Repeat every pixel 2 x 2 (nearest neighbour)."""
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def downsample(x: Images) -> Float[Tensor, "n c h//2 w//2"]:
    """Average every 2 x 2 pixels."""
    pooled: Tensor = _Pooled.apply(x)
    return pooled


def rectify(x: Images, in_place: bool = False) -> Images:
    """ReLU; in place it may follow what does not need its output for gradients, such as a norm."""
    if torch.is_grad_enabled():
        rectified: Tensor = _Rectified.apply(x, in_place)
        return rectified
    return F.relu(x, in_place)  # an exported graph has no place for functions of our own


@skips_zeros
class _Pooled(torch.autograd.Function):
    """Means of 2 x 2 pixels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        spread: Tensor = _Spread.apply(grad_output)
        return spread


@skips_zeros
class _Spread(torch.autograd.Function):
    """The adjoint of that: a quarter of each number for each of the four pixels."""

    @staticmethod
    def forward(ctx: Any, grad_output: Tensor) -> Tensor:
        return upsample(grad_output / 4)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return downsample(grad_output)


@skips_zeros
class _Rectified(torch.autograd.Function):
    """ReLU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, in_place: bool) -> Tensor:
        if in_place:
            ctx.mark_dirty(x)
            torch.relu_(x)
            y = x  # the very object: torch.compile breaks its graph where what is marked is not what is returned
        else:
            y = F.relu(x)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        return _Masked.apply(grad_output, *ctx.saved_tensors), None


@skips_zeros
class _Masked(torch.autograd.Function):
    """Numbers where a map is positive, else zero."""

    @staticmethod
    def forward(ctx: Any, grad_output: Tensor, y: Tensor) -> Tensor:
        ctx.save_for_backward(y)
        return torch.ops.aten.threshold_backward(grad_output, y, 0)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None]:
        return _Masked.apply(grad_output, *ctx.saved_tensors), None
