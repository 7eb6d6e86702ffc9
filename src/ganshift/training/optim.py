"""One parameter update: optimisers, a step that refuses losses that are not finite, frozen networks.

Sources: tf.compat.v1.train.RMSPropOptimizer (its slot is initialised with ones and its kernel adds epsilon before the
root), used by the published DualGAN code; `torch.optim.RMSprop` starts the slot at 0 and adds epsilon after the root.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..tensors import Terms

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

    `fused` takes one pass over all numbers, by a kernel that processors and CUDA have, where it is the default. Like
    torch's fused optimisers, that one stands still while the attribute `found_inf`, a tensor, is 1.
    """

    found_inf: Tensor | None = None

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 5e-5,
        decay: float = 0.9,
        eps: float = 1e-10,
        fused: bool | None = None,
    ) -> None:
        if lr < 0 or not 0 < decay < 1 or eps <= 0:
            raise UserError(f"RMSprop needs lr >= 0, 0 < decay < 1 and eps > 0, got {lr}, {decay} and {eps}")
        super().__init__(params, {"lr": lr, "decay": decay, "eps": eps})
        self.fused = fused

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient once."""
        for group in self.param_groups:
            self._move(group["params"], group["lr"], group["decay"], group["eps"])

    def _move(self, parameters: list[Tensor], lr: float | Tensor, decay: float, eps: float) -> None:
        moving = [parameter for parameter in parameters if parameter.grad is not None]
        for parameter in moving:
            if not self.state[parameter]:
                self.state[parameter]["mean_square"] = torch.full_like(parameter, 1 + eps)
        if not moving:
            return
        slots = [self.state[parameter]["mean_square"] for parameter in moving]
        gradients = [_laid_out_as(parameter, parameter.grad) for parameter in moving]
        device = moving[0].device
        # The slots hold ms + eps, whose root is taken as it is.
        if not (device.type in ("cpu", "cuda") if self.fused is None else self.fused):
            torch._foreach_mul_(slots, decay)
            torch._foreach_addcmul_(slots, gradients, gradients, 1 - decay)
            torch._foreach_add_(slots, eps * (1 - decay))
            torch._foreach_addcdiv_(moving, gradients, torch._foreach_sqrt(slots), -float(lr))
            return
        # decay (ms + eps) + (1 - decay) g^2 by the kernel, and (1 - decay) eps, which is added here.
        moves = torch.ones((), device=device) if self.found_inf is None else 1 - self.found_inf
        torch._foreach_add_(slots, moves, alpha=eps * (1 - decay) / decay)
        # All else takes one pass: Adam whose mean of gradients is the last gradient (beta1 is 0, so that the
        # gradients may stand for it), after so many steps that its corrections for the first ones are 1.
        steps = [torch.full((), MANY_STEPS, device=device)] * len(moving)  # they are only read
        settings = {"lr": lr, "beta1": 0.0, "beta2": decay, **UNUSED}
        torch._fused_adam_(moving, gradients, gradients, slots, [], steps, **settings, found_inf=self.found_inf)


def _laid_out_as(parameter: Tensor, gradient: Tensor | None) -> Tensor:
    """The gradient, its numbers in the parameter's order: the kernel goes through memory, not through rows."""
    assert gradient is not None
    same = gradient.stride() == parameter.stride()
    return gradient if same else torch.empty_like(parameter).copy_(gradient)


def gradient_norm(optimizer: torch.optim.Optimizer) -> Tensor | None:
    """The norm of all gradients that a step is about to take; None without any."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    return torch.nn.utils.get_total_norm(gradients) if gradients else None


def sum_of(terms: Terms) -> Tensor:
    """The loss: the sum of its terms."""
    return torch.stack(tuple(terms.values())).sum()


def refuse_non_finite(terms: Terms) -> None:
    """Raise `NonFiniteLoss`, naming the terms at fault, unless their total is finite.

    Reading the total waits for the device: the price, once an update, of never stepping along NaN.
    """
    if not torch.isfinite(sum_of(terms)):
        raise non_finite_loss({name: term.item() for name, term in terms.items()})


def non_finite_loss(terms: Mapping[str, float]) -> NonFiniteLoss:
    """What to raise where the sum of terms is not finite."""
    bad = [f"{name} is {term}" for name, term in terms.items() if not isfinite(term)]
    what = ", ".join(bad) or f"the sum of {', '.join(terms)} overflows"
    return NonFiniteLoss(f"the loss must be finite, but {what}; nothing was updated")


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
