"""What convolutions and products compute in (`--precision`), and `--fast`, which is more for accelerators.

`--precision`, whatever it is, leaves norm statistics, images, scores, losses, the penalty with its gradients, averages
and optimisers in float32. `--fast` adds what changes rounding:

- bfloat16, unless `--precision` says something else;
- images and kernels channels-last, the layout that tensor cores want;
- generators compiled. Critics are not, because the gradient penalty differentiates twice, which torch.compile cannot.

Off by default: rounding changes what is learned, and DualGAN was seen to blur its images under mixed precision.
"""

import logging
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from .config import Precision

LOW: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}
"""What autocast is told."""
_CUDA_OPERATORS: tuple[Any, ...] = (
    torch.backends.cuda.matmul,
    *(getattr(torch.backends.cudnn, name) for name in ("conv", "rnn")),
)
"""Whose float32 may be TF32. We have no recurrent ones, but PyTorch wants one answer for all of cuDNN."""
logger = logging.getLogger("ganshift")


def computes(device: torch.device, precision: Precision) -> bool:
    """Whether a device has arithmetic of this precision; PyTorch lets processors imitate what they lack."""
    if device.type != "cpu" or precision in ("fp32", "tf32"):
        return True
    if precision == "fp16":
        return torch.ops.mkldnn._is_mkldnn_fp16_supported()
    on_x86 = platform.machine().lower() in ("x86_64", "amd64")  # where PyTorch's answer only says AVX-512
    has_bf16 = not on_x86 or torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return has_bf16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def precision_on(device: torch.device, precision: Precision) -> Precision:
    """The precision asked for, or fp32: with a warning on a processor that would only imitate it."""
    if precision == "tf32" and device.type != "cuda":
        return "fp32"  # to which TF32 is the nearest there
    if computes(device, precision):
        return precision
    logger.warning("this processor has no %s arithmetic: computing in fp32", precision)
    return "fp32"


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in a precision inside the block, and leave the process as it was."""
    # Without its cache, which would hand out casts of weights from before an update within one iteration.
    low = torch.autocast(device.type, LOW[precision], cache_enabled=False) if precision in LOW else nullcontext()
    before = [operators.fp32_precision for operators in _CUDA_OPERATORS]
    try:
        for operators in _CUDA_OPERATORS if device.type == "cuda" else ():
            operators.fp32_precision = "ieee" if precision == "fp32" else "tf32"
        with low:
            yield
    finally:
        for operators, value in zip(_CUDA_OPERATORS, before, strict=True):
            operators.fp32_precision = value


@contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """If wanted, use deterministic operators alone inside the block, and leave the process as it was."""
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    settings: Any = torch.utils.deterministic
    fills = settings.fill_uninitialized_memory
    if wanted:
        settings.fill_uninitialized_memory = False  # of which nothing reads any: it only takes time
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # asked by cuBLAS, which else sums in any order
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)
        settings.fill_uninitialized_memory = fills


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
    for network in generators:
        network.compile(backend=backend)
