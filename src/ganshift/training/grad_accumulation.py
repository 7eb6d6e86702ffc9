"""One update from a batch that is computed in shares: by several processes, or a few images at a time, or both.

A loss is a mean over images, so that the gradient of a batch is the sum of those of its shares, each weighted by its
images. Random numbers of a step are drawn for the whole batch, alike on every process, and then cut; so shares change
nothing but rounding, as long as no layer looks across images. Two things differ: batch norm sees one share at a time,
and what is drawn within a step (augmentation, dropout) is drawn anew for each share, from a seed of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError, first_line
from ..tensors import Images, Terms
from . import distributed
from .config import Precision, RunConfig
from .distributed import part_of
from .log import say, say_here
from .memory import LivePeak, is_out_of_memory, memory_in_use, release, return_holes
from .optim import NonFiniteLoss, descend, refuse_non_finite

ALL = slice(None)
"""The part that is all of a process's images."""
TermsOf = Callable[[slice], Sequence[Terms]]
"""From a part of a process's images to the terms of their loss, in parts whose graphs are apart."""


FIRST_SCALE = 2.0**14
"""What losses are multiplied by in fp16 at first."""
STEPS_TO_GROW = 2000
"""Steps without an overflow after which the scale is doubled."""


class Overflow(NonFiniteLoss):
    """A gradient is too large in fp16 for the scale that it has: nothing to worry about, since the scale follows."""


class LossScale:
    """What losses are multiplied by in fp16, so that small gradients do not become 0: as much as does not overflow."""

    def __init__(self) -> None:
        self.factor = FIRST_SCALE
        self._good = 0

    def overflowed(self, happened: bool) -> None:
        """Count a step."""
        self._good = 0 if happened else self._good + 1
        if happened:
            self.factor /= 2
        elif self._good == STEPS_TO_GROW:
            self.factor, self._good = self.factor * 2, 0

    def state_dict(self) -> dict[str, float]:
        """Both numbers."""
        return {"factor": self.factor, "good": self._good}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Restore both."""
        self.factor, self._good = state["factor"], int(state["good"])


@dataclass(frozen=True)
class _Step:
    """One update that is asked for."""

    optimizer: torch.optim.Optimizer
    count: int
    """Images of this process."""
    terms_of: TermsOf
    at_most: int | None
    """Images that terms are computed of at a time, whatever the micro-batch."""
    prepare: Callable[[slice], None]
    """What a micro-batch needs as a whole before its terms are computed."""

    @property
    def device(self) -> torch.device:
        parameter: Tensor = self.optimizer.param_groups[0]["params"][0]
        return parameter.device

    def at_once(self, micro_batch: int | None) -> int:
        """Images that terms are computed of at a time."""
        return min(number or self.count for number in (self.count, micro_batch, self.at_most))

    def parts(self, micro_batch: int | None) -> list[slice]:
        """The images, a micro-batch at a time."""
        return _parts(slice(0, self.count), micro_batch)

    def whole(self) -> Sequence[Terms]:
        """The terms of all images at once."""
        self.prepare(ALL)
        return self.terms_of(ALL)


class _Judged(torch.autograd.Function):
    """Terms of images, as their gradient is known already: `gradient` is that of the terms' sum."""

    @staticmethod
    def forward(ctx: Any, _images: Tensor, terms: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return terms.clone()

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * factors[0][0], None, None


@dataclass
class Shares:
    """How the steps of a run are computed: in which shares of a batch, in what precision, within which memory."""

    micro_batch: int | None = None
    """Images that a process computes at a time; None means all that it has. Halved when memory runs out."""
    critic_images: int | None = None
    """Images that a critic computes at a time, should that be fewer; for critics that look at each image alone."""
    batch: int | None = None
    """Images of the whole batch; None if one process has all."""
    precision: Precision = "fp32"
    """What autocast computes in; a step that is not finite in less than fp32 is tried again in fp32."""
    memory_limit: float | None = None
    """Bytes that the process, or its accelerator, may use; the micro-batch is chosen by it."""
    buffers: Sequence[Tensor] = ()
    """What a step changes beside parameters, to be put back before it is tried again."""
    scale: LossScale = field(default_factory=LossScale)
    """Used in fp16 only."""
    _measured: set[int] = field(default_factory=set)

    def state(self) -> dict[str, LossScale]:
        """What a checkpoint has to hold, by name."""
        return {"loss_scale": self.scale} if self.precision == "fp16" else {}

    def uniform(self, count: int, device: torch.device) -> Float[Tensor, " n"]:
        """A number from 0 to 1 for each of this process's `count` images, cut from those of the whole batch."""
        return torch.rand(self.batch or count, device=device)[part_of(self.batch) if self.batch else ALL]

    def descend(
        self,
        optimizer: torch.optim.Optimizer,
        count: int,
        terms_of: TermsOf,
        at_most: int | None = None,
        prepare: Callable[[slice], None] = lambda _: None,
    ) -> Terms:
        """Take one step down the mean over the images of all processes, of which this one has `count`.

        `prepare` is called for every micro-batch, whose terms are then computed of `at_most` images at a time. Returns
        the terms of the whole batch, detached. Raises `NonFiniteLoss` on all processes alike, before any parameter or
        optimiser state has changed.
        """
        step = _Step(optimizer, count, terms_of, at_most, prepare)
        if self.memory_limit and id(optimizer) not in self._measured:
            self._choose_micro_batch(step)
        if self.precision == "fp32":
            return self._attempt(step)
        before = [buffer.clone() for buffer in self.buffers]
        try:
            return self._attempt(step)
        except NonFiniteLoss as error:
            message = "" if isinstance(error, Overflow) else str(error)
        if message:
            say(
                f"warning: {message.partition(';')[0]} in {self.precision}: trying this step again in fp32", always=True
            )
        self._put_back(before)
        with torch.autocast(step.device.type, enabled=False):
            return self._in_shares(step, scale=None)

    def judge(self, fakes: Images, terms_of: Callable[[Images, slice], Terms]) -> Terms:
        """What a frozen critic says of the fakes of a generator: means over images, to be summed to a loss.

        It sees `critic_images` of them at a time, forward and back, so that few of its maps are held at once; the
        generator, whose batch norm looks across all of them, then needs one backward pass from all. In fp16 the critic
        sees them at once, since its small gradients need the scale of the loss.
        """
        parts = _parts(slice(0, len(fakes)), self.critic_images)
        if len(parts) == 1 or self.precision == "fp16":
            return terms_of(fakes, ALL)
        if fakes.device.type == "cpu":
            return_holes()  # of the generator's forward pass, as large as all that the critic needs
        terms: Terms = {}
        gradient = torch.empty_like(fakes)
        for part in parts:
            seen = fakes[part].detach().requires_grad_()
            weighted = _weighted([terms_of(seen, part)], part, len(fakes))
            (gradient[part],) = torch.autograd.grad(_sum(weighted), seen)
            terms = _added(terms, weighted)
        values = _Judged.apply(fakes, torch.stack(tuple(terms.values())), gradient)
        return dict(zip(terms, values, strict=True))

    def _attempt(self, step: _Step) -> Terms:
        if self.precision == "fp16":
            return self._in_shares(step, self.scale)
        if distributed.world_size() == 1 and step.at_once(self.micro_batch) == step.count:
            found = self._within_memory(step, lambda: descend(step.optimizer, *step.whole()))
            if found is not None:
                return found
        return self._in_shares(step, scale=None)

    def _in_shares(self, step: _Step, scale: LossScale | None) -> Terms:
        factor = scale.factor if scale else 1.0
        terms: Terms | None = None
        while terms is None:
            terms = self._within_memory(step, lambda: self._differentiate(step, factor))
        terms = average(step.optimizer, terms, step.count)
        refuse_non_finite(terms, _sum(terms))
        if scale:
            self._unscale(step.optimizer, scale)
        step.optimizer.step()
        step.optimizer.zero_grad(set_to_none=True)
        return terms

    def _differentiate(self, step: _Step, factor: float) -> Terms:
        """Gradients of the mean over this process's images, times a factor; returns the terms."""
        step.optimizer.zero_grad(set_to_none=True)
        terms: Terms = {}
        with _own_draws(step.device) as begin:
            for share in step.parts(self.micro_batch):
                step.prepare(share)
                for part in _parts(share, step.at_most):
                    begin(part.start)
                    weighted = _weighted(step.terms_of(part), part, step.count)
                    (_sum(weighted) * factor).backward()
                    terms = _added(terms, weighted)
        return terms

    def _unscale(self, optimizer: torch.optim.Optimizer, scale: LossScale) -> None:
        """Divide the gradients by the scale they have; raises `NonFiniteLoss` if one of them overflowed."""
        gradients = _gradients(optimizer)
        torch._foreach_div_(gradients, scale.factor)
        overflow = not torch.nn.utils.get_total_norm(gradients).isfinite()
        scale.overflowed(overflow)
        if overflow:
            raise Overflow("a gradient overflows; nothing was updated")

    def _within_memory(self, step: _Step, work: Callable[[], Terms]) -> Terms | None:
        """Do it; if memory runs out, say so, halve the micro-batch and return None."""
        moving: list[bool] = []
        hook = step.optimizer.register_step_pre_hook(lambda *_: moving.append(True))
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = first_line(error)
        finally:
            hook.remove()
        at_once = step.at_once(self.micro_batch)
        if moving or at_once == 1:
            raise UserError(
                f"out of memory with {at_once} image{'s' * (at_once > 1)} at a time ({message}): "
                "narrower networks or smaller images need less"
            )
        self.micro_batch = at_once // 2
        say_here(
            f"warning: out of memory with {at_once} images at a time; the step is done again, from now on with "
            f"{self.micro_batch} at a time"
        )
        step.optimizer.zero_grad(set_to_none=True)
        release(step.device)
        return None

    def _choose_micro_batch(self, step: _Step) -> None:
        """Compute one image and two, see what an image takes, and take as many as the limit has room for."""
        assert self.memory_limit is not None
        optimizer, count = step.optimizer, step.count
        self._measured.add(id(optimizer))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        slots = 0 if optimizer.state else 2 * sum(parameter.nbytes for parameter in parameters)  # Adam's, to come
        in_use = memory_in_use(step.device) + slots
        before = [buffer.clone() for buffer in self.buffers]
        peaks = []
        with _own_draws(step.device) as begin:
            for number in (1, 2)[:count]:
                begin(number)
                with LivePeak() as live:
                    step.prepare(part := slice(0, number))
                    _sum(_weighted(step.terms_of(part), part, number)).backward()
                peaks.append(live.peak)
                optimizer.zero_grad(set_to_none=True)
        self._put_back(before)
        an_image = max(peaks[-1] - peaks[0], 1) if count > 1 else peaks[0]
        room = self.memory_limit - in_use - peaks[0]
        if room < 0:
            needed = (in_use + peaks[0]) / 1e9
            raise UserError(
                f"memory_limit must be at least {needed:.2f} for one image at a time, got {self.memory_limit / 1e9:g}"
            )
        fitting = min(1 + int(room / an_image), count)
        if fitting < step.at_once(self.micro_batch):
            self.micro_batch = fitting
            say_here(f"memory: an image of a step takes {an_image / 1e6:.1f} MB; computing {fitting} at a time")

    def _put_back(self, before: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for buffer, value in zip(self.buffers, before, strict=True):
                buffer.copy_(value)


def new_shares(config: RunConfig, batch: int, *networks: nn.Module, critic_images: int | None = None) -> Shares:
    """How a run with these settings computes its steps; `networks` are those with buffers."""
    limit = None if config.memory_limit is None else config.memory_limit * 1e9
    buffers = [buffer for network in networks for buffer in network.buffers()]
    return Shares(config.micro_batch, critic_images, batch, config.computes_in, limit, buffers)


WHOLE = Shares()
"""Not divided: one process takes all of a batch at once."""


def average(optimizer: torch.optim.Optimizer, terms: Terms, count: int) -> Terms:
    """Average gradients, in place, and terms over the images of all processes, in one message."""
    if distributed.world_size() == 1:
        return terms
    gradients = _gradients(optimizer)
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


def seed_of(*numbers: int) -> int:
    """A 63-bit seed from several numbers; neighbours get unrelated ones."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _gradients(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _parts(images: slice, at_once: int | None) -> list[slice]:
    """Some images in parts of at most so many."""
    step = at_once or images.stop - images.start
    return [slice(start, min(start + step, images.stop)) for start in range(images.start, images.stop, step)]


def _weighted(found: Sequence[Terms], part: slice, count: int) -> Terms:
    """The share of the means over a part in those over all `count` images."""
    weight = (part.stop - part.start) / count
    return {name: term * weight for terms in found for name, term in terms.items()}


def _added(terms: Terms, more: Terms) -> Terms:
    """Sums by name, detached."""
    return {name: term.detach() + terms.get(name, 0.0) for name, term in more.items()}


def _sum(terms: Terms) -> Tensor:
    return torch.stack(tuple(terms.values())).sum()


@contextmanager
def _own_draws(device: torch.device) -> Iterator[Callable[[int], None]]:
    """Within the block, call what is yielded to begin the draws of a share; after it, draws go on as before it."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        seed = int(torch.randint(2**62, ()))  # the same on all processes, and another in every step

        def begin(start: int) -> None:
            torch.manual_seed(seed_of(seed, distributed.rank(), start))

        yield begin
