"""One CUDA graph an iteration: the host starts one thing, where it would launch thousands of kernels one by one.

A graph is recorded once and then replayed on whatever its tensors hold. So what changes from one iteration to the next
must be a tensor on the device: the batch, learning rates, the seed of draws (PyTorch sees to that), and whether a loss
was not finite. Everything else, EMA included, stays outside.

The first two iterations of a kind run kernel by kernel, the third is recorded. The draws are those of the plain
iteration; values differ only where CUDA adds in any order. A loss that is not finite sets a flag on the device, with
which the optimisers stand still. It is read with each line of the log, score, sheet and checkpoint, so the networks
stay as they were and nothing is written afterwards; in bf16 there is then no second try in float32. Iterations that the
log looks into never replay, since Python takes the norms of gradients. A graph keeps its own memory, so they need it
again.

| an iteration as published | kernels and library calls that the host starts | with the graph | waits for the device |
|---|---|---|---|
| transfer, 32 pixels | 2,874 | 5 | 0 |
| transfer, 64 pixels | 8,302 | 5 | 0 |
| dual, 256 pixels | 2,656 | 5 | 0 |
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..tensors import Terms
from . import distributed
from .grad_accumulation import Updates
from .log import say
from .memory import is_out_of_memory, release

WARM_UP = 2
"""Iterations before the graph is recorded: they make what stays, such as the states of optimisers."""


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set it for all parameters; in place, where it is a number on the device that a graph reads."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor) and group["lr"].is_cuda:
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Recorded(NamedTuple):
    """A graph, and the terms that it computes."""

    graph: torch.cuda.CUDAGraph
    names: Sequence[str]
    values: Tensor


class Replayed:
    """The part of an iteration that goes into a graph: `steps`, a function of tensors that takes steps by `updates`.

    It computes what `steps` computes, from the same draws. Where a graph can be recorded, it reads nothing from the
    device: after a loss that is not finite no optimiser moves anything, and `updates.refuse_failed` tells. Flags are
    kinds of iterations: for each there is a graph of its own.
    """

    def __init__(self, steps: Callable[..., Terms], updates: Updates, device: torch.device) -> None:
        self.steps, self.updates, self.device = steps, updates, device
        self._inputs: Sequence[Tensor | None] = ()
        self._graphs: dict[tuple[bool, ...], Recorded] = {}
        self._calls = Counter[tuple[bool, ...]]()
        self._has_none = device.type != "cuda"
        for optimizer in updates.optimizers.values():
            optimizer.register_load_state_dict_post_hook(self._begin_anew)

    def __call__(self, *inputs: Tensor | None, **flags: bool) -> Terms:
        """The terms of one iteration on inputs that lie anywhere."""
        if not self._has_none and (reason := self._objection()):
            self.give_up(reason)
        if self._has_none:
            return self.steps(*(value if value is None else value.to(self.device) for value in inputs), **flags)
        with torch.cuda.device(self.device):
            return self._on_cuda(inputs, flags)

    def _on_cuda(self, inputs: Sequence[Tensor | None], flags: Mapping[str, bool]) -> Terms:
        if not self._calls:
            self._prepare(inputs)
        kind = tuple(flags.values())
        self._calls[kind] += 1
        for own, value in zip(self._inputs, inputs, strict=True):
            if own is not None and value is not None:
                own.copy_(value.pin_memory() if value.device.type == "cpu" else value, non_blocking=True)
        observed = any(optimizer._optimizer_step_pre_hooks for optimizer in self.updates.optimizers.values())
        if self._calls[kind] <= WARM_UP or observed:  # hooks are Python, which a graph does not run
            return self.steps(*self._inputs, **flags)
        recorded = self._graphs.get(kind) or self._record(flags)
        if recorded is None:
            self.give_up("there is too little memory")
            release(self.device)
            return self.steps(*self._inputs, **flags)
        self._graphs[kind] = recorded
        recorded.graph.replay()
        return dict(zip(recorded.names, recorded.values.clone().unbind(), strict=True))

    def _objection(self) -> str | None:
        """What keeps this run from having a graph."""
        if self.updates.micro_batch is not None:
            return "a batch is computed in parts"
        if self.updates.scale is not None:
            return "the loss scale of fp16 is read in every update"
        return "several processes share a batch" if distributed.world_size() > 1 else None

    def give_up(self, reason: str) -> None:
        """Compute kernel by kernel from now on, and say why."""
        say(f"iterations run kernel by kernel, not as a CUDA graph: {reason}")
        self._has_none = True
        self._graphs.clear()
        self.updates.defer(None)

    def _begin_anew(self, _: torch.optim.Optimizer) -> None:
        """Optimisers have other states: a graph would go on with those that they had."""
        self._graphs.clear()
        self._calls.clear()

    def _prepare(self, inputs: Sequence[Tensor | None]) -> None:
        """Let optimisers read learning rates from the device, and stand still after a loss that is not finite."""
        self._inputs = [value if value is None else torch.empty_like(value, device=self.device) for value in inputs]
        self.updates.defer(torch.zeros((), device=self.device))
        for optimizer in self.updates.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = torch.as_tensor(group["lr"], dtype=torch.float32, device=self.device)
                if isinstance(optimizer, torch.optim.Adam):
                    group["fused"] = group["capturable"] = True
                    for state in (optimizer.state[parameter] for parameter in group["params"]):
                        if "step" in state:  # of a checkpoint from a processor
                            state["step"] = state["step"].to(self.device)

    def _record(self, flags: Mapping[str, bool]) -> Recorded | None:
        """Record a graph; None if there is too little memory for it."""
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=torch.cuda.Stream(self.device)):  # torch's own may be another device's
                terms = self.steps(*self._inputs, **flags)
                values = torch.stack(tuple(terms.values()))
        except RuntimeError as error:
            cause = error.__context__  # of an error at the end of a recording that broke off
            if is_out_of_memory(error) or (cause is not None and is_out_of_memory(cause)):
                return None
            raise
        return Recorded(graph, tuple(terms), values)
