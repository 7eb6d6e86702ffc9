"""One parameter update: TensorFlow 1's RMSProp, a step that refuses losses that are not finite, frozen networks.

Sources: tf.compat.v1.train.RMSPropOptimizer (its slot is initialised with ones and its kernel adds epsilon before the
root), used by the published DualGAN code; `torch.optim.RMSprop` starts the slot at 0 and adds epsilon after the root.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..products import Factors, factored_gradients, multiply
from ..tensors import Terms
from .parallel import side_by_side

CACHED_NUMBERS = 2**18
"""Parameters that the CPU updates at a time: with gradients, slots and temporaries 4 MiB, which a cache holds."""


class NonFiniteLoss(UserError):  # noqa: N818 - the name says what happened; that it is an error, the base class
    """A term of the loss is infinite or not a number; the networks are as they were before the step."""


class TensorFlowRMSprop(torch.optim.Optimizer):
    """RMSProp as TensorFlow 1 has it: ms = decay ms + (1 - decay) g^2, p = p - lr g / sqrt(ms + eps), ms = 1 at first.

    As `ms` starts at 1, the first steps are those of gradient descent with rate `lr`: a slot that starts at 0 makes a
    first step of lr / sqrt(1 - decay) for every parameter, however small its gradient. No momentum, not centred.
    """

    def __init__(self, params: Iterable[Any], lr: float = 5e-5, decay: float = 0.9, eps: float = 1e-10) -> None:
        if lr < 0 or not 0 <= decay < 1 or eps <= 0:
            raise UserError(f"RMSprop needs lr >= 0, 0 <= decay < 1 and eps > 0, got {lr}, {decay} and {eps}")
        super().__init__(params, {"lr": lr, "decay": decay, "eps": eps})

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None, factors: Sequence[Factors] = ()
    ) -> float | None:
        """Move every parameter that has a gradient once; the closure, if any, is evaluated first.

        A parameter's gradient is the sum of its `grad`, if it has one, and of what all its `factors` stand for.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            every = group["params"]
            halves = every[: len(every) // 2], every[len(every) // 2 :]  # of two networks that are alike, a thread each
            side_by_side(
                *(partial(self._move, half, factors, group["lr"], group["decay"], group["eps"]) for half in halves),
                every[0].device,
            )
        return loss

    def _move(self, moving: list[Tensor], factors: Sequence[Factors], lr: float, decay: float, eps: float) -> None:
        for parameters, gradients, mean_squares in self._pieces(moving, factors):
            torch._foreach_mul_(mean_squares, decay)
            torch._foreach_addcmul_(mean_squares, gradients, gradients, 1 - decay)
            # This is the only temporary. On the CPU the reciprocal root is faster than a root and a division.
            inverse_roots = torch._foreach_add(mean_squares, eps)
            torch._foreach_rsqrt_(inverse_roots)
            torch._foreach_addcmul_(parameters, gradients, inverse_roots, -lr)

    def _pieces(self, parameters: list[Tensor], factors: Sequence[Factors]) -> Iterator[tuple[list[Tensor], ...]]:
        """Parameters, gradients and slots of those that have a gradient, as much of them as is updated at a time.

        An accelerator takes all at once. On the CPU an update is bound by memory traffic, so that it goes through pieces
        that stay in the cache from its first operation to its last; of factored gradients no more is ever formed.
        """
        rows = []
        for parameter in parameters:
            pairs = [pair for part in factors for pair in part.get(parameter, [])]
            if parameter.grad is None and not pairs:
                continue
            if not self.state[parameter]:
                self.state[parameter]["mean_square"] = torch.ones_like(parameter)
            row = parameter, parameter.grad, self.state[parameter]["mean_square"]
            if pairs:
                yield from _of_factors(*row, pairs)
            elif parameter.device.type == "cpu" and all(tensor.is_contiguous() for tensor in row):
                pieces = zip(*(tensor.view(-1).split(CACHED_NUMBERS) for tensor in row), strict=True)
                yield from ([[piece] for piece in row] for row in pieces)
            else:
                rows.append(row)
        if rows:
            yield tuple(list(column) for column in zip(*rows, strict=True))


def _of_factors(
    parameter: Tensor, rest: Tensor | None, mean_square: Tensor, factors: list[tuple[Tensor, Tensor]]
) -> Iterator[tuple[list[Tensor], ...]]:
    """A parameter in pieces of whole rows, with the gradient of each: what its factors give, and a rest."""
    # Each number's summands side by side, as multiply likes them.
    left, right = (torch.cat([matrix.t() for matrix in column], dim=1).t() for column in zip(*factors, strict=True))
    matrices = [None if tensor is None else tensor.view(len(tensor), -1) for tensor in (parameter, rest, mean_square)]
    for start in range(0, len(parameter), num_rows := max(CACHED_NUMBERS // right.shape[1], 1)):
        part = slice(start, start + num_rows)
        moving, more, slot = (None if matrix is None else matrix[part] for matrix in matrices)
        gradient = multiply(left[:, part].t(), right)
        yield [moving], [gradient if more is None else gradient + more], [slot]


def descend(optimizer: torch.optim.Optimizer, *parts: Terms) -> Terms:
    """Take one step down the sum of all terms and return them detached.

    Of two parts, whose graphs must be apart, the backward passes run side by side. Raises `NonFiniteLoss`, naming the
    terms at fault, before any parameter or optimiser state has changed.
    """
    optimizer.zero_grad(set_to_none=True)
    terms = {name: term for part in parts for name, term in part.items()}
    sums = [torch.stack(tuple(part.values())).sum() for part in parts]
    # Reading the total waits for the device: the price, once per step, of never stepping along NaN.
    total = torch.stack(sums).sum()
    if not torch.isfinite(total):
        bad = [f"{name} is {term.item()}" for name, term in terms.items() if not torch.isfinite(term)]
        what = ", ".join(bad) or f"the sum of {', '.join(terms)} overflows"
        raise NonFiniteLoss(f"the loss must be finite, but {what}; nothing was updated")
    factored = isinstance(optimizer, TensorFlowRMSprop)

    def differentiate(loss: Tensor) -> Factors:
        with factored_gradients() if factored else nullcontext({}) as factors:
            loss.backward()
        return factors

    if len(sums) == 2:  # each parameter gets one summand from each, whose order does not matter to the last bit
        factors = side_by_side(lambda: differentiate(sums[0]), lambda: differentiate(sums[1]), total.device)
    else:
        factors = [differentiate(total)]
    if factored:
        optimizer.step(factors=factors)
    else:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)  # so that they take no memory while something else is trained
    return {name: term.detach() for name, term in terms.items()}


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within the context no parameter of the modules requires a gradient; those that did before do again after it."""
    thawed = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    for parameter in thawed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)
