"""Convolutions for training with a gradient penalty: resampling folded in, and a second derivative that is fast.

Write S for keeping every second row and column, S' for its adjoint (zeros between the pixels), B for the mean of every
2 x 2 window (stride 1) and K for the 3x3 convolution. B and K commute, so that a quarter of the products is enough:

- mean pooling is S B; K, then pooling: S B K = (S K) B, the means and then a convolution of stride 2;
- nearest upsampling is 4 B S'; upsampling, then K: 4 K B S' = B (4 K S'), a transposed convolution of stride 2 and then
  the means.

Both are exact but for rounding, and the weights stay those of the 3x3 convolution.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.nn.grad import conv2d_weight

from ..tensors import Images
from .autograd import skips_zeros, weight_gradients_enabled
from .matmul import multiply

FEW_CHANNELS = 4
"""Doubling to at most so many channels, those of images, is a product on the CPU, in float32."""
FEW_PIXELS = 64
"""Gradients of kernels by maps of at most so many pixels may be products there."""
FEW_PIXELS_IN_ALL = 1024
"""At stride 2 they are also products where the maps of all images have at most so many pixels together."""
MANY_PIXELS = 1024
"""Doubling maps of at least so many pixels takes less time channels-last there, and the result put in order."""


class Conv2d(nn.Conv2d):
    """A zero-padded convolution of odd kernel size at the same size, before 2x2 mean pooling or after 2x upsampling.

    `resample` "down" halves an even height and width, "up" doubles them; both need a 3x3 kernel.
    """

    def __init__(
        self, c_in: int, c_out: int, kernel_size: int, resample: Literal["up", "down"] | None = None, bias: bool = True
    ):
        super().__init__(c_in, c_out, kernel_size, padding=kernel_size // 2, bias=bias)
        self.resample = resample

    def forward(self, x: Images) -> Float[Tensor, "n c2 h2 w2"]:
        """Map n c h w to n c' h' w'."""
        x, weight, bias = _autocast(x), _autocast(self.weight), None if self.bias is None else _autocast(self.bias)
        if self.resample == "down":
            return _convolution(_window_mean(x, 1), weight, bias, _How(2))
        if self.resample == "up":
            size = [2 * side + 1 for side in x.shape[2:]]
            # As a transposed convolution K has its kernel mirrored and its channels swapped. B leaves the bias alone.
            mirrored = 4 * weight.flip(2, 3).transpose(0, 1)
            return _window_mean(_transposed_convolution(x, mirrored, bias, _How(2), size), 0)
        margin = self.kernel_size[0] // 2
        return _convolution(x, weight, bias, _How(1, (margin, margin)))

    def plain(self) -> nn.Module:
        """The same layer of operators that every runtime knows; shares the weights, but of one that doubles."""
        return _PlainConv2d(self)


class _PlainConv2d(nn.Module):
    """`Conv2d`; after 2x upsampling as the transposed convolution that is derived above."""

    def __init__(self, layer: Conv2d) -> None:
        super().__init__()
        self.resample = layer.resample
        up = layer.resample == "up"
        weight = 4 * layer.weight.flip(2, 3).transpose(0, 1).contiguous() if up else layer.weight
        self.weight, self.bias = nn.Parameter(weight, requires_grad=False), layer.bias

    def forward(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return F.avg_pool2d(F.conv_transpose2d(x, self.weight, self.bias, stride=2), 2, 1)
        x = F.conv2d(x, self.weight, self.bias, padding=self.weight.shape[-1] // 2)
        return F.avg_pool2d(x, 2) if self.resample == "down" else x


def halving_convolution(
    x: Images, weight: Float[Tensor, "d c k k"], bias: Float[Tensor, " d"] | None, padding: tuple[int, int]
) -> Float[Tensor, "n d h2 w2"]:
    """`conv2d` of stride 2 in the layout of the kernels: on CPUs their gradients are faster in PyTorch's usual one."""
    bias = None if bias is None else _autocast(bias)
    return _convolution(_autocast(x), _autocast(weight), bias, _How(2, padding, _layout_of(weight)))


def doubling_convolution(
    y: Images,
    weight: Float[Tensor, "c d k k"],
    bias: Float[Tensor, " d"] | None,
    padding: tuple[int, int],
    size: Sequence[int],
) -> Float[Tensor, "n d h2 w2"]:
    """`conv_transpose2d` of stride 2 to the given size, in the layout of the kernels: the adjoint of the above."""
    bias = None if bias is None else _autocast(bias)
    how = _How(2, padding, _layout_of(weight))
    return _transposed_convolution(_autocast(y), _autocast(weight), bias, how, size)


def _layout_of(weight: Tensor) -> torch.memory_format:
    return torch.contiguous_format if weight.is_contiguous() else torch.channels_last


# A convolution pairs an image x, a kernel w and an image y to one number, <y, w * x>, linear in each of the three. Its
# partial derivatives are the three functions below, and their derivatives are the same three again. PyTorch's own
# second derivative finds the kernel's by a convolution with a kernel of the size of the image, which is slow.


class _How(NamedTuple):
    stride: int
    padding: tuple[int, int] = (0, 0)
    layout: torch.memory_format = torch.channels_last
    """By default that in which pooling is vectorised and no convolution has to reorder its images."""


@skips_zeros
class _Convolution(Function):
    """The derivative by y: w * x, plus a bias."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, how: _How) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.how = how
        return F.conv2d(x, weight, bias, how.stride, how.padding)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        need_x, need_weight, need_bias = ctx.needs_input_grad[:3]
        of_x = of_weight = of_bias = None
        if need_x:
            of_x = _transposed_convolution(grad_output, weight, None, ctx.how, x.shape[2:])
        if need_weight and weight_gradients_enabled():
            of_weight = _kernel_gradient(x, grad_output, weight.shape, ctx.how)
        if need_bias and weight_gradients_enabled():
            of_bias = grad_output.sum(dim=(0, 2, 3))
        return of_x, of_weight, of_bias, None


@skips_zeros
class _TransposedConvolution(Function):
    """The derivative by x, an image of the given size, plus a bias."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, weight: Tensor, bias: Tensor | None, how: _How, size: Sequence[int]) -> Tensor:
        ctx.save_for_backward(y, weight)
        ctx.how = how
        # Several sizes of x give the same size of y: by how much is x larger than the smallest?
        kernel = weight.shape[2]
        larger = [
            side - ((small - 1) * how.stride - 2 * padding + kernel)
            for side, small, padding in zip(size, y.shape[2:], how.padding, strict=True)
        ]
        if _whole(y) and how.stride > 1 and weight.shape[1] <= FEW_CHANNELS:
            # Every pixel's patch by a product, and the patches summed: a library's kernels count on multiples of 16.
            patches = torch.stack([multiply(weight.flatten(1).t(), image.flatten(1)) for image in y])  # n c*k*k h*w
            x = F.fold(patches, tuple(size), kernel, padding=how.padding, stride=how.stride)
            return x if bias is None else x + bias[:, None, None]
        many = _whole(y) and how.layout == torch.contiguous_format and y[0, 0].numel() >= MANY_PIXELS
        if many:
            y = y.contiguous(memory_format=torch.channels_last)
        x = F.conv_transpose2d(y, weight, bias, how.stride, how.padding, larger)
        return _in_order(x) if many else x

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        y, weight = ctx.saved_tensors
        need_y, need_weight, need_bias = ctx.needs_input_grad[:3]
        of_y = of_weight = of_bias = None
        if need_y:
            of_y = _convolution(grad_output, weight, None, ctx.how)
        if need_weight and weight_gradients_enabled():
            of_weight = _kernel_gradient(grad_output, y, weight.shape, ctx.how)
        if need_bias and weight_gradients_enabled():
            of_bias = grad_output.sum(dim=(0, 2, 3))
        return of_y, of_weight, of_bias, None, None


@skips_zeros
class _KernelGradient(Function):
    """The derivative by w, a kernel of the given shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, shape: torch.Size, how: _How) -> Tensor:
        ctx.save_for_backward(x, y)
        ctx.how = how
        pixels = y[0, 0].numel()
        if how.stride > 1:
            few = pixels <= FEW_PIXELS or len(y) * pixels <= FEW_PIXELS_IN_ALL
        else:  # a library's kernel is slow only where few pixels meet many channels
            few = pixels <= FEW_PIXELS and y.numel() <= 2 * shape[0] * shape[1]
        if few and _whole(x):
            return _kernel_gradient_by_product(x, y, shape, how)
        return conv2d_weight(x, shape, y, how.stride, how.padding)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        need_x, need_y = ctx.needs_input_grad[:2]
        of_x = of_y = None
        if need_x:
            of_x = _transposed_convolution(y, grad_output, None, ctx.how, x.shape[2:])
        if need_y:
            of_y = _convolution(x, grad_output, None, ctx.how)
        return of_x, of_y, None, None


def _kernel_gradient_by_product(x: Tensor, y: Tensor, shape: torch.Size, how: _How) -> Tensor:
    """The product of y, pixels as columns, and the patch of x that each pixel was made of, as rows."""
    d, c, *kernel = shape
    if any(how.padding):
        top, left = how.padding
        x = F.pad(x, (left, left, top, top))
    x = x.permute(0, 2, 3, 1)
    patches = x.unfold(1, kernel[0], how.stride).unfold(2, kernel[1], how.stride)  # n h w c k k
    rows = patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, c * kernel[0] * kernel[1])
    gradient = multiply(y.permute(0, 2, 3, 1).reshape(-1, d).t(), rows)
    return gradient.view(d, *kernel, c).permute(0, 3, 1, 2)


def _in_order(image: Tensor) -> Tensor:
    """`contiguous()` of channels-last images. PyTorch copies matrices in blocks that a cache holds, but not images."""
    result = torch.empty(image.shape, dtype=image.dtype)
    for rows, channels in zip(image.permute(0, 2, 3, 1).flatten(1, 2), result.flatten(2), strict=True):
        channels.copy_(rows.t())
    return result


def _whole(image: Tensor) -> bool:
    """Whether products may stand for convolutions: on the CPU, and not in half precision, whose sums lose digits."""
    return image.device.type == "cpu" and image.dtype == torch.float32


@skips_zeros
class _WindowMean(Function):
    """The mean of every 2 x 2 window, with `padding` zeros (0 or 1) around the image.

    Either padding is the adjoint of the other, and PyTorch pools faster than it differentiates pooling.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int) -> Tensor:
        ctx.padding = padding
        return F.avg_pool2d(x, 2, 1, padding)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        return _window_mean(grad_output, 1 - ctx.padding), None


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, how: _How) -> Tensor:
    return _Convolution.apply(x.contiguous(memory_format=how.layout), weight, bias, how)


def _transposed_convolution(y: Tensor, weight: Tensor, bias: Tensor | None, how: _How, size: Sequence[int]) -> Tensor:
    return _TransposedConvolution.apply(y.contiguous(memory_format=how.layout), weight, bias, how, size)


def _kernel_gradient(x: Tensor, y: Tensor, shape: torch.Size, how: _How) -> Tensor:
    x, y = (image.contiguous(memory_format=how.layout) for image in (x, y))
    return _KernelGradient.apply(x, y, shape, how)


def _window_mean(x: Tensor, padding: int) -> Tensor:
    return _WindowMean.apply(x.contiguous(memory_format=torch.channels_last), padding)


def _autocast(tensor: Tensor) -> Tensor:
    """Cast as `torch.autocast` casts the arguments of convolutions; it does not look into custom functions."""
    kind = tensor.device.type
    if torch.is_autocast_enabled(kind) and tensor.dtype == torch.float32:
        return tensor.to(torch.get_autocast_dtype(kind))
    return tensor
