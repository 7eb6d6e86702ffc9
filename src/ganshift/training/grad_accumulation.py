"""Updates from a batch that is computed in parts: by several processes, a few images at a time, or both.

A loss is a mean over images, so the gradient of a batch is the sum of those of its parts, each weighted by its images.
Parts change nothing but rounding as long as no layer looks across images. Two things differ: batch norm sees one part
at a time, and what is drawn within a loss (augmentation, dropout) is drawn anew for each part, from a seed of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import UserError, first_line
from ..nn.norm import is_synchronised
from ..tensors import Terms
from . import distributed
from .config import Precision
from .draws import seed_of
from .log import say, say_here
from .memory import is_out_of_memory, release
from .optim import frozen, non_finite_loss, refuse_non_finite, sum_of
from .precision import LOW
from .update import Loss

FIRST_SCALE = 2.0**14
"""What losses are multiplied by in fp16 at first."""
ALL = slice(None)


class LossScale:
    """Torch's gradient scaler, which keeps small gradients of fp16 from becoming 0; its state as runs have kept it."""

    def __init__(self, device: torch.device):
        self.scaler = torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE)

    def state_dict(self) -> dict[str, float]:
        """The scale, and the steps since it changed."""
        return {"factor": self.scaler.get_scale(), "good": self.scaler.state_dict()["_growth_tracker"]}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore both."""
        both = {"scale": state["factor"], "_growth_tracker": int(state["good"])}
        self.scaler.load_state_dict(self.scaler.state_dict() | both)


@dataclass(frozen=True)
class _Step:
    """One update that is asked for."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    inputs: Sequence[Tensor | None]

    @property
    def count(self) -> int:
        """Images of this process."""
        return len(next(value for value in self.inputs if value is not None))

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def leaves(self) -> "tuple[_Step, list[tuple[Tensor, Tensor]]]":
        """The same step on inputs without graphs, and the pairs of an input with a graph and what stands for it."""
        inputs: list[Tensor | None] = []
        pairs = []
        for value in self.inputs:
            if value is not None and value.requires_grad:
                leaf = value.detach().requires_grad_()
                pairs.append((value, leaf))
                value = leaf
            inputs.append(value)
        return _Step(self.network, self.optimizer, self.loss, inputs), pairs

    def terms(self, part: slice) -> Terms:
        """The terms of some images, as their share of the mean over all."""
        whole = part.stop - part.start == self.count
        inputs = [value if value is None or whole else value[part] for value in self.inputs]
        weight = (part.stop - part.start) / self.count
        return {name: term * weight for name, term in self.loss(*inputs).items()}


@dataclass
class Updates:
    """How a run moves its networks: in which parts of a batch, in what precision, within which memory."""

    optimizers: Mapping[nn.Module, torch.optim.Optimizer]
    micro_batch: int | None = None
    """Images that a process computes at a time; None means all that it has. Halved when memory runs out."""
    precision: Precision = "fp32"
    """What autocast computes in; losses that are not finite in less than fp32 are computed again in fp32."""

    def __post_init__(self) -> None:
        device = next(parameter for network in self.optimizers for parameter in network.parameters()).device
        self.scale = LossScale(device) if self.precision == "fp16" else None
        self._failed: Tensor | None = None

    def defer(self, failed: Tensor | None) -> None:
        """Do not wait for the device to see whether losses are finite; None waits again.

        Instead, `failed` becomes 1 with the first that is not, and optimisers move nothing while it is (which those of
        torch that are fused, and ours, can): so the networks stay as they are. `refuse_failed` reads it.
        """
        self._failed = failed
        for optimizer in self.optimizers.values():
            optimizer.found_inf = failed  # type: ignore[attr-defined]

    def refuse_failed(self, means: Mapping[str, float]) -> None:
        """Raise `NonFiniteLoss` if a loss was not finite since it was last asked; the means of terms tell which."""
        if self._failed is not None and self._failed.item():
            self._failed.zero_()
            raise non_finite_loss(means)

    def state(self) -> dict[str, LossScale]:
        """What a checkpoint has to hold, by name."""
        return {"loss_scale": self.scale} if self.scale else {}

    def __call__(self, network: nn.Module, loss: Loss, *batch_and_draws: Tensor | None) -> Terms:
        """Take one step down the mean over the images of all processes; see `update.Update`.

        Raises `NonFiniteLoss` on all processes alike, before any parameter or optimiser state has changed.
        """
        step = _Step(network, self.optimizers[network], loss, batch_and_draws)
        with frozen(*(other for other in self.optimizers if other is not network)):
            terms = self._differentiate(step)
        terms = average(step.optimizer, terms, step.count)
        try:
            if self._failed is None:
                refuse_non_finite(terms)
            else:
                torch.maximum(self._failed, (~torch.isfinite(sum_of(terms))).float(), out=self._failed)
            if self.scale:  # skips the update if a gradient overflowed, and lowers the scale
                self.scale.scaler.unscale_(step.optimizer)
                self.scale.scaler.step(step.optimizer)
                self.scale.scaler.update()
            else:
                step.optimizer.step()
        finally:
            step.optimizer.zero_grad(set_to_none=True)  # so that they take no memory while something else is trained
        return terms

    def _differentiate(self, step: _Step) -> Terms:
        """Gradients of the mean over this process's images; returns its terms, detached."""
        inner, graphs = step.leaves()
        if self.precision not in LOW or self._failed is not None:
            terms = self._within_memory(inner)
        else:
            put_back = self._remember_buffers()
            terms = self._within_memory(inner)
            finite = bool(torch.isfinite(sum_of(terms)))
            if distributed.any_has(not finite, step.device):
                say(f"warning: a loss is not finite in {self.precision}: computing it again in fp32", always=True)
                put_back()
                with torch.autocast(step.device.type, enabled=False):
                    terms = self._within_memory(inner)
        if graphs:
            with torch.autocast(step.device.type, enabled=False):
                torch.autograd.backward([whole for whole, _ in graphs], [leaf.grad for _, leaf in graphs])
        return terms

    def _within_memory(self, step: _Step) -> Terms:
        """Go through the parts; whenever memory runs out, say so, halve the micro-batch and begin again."""
        while True:
            at_once = min(self.micro_batch or step.count, step.count)
            step.optimizer.zero_grad(set_to_none=True)
            for value in step.inputs:
                if value is not None:
                    value.grad = None
            try:
                return self._in_parts(step, at_once)
            except (RuntimeError, MemoryError) as error:
                recording = step.device.type == "cuda" and torch.cuda.is_current_stream_capturing()
                if recording or not is_out_of_memory(error):  # nothing can be tried again in a graph
                    raise
                message = first_line(error)
            if any(map(is_synchronised, self.optimizers)):  # the other processes wait for statistics of this one
                raise UserError(
                    f"out of memory with {at_once} images at a time ({message}): several processes need --micro-batch "
                    f"{at_once // 2 or 1} or less, since none of them can go on alone"
                )
            if at_once == 1:
                raise UserError(
                    f"out of memory with 1 image at a time ({message}): narrower networks or smaller images need less"
                )
            self.micro_batch = at_once // 2
            say_here(
                f"warning: out of memory with {at_once} images at a time; the step is done again, from now on with "
                f"{self.micro_batch} at a time"
            )
            step.optimizer.zero_grad(set_to_none=True)
            release(step.device)

    def _in_parts(self, step: _Step, at_once: int) -> Terms:
        parts = [slice(start, min(start + at_once, step.count)) for start in range(0, step.count, at_once)]
        if len(parts) == 1 and distributed.world_size() == 1:
            return self._backward(step, parts[0])
        total: Terms = {}
        with own_draws(step.device) as begin:
            for part in parts:
                begin(part.start)
                for name, term in self._backward(step, part).items():
                    total[name] = term + total.get(name, 0.0)
        return total

    def _backward(self, step: _Step, part: slice) -> Terms:
        terms = step.terms(part)
        loss = sum_of(terms)
        # Autocast is for forward passes: it would round the second derivative of a penalty that is float32.
        with torch.autocast(step.device.type, enabled=False):
            (self.scale.scaler.scale(loss) if self.scale else loss).backward()
        return {name: term.detach() for name, term in terms.items()}

    def _remember_buffers(self) -> Callable[[], None]:
        """What puts back the buffers of all networks, such as running statistics, as they are now."""
        buffers = [buffer for network in self.optimizers for buffer in network.buffers()]
        before = [buffer.clone() for buffer in buffers]

        @torch.no_grad()
        def put_back() -> None:
            for buffer, value in zip(buffers, before, strict=True):
                buffer.copy_(value)

        return put_back


def average(optimizer: torch.optim.Optimizer, terms: Terms, count: int) -> Terms:
    """Average gradients, in place, and terms over the images of all processes, in one message."""
    if distributed.world_size() == 1:
        return terms
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    values = torch.stack([*terms.values(), torch.ones_like(next(iter(terms.values())))])
    message = torch.cat([*(gradient.flatten() for gradient in gradients), values]) * count
    distributed.add_up(message)
    message /= message[-1].clone()
    *parts, values = message.split([*(gradient.numel() for gradient in gradients), len(values)])
    torch._foreach_copy_(gradients, [part.view_as(own) for part, own in zip(parts, gradients, strict=True)])
    return dict(zip(terms, values, strict=False))


@torch.no_grad()
def average_buffers(network: nn.Module) -> None:
    """Give the buffers of a network, such as running statistics, their mean over all processes."""
    buffers = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    if distributed.world_size() == 1 or not buffers:
        return
    message = torch.cat([buffer.flatten() for buffer in buffers]) / distributed.world_size()
    distributed.add_up(message)
    parts = message.split([buffer.numel() for buffer in buffers])
    torch._foreach_copy_(buffers, [part.view_as(own) for part, own in zip(parts, buffers, strict=True)])


@contextmanager
def own_draws(device: torch.device) -> Iterator[Callable[[int], None]]:
    """Within the block, call what is yielded to begin the draws of a part; after it, draws go on as before it."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        seed = int(torch.randint(2**62, ()))  # the same on all processes, and another in every step

        def begin(start: int) -> None:
            torch.manual_seed(seed_of(seed, distributed.rank(), start))

        yield begin
