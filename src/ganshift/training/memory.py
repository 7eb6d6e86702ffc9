"""What a training process asks of the allocator, how much it uses, and what it means when there is no more."""

import ctypes
import gc
import sys
import weakref
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt, in malloc.h
_LARGEST = 2**30


def keep_freed_memory() -> bool:
    """Let large blocks stay in the process when they are freed, and say whether the system's malloc can.

    An iteration frees and allocates the same large tensors again and again. By itself, glibc gives them back to the
    kernel each time, which then has to clear every page anew: a quarter of an iteration at 32 pixels
    (docs/performance.md). The price is memory that lies idle between large blocks of different sizes: `return_holes`.
    """
    malloc = _malloc()
    if malloc is None:
        return False
    never = -1  # as an unsigned number larger than any heap
    settings = (
        (_MMAP_THRESHOLD, _LARGEST),
        (_TRIM_THRESHOLD, never),
        (_ARENA_MAX, 1),  # the arenas of threads hold no large blocks
    )
    return all(malloc.mallopt(name, value) for name, value in settings)


def return_holes() -> None:
    """Give the pages between blocks in use back to the kernel, which has to clear them when they are needed again."""
    malloc = _malloc()
    if malloc is not None:
        malloc.malloc_trim(0)


def _malloc() -> ctypes.CDLL | None:
    """The C library, if it is glibc; others, such as musl, cannot be told how to hold memory."""
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return library if hasattr(library, "malloc_trim") else None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, on an accelerator or a processor."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def release(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cpu":
        return_holes()
    else:
        torch.accelerator.empty_cache()


def memory_in_use(device: torch.device) -> int:
    """Bytes that tensors take on an accelerator, or that this process takes on a processor (Linux; else 0)."""
    if device.type != "cpu":
        return int(torch.accelerator.memory_allocated(device))
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    lines = status.read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class LivePeak(TorchDispatchMode):
    """Within a `with` block, counts the bytes of the tensors that are made in it and alive at a time, on any device.

    What a kernel needs while it runs is not seen.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        """The most so far."""
        self._alive = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        inputs = {id(tensor.untyped_storage()) for tensor in tree_iter(args) if isinstance(tensor, torch.Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in self._known and id(storage) not in inputs:
                    self._known.add(id(storage))
                    self._alive += storage.nbytes()
                    weakref.finalize(storage, self._freed, id(storage), storage.nbytes())
        self.peak = max(self.peak, self._alive)
        return result

    def _freed(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self._alive -= size
