"""Independent work at once, on the cores of one processor."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")


def side_by_side(first: Callable[[], Result], second: Callable[[], Result], device: torch.device) -> list[Result]:
    """Call both, each on half of torch's threads, and return their results.

    Two halves of a step keep two cores busier than one operator after the other on both: small operators do not split
    well. Neither may draw random numbers, whose order would be open. On one thread, on accelerators and under autocast,
    which a thread does not inherit, one goes after the other.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2 or torch.is_autocast_enabled("cpu"):
        return [first(), second()]
    learns = torch.is_grad_enabled()

    def call(function: Callable[[], Result]) -> Result:
        with torch.set_grad_enabled(learns):
            return function()

    futures = [_pool(threads).submit(call, function) for function in (first, second)]
    wait(futures)
    return [future.result() for future in futures]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Two threads that stay, with half of torch's threads each."""
    both_there = threading.Barrier(2)

    def begin() -> None:
        torch.set_num_threads(threads // 2)
        torch.get_num_threads()  # asked for the first time later, it would be that of the process by then
        both_there.wait()

    pool = ThreadPoolExecutor(2, initializer=begin)
    wait([pool.submit(threading.get_ident) for _ in range(2)])
    torch.set_num_threads(threads)  # the number that threads to come start with
    return pool
