"""Products of matrices that can be differentiated any number of times, by the fastest routine at hand.

On the CPU, `torch.mm` calls MKL in single precision, which on AMD's processors reaches less than half of what oneDNN,
the library behind torch's convolutions, does with the same numbers. torch has no public call for oneDNN's product; the
operation used here is the one that torch.compile uses, so that gradients have to be spelled out.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def product(left: Float[Tensor, "n k"], right: Float[Tensor, "k m"]) -> Float[Tensor, "n m"]:
    """`left @ right`, in the precision of `right`, under autocast too."""
    result: Tensor = _Product.apply(left.to(right.dtype), right)
    return result


class _Product(torch.autograd.Function):
    """Gradients of a product are products, so that the backward pass can be differentiated like the forward pass."""

    @staticmethod
    def forward(ctx: Any, left: Tensor, right: Tensor) -> Tensor:
        ctx.save_for_backward(left, right)
        with torch.autocast(left.device.type, enabled=False):
            return _multiply(left, right)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        left, right = ctx.saved_tensors
        return (
            _Product.apply(gradient, right.t()) if ctx.needs_input_grad[0] else None,
            _Product.apply(left.t(), gradient) if ctx.needs_input_grad[1] else None,
        )


def _multiply(left: Tensor, right: Tensor) -> Tensor:
    if len(left) > right.shape[1]:  # oneDNN likes results of few long rows, and copies nothing to transpose
        return _multiply(right.t(), left.t()).t()
    if left.device.type == "cpu" and left.dtype == torch.float32 and torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return left @ right
