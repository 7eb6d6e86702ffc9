"""What a training process asks of the allocator, and what it means when there is no more memory."""

import ctypes
import gc
import sys

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt, in malloc.h
_LARGEST = 2**30


def keep_freed_memory() -> None:
    """Let large blocks stay in the process when they are freed, where the system's malloc can.

    An iteration frees and allocates the same large tensors again and again. By itself, glibc gives them back to the
    kernel each time, which then has to clear every page anew: a quarter of an iteration at 32 pixels
    (docs/performance.md). The price is memory that lies idle between large blocks of different sizes: `release`.
    """
    if malloc := _malloc():
        malloc.mallopt(_MMAP_THRESHOLD, _LARGEST)
        malloc.mallopt(_TRIM_THRESHOLD, -1)  # never: as an unsigned number it is larger than any heap
        malloc.mallopt(_ARENA_MAX, 1)  # the arenas of threads hold no large blocks


def _malloc() -> ctypes.CDLL | None:
    """The C library, if it is glibc; others, such as musl, cannot be told how to hold memory."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return library if hasattr(library, "malloc_trim") else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on an accelerator or a processor."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def release(device: torch.device) -> None:
    """Give back what nothing refers to any more, the pages between blocks in use too."""
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.empty_cache()
    elif malloc := _malloc():
        malloc.malloc_trim(0)
