"""Products of maps and weights that can be differentiated any number of times, by the fastest routine at hand.

On the CPU, `torch.mm` calls MKL in single precision, which on AMD's processors reaches less than half of what oneDNN,
the library behind torch's convolutions, does with the same numbers. torch has no public call for oneDNN's product; the
operation used here is the one that torch.compile uses, so that gradients have to be spelled out.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .autograd import skips_zeros, weight_gradients_enabled


def product(rows: Float[Tensor, "n k"], weight: Tensor, transposed: bool = False) -> Float[Tensor, "n m"]:
    """`rows @ weight.flatten(1)`, or by the transpose of that; in the precision of the weight, under autocast too."""
    result: Tensor = _Product.apply(rows.to(weight.dtype), weight, transposed)
    return result


HAS_ONEDNN = torch.backends.mkldnn.is_available()  # asked for here, since torch.compile cannot ask


@skips_zeros
class _Product(torch.autograd.Function):
    """Gradients of a product are products, so that the backward pass can be differentiated like the forward pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, transposed: bool) -> Tensor:
        ctx.save_for_backward(rows, weight)
        ctx.transposed = transposed
        matrix = weight.flatten(1)
        with torch.autocast(rows.device.type, enabled=False):
            return multiply(rows, matrix.t() if transposed else matrix)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        rows, weight = ctx.saved_tensors
        need_rows, need_weight = ctx.needs_input_grad[:2]
        of_rows = of_weight = None
        if need_rows:
            of_rows = _Product.apply(grad_output, weight, not ctx.transposed)
        if need_weight and weight_gradients_enabled():
            left, right = (grad_output, rows) if ctx.transposed else (rows, grad_output)
            of_weight = _Product.apply(left.t(), right, False).view(weight.shape)
        return of_rows, of_weight, None


def multiply(left: Float[Tensor, "n k"], right: Float[Tensor, "k m"]) -> Float[Tensor, "n m"]:
    """`left @ right` without a derivative."""
    if len(left) > right.shape[1]:  # oneDNN likes results of few long rows, and copies nothing to transpose
        return multiply(right.t(), left.t()).t()
    if left.device.type == "cpu" and left.dtype == torch.float32 and HAS_ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(left, right.t(), None, "none", [], "")
    return left @ right
