"""What a training process asks of the allocator."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # of mallopt, in malloc.h
_LARGEST = 2**30


def keep_freed_memory() -> bool:
    """Let large blocks stay in the process when they are freed, and say whether the system's malloc can.

    An iteration frees and allocates the same large tensors again and again. By itself, glibc gives them back to the
    kernel each time, which then has to clear every page anew: a quarter of an iteration at 32 pixels
    (docs/performance.md). The price is memory that lies idle between large blocks of different sizes.
    """
    if not sys.platform.startswith("linux"):
        return False
    malloc = ctypes.CDLL(None)
    if not hasattr(malloc, "mallopt"):  # other C libraries, such as musl
        return False
    never = -1  # as an unsigned number larger than any heap
    settings = (
        (_MMAP_THRESHOLD, _LARGEST),
        (_TRIM_THRESHOLD, never),
        (_ARENA_MAX, 1),  # the arenas of threads hold no large blocks
    )
    return all(malloc.mallopt(name, value) for name, value in settings)
