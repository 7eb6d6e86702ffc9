"""Signals that ask a run to stop, collected until an iteration is complete."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from .log import say


def stop_signals() -> AbstractContextManager[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM in a list instead of dying in the middle of an update; the second one does end it."""

    def told(count: int) -> None:
        if count > 1:
            raise KeyboardInterrupt
        say("stopping after this iteration (again to stop at once)")

    return collected_signals(told)


@contextmanager
def collected_signals(told: Callable[[int], None]) -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM in a list inside the block; `told` hears each time how many have come."""
    received: list[signal.Signals] = []

    def collect(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        told(len(received))

    if threading.current_thread() is not threading.main_thread():
        yield received  # signals reach the main thread only
        return
    before = {number: signal.signal(number, collect) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
