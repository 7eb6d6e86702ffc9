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
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from .config import Precision

LOW: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast is told."""
logger = logging.getLogger("ganshift")


def computes(device: torch.device, precision: Precision) -> bool:
    """Whether a device has arithmetic of this precision; PyTorch lets processors imitate what they lack."""
    if device.type != "cpu" or precision == "fp32":
        return True
    if precision == "fp16":
        return torch.ops.mkldnn._is_mkldnn_fp16_supported()
    on_x86 = platform.machine().lower() in ("x86_64", "amd64")  # where PyTorch's answer only says AVX-512
    has_bf16 = not on_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return has_bf16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def precision_on(device: torch.device, precision: Precision) -> Precision:
    """The precision asked for, or fp32, with a warning, on a processor that would only imitate it."""
    if computes(device, precision):
        return precision
    logger.warning("this processor has no %s arithmetic, and imitating it takes longer: computing in fp32", precision)
    return "fp32"


@contextmanager
def fast_arithmetic(device: torch.device, fast: bool, precision: Precision) -> Iterator[None]:
    """Compute in a precision inside the block, with TF32 if fast, and leave the process as it was."""
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
