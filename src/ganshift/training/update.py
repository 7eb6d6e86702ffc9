"""One update of a network, which is all that an algorithm asks of training; and its plain form, in five lines.

`grad_accumulation.Updates` does the same in micro-batches, in several processes and in lower precision. An algorithm
works with either.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..tensors import Terms

Loss = Callable[..., Terms]
"""From a batch of images and draws to weighted terms, each a mean over the batch."""


@runtime_checkable
class Update(Protocol):
    """Moves a network one step down a loss."""

    def __call__(self, network: nn.Module, loss: Loss, *batch_and_draws: Tensor | None) -> Terms:
        """Take one step down the sum of the terms that the loss gives for these inputs; returns them detached.

        Every input is None or has one row an image. An input may carry a graph, such as fakes: then its gradient goes
        back through it. The other networks stand still.
        """
        ...


@dataclass(frozen=True)
class PlainUpdate:
    """The plain form: one process, all of the batch at once, in the precision of the weights."""

    optimizers: Mapping[nn.Module, torch.optim.Optimizer]

    def __call__(self, network: nn.Module, loss: Loss, *batch_and_draws: Tensor | None) -> Terms:
        """Take one step; see `Update`."""
        self.optimizers[network].zero_grad()
        terms = loss(*batch_and_draws)
        torch.stack(tuple(terms.values())).sum().backward()
        self.optimizers[network].step()
        return {name: term.detach() for name, term in terms.items()}
