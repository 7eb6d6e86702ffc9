"""What our autograd functions share: gradients that are zero, or that nobody asked for, are not computed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from torch.autograd import Function

AnyFunction = TypeVar("AnyFunction", bound=type[Function])


def skips_zeros(function: AnyFunction) -> AnyFunction:
    """Decorate a function of one output: where no gradient comes in, none goes out.

    By default PyTorch gives `backward` zeros there. After a gradient penalty that is the whole forward pass, whose
    output the loss does not contain: zeros would go back through every convolution of it.
    """
    forward, backward = function.forward, function.backward

    @wraps(forward)
    def forward_without_zeros(ctx: Any, *inputs: Any) -> Any:
        ctx.set_materialize_grads(False)
        return forward(ctx, *inputs)

    @wraps(backward)
    def backward_without_zeros(ctx: Any, grad_output: Any) -> Any:
        return (None,) * len(ctx.needs_input_grad) if grad_output is None else backward(ctx, grad_output)

    methods = {"forward": staticmethod(forward_without_zeros), "backward": staticmethod(backward_without_zeros)}
    for name, method in methods.items():
        setattr(function, name, method)
    return function


@contextmanager
def no_weight_gradients() -> Iterator[None]:
    """Let backward passes inside the block skip the gradients of the weights of our custom functions.

    For `torch.autograd.grad` with respect to images. PyTorch prunes such a pass by itself, but does not tell custom
    functions (pytorch issue 174017). What is not asked for is lost: never call `backward` in the block.
    """
    global _blocks  # not thread local: the backward pass of a GPU runs in a thread of its own
    with _lock:
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1


_blocks = 0  # that are being executed, in whatever threads
_lock = threading.Lock()


def weight_gradients_enabled() -> bool:
    """False in blocks of `no_weight_gradients`."""
    return not _blocks
