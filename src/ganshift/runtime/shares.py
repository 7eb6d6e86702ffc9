"""One update from a batch that is computed in shares: by several processes, or a few images at a time, or both.

A loss is a mean over images, so that the gradient of a batch is the sum of those of its shares, each weighted by its
images. Random numbers of a step are drawn for the whole batch, alike on every process, and then cut; so shares change
nothing but rounding, as long as no layer looks across images. Two things differ: batch norm sees one share at a time,
and what is drawn within a step (augmentation, dropout) is drawn anew for each share, from a seed of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..tensors import Terms
from . import distributed
from .distributed import part_of
from .optim import descend, refuse_non_finite

ALL = slice(None)
"""The part that is all of a process's images."""
TermsOf = Callable[[slice], Sequence[Terms]]
"""From a part of a process's images to the terms of their loss, in parts whose graphs are apart."""


@dataclass
class Shares:
    """How the batches of a run are divided."""

    micro_batch: int | None = None
    """Images that a process computes at a time; None means all that it has."""
    batch: int | None = None
    """Images of the whole batch; None if one process has all."""

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
        if self.are_whole(count):
            return descend(optimizer, *terms_of(ALL))
        at_once = self.micro_batch or count
        optimizer.zero_grad(set_to_none=True)
        terms: Terms = {}
        with _own_draws(_device_of(optimizer)) as begin:
            for start in range(0, count, at_once):
                part = slice(start, min(start + at_once, count))
                weight = (part.stop - start) / count
                begin(start)
                weighted = {name: term * weight for found in terms_of(part) for name, term in found.items()}
                torch.stack(tuple(weighted.values())).sum().backward()
                terms = {name: term.detach() + terms.get(name, 0.0) for name, term in weighted.items()}
        terms = average(optimizer, terms, count)
        refuse_non_finite(terms, torch.stack(tuple(terms.values())).sum())
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return terms


WHOLE = Shares()
"""Not divided: one process takes all of a batch at once."""


def average(optimizer: torch.optim.Optimizer, terms: Terms, count: int) -> Terms:
    """Average gradients, in place, and terms over the images of all processes, in one message."""
    if distributed.world_size() == 1:
        return terms
    moving = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    gradients: list[Tensor] = [parameter.grad for parameter in moving if parameter.grad is not None]
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
