"""Two independent halves of a computation at once, forward and backward, on the cores of one processor.

One image keeps two cores busier as two chains of operators on one core each than as one chain in which both cores share
every operator. On accelerators and on one thread there is nothing to gain, and one half follows the other.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd import Function

Result = TypeVar("Result")
Half = Callable[[], dict[str, Tensor]]
"""Computes named tensors, and draws no random numbers: their order would be open."""


def side_by_side(first: Half, second: Half, device: torch.device) -> dict[str, Tensor]:
    """Compute both halves, each with half of torch's threads, and return all that they name.

    No parameter may get a gradient from both. As with a reentrant `torch.utils.checkpoint`, gradients arrive by
    `backward()`, not by `torch.autograd.grad`, and there is no second derivative of what is returned. Under autocast,
    which other threads do not know of, one half follows the other.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2 or torch.is_autocast_enabled("cpu") or hasattr(_worker, "is_one"):
        return first() | second()
    if not torch.is_grad_enabled():
        one, other = _at_once(first, second, threads)
        return one | other
    named: dict[str, Tensor] = {}
    anchor = torch.empty(0, requires_grad=True)  # without it PyTorch would not ask for gradients
    values = _SideBySide.apply(anchor, first, second, threads, named)
    return dict(zip(named, values, strict=True))


class _SideBySide(Function):
    """Keeps the graphs of both halves, and goes back through both at once."""

    @staticmethod
    def forward(ctx: Any, _: Tensor, first: Half, second: Half, threads: int, named: dict[str, Tensor]) -> Any:
        ctx.set_materialize_grads(False)
        with torch.enable_grad():
            ctx.halves, ctx.threads = _at_once(first, second, threads), threads
        for half in ctx.halves:
            named |= half
        return tuple(value.detach() for value in named.values())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        rest = iter(gradients)

        def back(half: Mapping[str, Tensor]) -> Callable[[], None]:
            pairs = [(value, next(rest)) for value in half.values()]
            asked = [(value, gradient) for value, gradient in pairs if gradient is not None and value.requires_grad]
            values, incoming = [value for value, _ in asked], [gradient for _, gradient in asked]
            return lambda: torch.autograd.backward(values, incoming) if values else None

        first, second = map(back, ctx.halves)
        _at_once(first, second, ctx.threads)
        return (None,) * 5


def _at_once(first: Callable[[], Result], second: Callable[[], Result], threads: int) -> tuple[Result, Result]:
    if hasattr(_worker, "is_one"):
        return first(), second()
    grad = torch.is_grad_enabled()  # each thread has its own

    def call(function: Callable[[], Result]) -> Result:
        with torch.set_grad_enabled(grad):
            return function()

    futures = [_pool(threads).submit(call, function) for function in (first, second)]
    wait(futures)
    one, other = (future.result() for future in futures)
    return one, other


_worker = threading.local()
"""Has `is_one` in the threads of the pool, which do not wait for each other's halves."""


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Two threads that stay, with half of torch's threads each."""
    both_there = threading.Barrier(2)

    def begin() -> None:
        _worker.is_one = True
        torch.set_num_threads(threads // 2)
        torch.get_num_threads()  # asked for the first time later, it would be that of the process by then
        both_there.wait()

    pool = ThreadPoolExecutor(2, initializer=begin)
    wait([pool.submit(threading.get_ident) for _ in range(2)])
    torch.set_num_threads(threads)  # the number that threads to come start with
    return pool
