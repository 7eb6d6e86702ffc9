"""One update from a batch that is computed in shares: by several processes, or a few images at a time, or both.

A loss is a mean over images, so that the gradient of a batch is the sum of those of its shares, each weighted by its
images. Random numbers of a step are drawn for the whole batch, alike on every process, and then cut; so shares change
nothing but rounding, as long as no layer looks across images. Two things differ: batch norm sees one share at a time,
and what is drawn within a step (augmentation, dropout) is drawn anew for each share, from a seed of its own.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..errors import UserError, first_line
from ..tensors import Terms
from . import distributed
from .config import Precision, RunConfig
from .distributed import part_of
from .log import say, say_here
from .memory import LivePeak, is_out_of_memory, memory_in_use, release
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


@dataclass
class Shares:
    """How the steps of a run are computed: in which shares of a batch, in what precision, within which memory."""

    micro_batch: int | None = None
    """Images that a process computes at a time; None means all that it has. Halved when memory runs out."""
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

    def are_whole(self, count: int) -> bool:
        """Whether one process computes a batch of `count` images at once."""
        return distributed.world_size() == 1 and (self.micro_batch or count) >= count

    def uniform(self, count: int, device: torch.device) -> Float[Tensor, " n"]:
        """A number from 0 to 1 for each of this process's `count` images, cut from those of the whole batch."""
        return torch.rand(self.batch or count, device=device)[part_of(self.batch) if self.batch else ALL]

    def descend(self, optimizer: torch.optim.Optimizer, count: int, terms_of: TermsOf) -> Terms:
        """Take one step down the mean over the images of all processes, of which this one has `count`.

        Returns the terms of the whole batch, detached. Raises `NonFiniteLoss` on all processes alike, before any
        parameter or optimiser state has changed.
        """
        if self.memory_limit and id(optimizer) not in self._measured:
            self._choose_micro_batch(optimizer, count, terms_of)
        if self.precision == "fp32":
            return self._attempt(optimizer, count, terms_of)
        before = [buffer.clone() for buffer in self.buffers]
        try:
            return self._attempt(optimizer, count, terms_of)
        except NonFiniteLoss as error:
            message = "" if isinstance(error, Overflow) else str(error)
        if message:
            say(
                f"warning: {message.partition(';')[0]} in {self.precision}: trying this step again in fp32", always=True
            )
        self._put_back(before)
        with torch.autocast(_device_of(optimizer).type, enabled=False):
            return self._in_shares(optimizer, count, terms_of, scale=None)

    def _attempt(self, optimizer: torch.optim.Optimizer, count: int, terms_of: TermsOf) -> Terms:
        if self.precision == "fp16":
            return self._in_shares(optimizer, count, terms_of, self.scale)
        if self.are_whole(count):
            found = self._within_memory(optimizer, count, lambda: descend(optimizer, *terms_of(ALL)))
            if found is not None:
                return found
        return self._in_shares(optimizer, count, terms_of, scale=None)

    def _in_shares(
        self, optimizer: torch.optim.Optimizer, count: int, terms_of: TermsOf, scale: LossScale | None
    ) -> Terms:
        factor = scale.factor if scale else 1.0
        terms: Terms | None = None
        while terms is None:
            terms = self._within_memory(
                optimizer, count, lambda: self._differentiate(optimizer, count, terms_of, factor)
            )
        terms = average(optimizer, terms, count)
        refuse_non_finite(terms, torch.stack(tuple(terms.values())).sum())
        if scale:
            self._unscale(optimizer, scale)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return terms

    def _differentiate(self, optimizer: torch.optim.Optimizer, count: int, terms_of: TermsOf, factor: float) -> Terms:
        """Gradients of the mean over this process's images, times a factor; returns the terms."""
        optimizer.zero_grad(set_to_none=True)
        at_once = self.micro_batch or count
        terms: Terms = {}
        with _own_draws(_device_of(optimizer)) as begin:
            for start in range(0, count, at_once):
                part = slice(start, min(start + at_once, count))
                weight = (part.stop - start) / count
                begin(start)
                weighted = {name: term * weight for found in terms_of(part) for name, term in found.items()}
                (torch.stack(tuple(weighted.values())).sum() * factor).backward()
                terms = {name: term.detach() + terms.get(name, 0.0) for name, term in weighted.items()}
        return terms

    def _unscale(self, optimizer: torch.optim.Optimizer, scale: LossScale) -> None:
        """Divide the gradients by the scale they have; raises `NonFiniteLoss` if one of them overflowed."""
        gradients = _gradients(optimizer)
        torch._foreach_div_(gradients, scale.factor)
        overflow = not torch.nn.utils.get_total_norm(gradients).isfinite()
        scale.overflowed(overflow)
        if overflow:
            raise Overflow("a gradient overflows; nothing was updated")

    def _within_memory(self, optimizer: torch.optim.Optimizer, count: int, work: Callable[[], Terms]) -> Terms | None:
        """Do it; if memory runs out, say so, halve the micro-batch and return None."""
        moving: list[bool] = []
        hook = optimizer.register_step_pre_hook(lambda *_: moving.append(True))
        try:
            return work()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            message = first_line(error)
        finally:
            hook.remove()
        at_once = min(self.micro_batch or count, count)
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
        optimizer.zero_grad(set_to_none=True)
        release(_device_of(optimizer))
        return None

    def _choose_micro_batch(self, optimizer: torch.optim.Optimizer, count: int, terms_of: TermsOf) -> None:
        """Compute one image and two, see what an image takes, and take as many as the limit has room for."""
        assert self.memory_limit is not None
        self._measured.add(id(optimizer))
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        slots = 0 if optimizer.state else 2 * sum(parameter.nbytes for parameter in parameters)  # Adam's, to come
        in_use = memory_in_use(_device_of(optimizer)) + slots
        before = [buffer.clone() for buffer in self.buffers]
        peaks = []
        with _own_draws(_device_of(optimizer)) as begin:
            for number in (1, 2)[:count]:
                begin(number)
                with LivePeak() as live:
                    torch.stack(
                        [term for found in terms_of(slice(0, number)) for term in found.values()]
                    ).sum().backward()
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
        if fitting < (self.micro_batch or count):
            self.micro_batch = fitting
            say_here(f"memory: an image of a step takes {an_image / 1e6:.1f} MB; computing {fitting} at a time")

    def _put_back(self, before: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for buffer, value in zip(self.buffers, before, strict=True):
                buffer.copy_(value)


def new_shares(config: RunConfig, batch: int, *networks: nn.Module) -> Shares:
    """How a run with these settings computes its steps; `networks` are those with buffers."""
    limit = None if config.memory_limit is None else config.memory_limit * 1e9
    buffers = [buffer for network in networks for buffer in network.buffers()]
    return Shares(config.micro_batch, batch, config.computes_in, limit, buffers)


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


def _device_of(optimizer: torch.optim.Optimizer) -> torch.device:
    parameter: Tensor = optimizer.param_groups[0]["params"][0]
    return parameter.device


@contextmanager
def _own_draws(device: torch.device) -> Iterator[Callable[[int], None]]:
    """Within the block, call what is yielded to begin the draws of a share; after it, draws go on as before it."""
    devices = [] if device.type == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type=device.type if devices else "cuda"):
        seed = int(torch.randint(2**62, ()))  # the same on all processes, and another in every step

        def begin(start: int) -> None:
            torch.manual_seed(seed_of(seed, distributed.rank(), start))

        yield begin
