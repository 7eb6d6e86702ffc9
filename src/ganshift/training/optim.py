"""One parameter update: TensorFlow 1's RMSProp, a step that refuses losses that are not finite, frozen networks.

Sources: tf.compat.v1.train.RMSPropOptimizer (its slot is initialised with ones and its kernel adds epsilon before the
root), used by the published DualGAN code; `torch.optim.RMSprop` starts the slot at 0 and adds epsilon after the root.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..nn.matmul import Factors, factored_gradients, multiply
from ..tensors import Terms
from .parallel import side_by_side

Columns = tuple[list[Tensor], list[Tensor], list[Tensor]]
"""Parameters, their gradients and their slots, or the same parts of each."""
CACHED_NUMBERS = 2**18
"""Parameters that the CPU updates at a time: with gradients and slots 3 MiB, which a cache holds."""
UNUSED: dict[str, Any] = {"weight_decay": 0.0, "eps": 0.0, "amsgrad": False, "maximize": False}
"""Settings of Adam's kernel that RMSProp does without."""
MANY_STEPS = 1e30
"""Of Adam, after which 1 - beta^steps is 1."""


class NonFiniteLoss(UserError):  # noqa: N818 - the name says what happened; that it is an error, the base class
    """A term of the loss is infinite or not a number; the networks are as they were before the step."""


class TensorFlowRMSprop(torch.optim.Optimizer):
    """RMSProp as TensorFlow 1 has it: ms = decay ms + (1 - decay) g^2, p = p - lr g / sqrt(ms + eps), ms = 1 at first.

    As `ms` starts at 1, the first steps are those of gradient descent with rate `lr`: a slot that starts at 0 makes a
    first step of lr / sqrt(1 - decay) for every parameter, however small its gradient. No momentum, not centred.
    """

    def __init__(self, params: Iterable[Any], lr: float = 5e-5, decay: float = 0.9, eps: float = 1e-10) -> None:
        if lr < 0 or not 0 < decay < 1 or eps <= 0:
            raise UserError(f"RMSprop needs lr >= 0, 0 < decay < 1 and eps > 0, got {lr}, {decay} and {eps}")
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
            every, numbers = group["params"], (group["lr"], group["decay"], group["eps"])
            half = len(every) // 2  # of two networks that are alike, one
            first, second = (partial(self._move, moving, factors, *numbers) for moving in (every[:half], every[half:]))
            side_by_side(first, second, every[0].device)
        return loss

    def _move(self, moving: list[Tensor], factors: Sequence[Factors], lr: float, decay: float, eps: float) -> None:
        for parameters, gradients, slots in self._pieces(moving, factors, eps):
            # The slots hold ms + eps, whose root is taken as it is: decay (ms + eps) + (1 - decay) g^2 by the kernel,
            # and (1 - decay) eps, which is added here.
            torch._foreach_add_(slots, eps * (1 - decay) / decay)
            # All else takes one pass: Adam whose mean of gradients is the last gradient (beta1 is 0, so that the
            # gradients may stand for it), after so many steps that its corrections for the first ones are 1.
            steps = [torch.full((), MANY_STEPS, device=parameter.device) for parameter in parameters]
            gradients = [_laid_out_as(*pair) for pair in zip(parameters, gradients, strict=True)]
            settings = {"lr": lr, "beta1": 0.0, "beta2": decay, **UNUSED}
            torch._fused_adam_(parameters, gradients, gradients, slots, [], steps, **settings)

    def _pieces(self, parameters: list[Tensor], factors: Sequence[Factors], eps: float) -> Iterator[Columns]:
        """Parameters, gradients and slots of those that have a gradient, as much of them as is updated at a time.

        An accelerator takes all at once. On the CPU an update is bound by memory traffic, so that it goes through
        pieces that stay in the cache from its first operation to its last; no more of a factored gradient is formed.
        """
        whole: Columns = ([], [], [])
        for parameter in parameters:
            pairs = [pair for part in factors for pair in part.get(parameter, [])]
            gradient = parameter.grad
            if gradient is None and not pairs:
                continue
            if not self.state[parameter]:
                self.state[parameter]["mean_square"] = torch.full_like(parameter, 1 + eps)
            slot = self.state[parameter]["mean_square"]
            if gradient is None:
                yield from _factored_pieces(parameter, pairs, slot)
                continue
            for left, right in pairs:  # of maps of several sizes, some of which were too large
                gradient += multiply(left.t(), right).view_as(gradient)
            row = parameter, gradient, slot
            if parameter.device.type == "cpu" and all(tensor.is_contiguous() for tensor in row):
                pieces = zip(*(tensor.view(-1).split(CACHED_NUMBERS) for tensor in row), strict=True)
                yield from (([part], [slope], [slot]) for part, slope, slot in pieces)
            else:
                for column, tensor in zip(whole, row, strict=True):
                    column.append(tensor)
        if whole[0]:
            yield whole


def _laid_out_as(parameter: Tensor, gradient: Tensor) -> Tensor:
    """The gradient, its numbers in the parameter's order: the kernel goes through memory, not through rows."""
    same = gradient.stride() == parameter.stride()
    return gradient if same else torch.empty_like(parameter).copy_(gradient)


def _factored_pieces(parameter: Tensor, factors: list[tuple[Tensor, Tensor]], slots: Tensor) -> Iterator[Columns]:
    """A parameter in pieces of whole rows, with their gradient."""
    # Each number's summands side by side, as multiply likes them.
    left, right = (torch.cat([matrix.t() for matrix in column], dim=1).t() for column in zip(*factors, strict=True))
    num_rows = max(CACHED_NUMBERS // right.shape[1], 1)
    for start in range(0, len(parameter), num_rows):
        rows = slice(start, start + num_rows)
        part, slot = (tensor.view(len(tensor), -1)[rows] for tensor in (parameter, slots))
        yield [part], [multiply(left[:, rows].t(), right)], [slot]


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
    refuse_non_finite(terms, total)

    def differentiate(loss: Tensor) -> Factors:
        if not isinstance(optimizer, TensorFlowRMSprop):
            loss.backward()
            return {}
        with factored_gradients() as factors:
            loss.backward()
        return factors

    if len(sums) == 2:  # each parameter gets one summand from each, whose order does not matter to the last bit
        factors = side_by_side(lambda: differentiate(sums[0]), lambda: differentiate(sums[1]), total.device)
    else:
        factors = [differentiate(total)]
    if isinstance(optimizer, TensorFlowRMSprop):
        optimizer.step(factors=factors)
    else:
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)  # so that they take no memory while something else is trained
    return {name: term.detach() for name, term in terms.items()}


def gradient_norm(optimizer: torch.optim.Optimizer, factors: Sequence[Factors] = ()) -> Tensor | None:
    """The norm of all gradients that a step is about to take, factored ones too; None without any.

    Of a gradient L'R, by rows of its factors, the squared norm is the sum of the products of LL' and RR'.
    """
    squares = []
    for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
        pairs = [pair for part in factors for pair in part.get(parameter, [])]
        gradient = parameter.grad
        if gradient is not None:
            squares.append(torch.linalg.vector_norm(gradient) ** 2)
        if pairs:
            left, right = (torch.cat(list(column)) for column in zip(*pairs, strict=True))
            squares.append(((left @ left.t()) * (right @ right.t())).sum())
            if gradient is not None:
                squares.append(2 * ((left @ gradient.flatten(1)) * right).sum())
    return torch.stack(squares).sum().clamp(min=0).sqrt() if squares else None


def refuse_non_finite(terms: Terms, total: Tensor) -> None:
    """Raise `NonFiniteLoss`, naming the terms at fault, unless their total is finite."""
    if not torch.isfinite(total):
        bad = [f"{name} is {term.item()}" for name, term in terms.items() if not torch.isfinite(term)]
        what = ", ".join(bad) or f"the sum of {', '.join(terms)} overflows"
        raise NonFiniteLoss(f"the loss must be finite, but {what}; nothing was updated")


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
