"""`--fast`: what accelerators gain from lower precision and from preparation, behind one choice.

- Convolutions and products in bfloat16 (autocast; `--precision` chooses another), and in TF32 where they stay in
  float32. The networks themselves keep norm statistics, images and scores in float32, and the losses, the penalty and
  the optimisers compute in it too.
- Images and kernels channels-last, the layout that tensor cores want.
- Adam in one fused kernel.
- Generators compiled, with graph capture: their steps are many small kernels. Critics are not, because the gradient
  penalty differentiates twice, which torch.compile cannot.

Off by default: rounding changes what is learned, and DualGAN was seen to blur its images under mixed precision. None of
this has been measured on an accelerator yet; docs/performance.md has the command that does.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from .config import Precision

LOW: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast is told."""
logger = logging.getLogger("ganshift")


@contextmanager
def fast_arithmetic(device: torch.device, fast: bool, precision: Precision | None = None) -> Iterator[None]:
    """Compute in a precision inside the block, and leave the process as it was. By default bf16 if fast, else fp32."""
    precision = precision or ("bf16" if fast else "fp32")
    before = torch.get_float32_matmul_precision()
    if fast:
        torch.set_float32_matmul_precision("high")
    # Without its cache, which would hand out casts of weights from before an update within one iteration.
    low = torch.autocast(device.type, LOW[precision], cache_enabled=False) if precision in LOW else nullcontext()
    try:
        with low:
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def prepare_networks(
    generators: list[nn.Module], critics: list[nn.Module], device: torch.device, fast: bool, backend: str = "inductor"
) -> None:
    """Lay kernels out channels-last and compile the generators, in place; their state dicts stay as they are.

    On the CPU nothing is compiled by inductor, which takes minutes there for a gain that we have not seen.
    """
    if not fast:
        return
    if device.type == "cpu":
        logger.warning("--fast is made for accelerators: on a processor it rounds more and is seldom faster")
    for network in (*generators, *critics):
        network.to(memory_format=torch.channels_last)
    if device.type == "cpu" and backend == "inductor":
        return
    options: dict[str, Any] = {"mode": "reduce-overhead"} if backend == "inductor" else {}
    for network in generators:
        network.compile(backend=backend, **options)


def begin_iteration(device: torch.device, fast: bool) -> None:
    """Tell captured graphs that results of the last iteration are no longer needed."""
    if fast and device.type != "cpu":
        torch.compiler.cudagraph_mark_step_begin()


def adam_options(fast: bool) -> dict[str, Any]:
    """Arguments of `torch.optim.Adam`."""
    return {"fused": True} if fast else {}
