"""Signals that ask a run to stop, collected until an iteration is complete."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from .log import say


@contextmanager
def stop_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT and SIGTERM in a list instead of dying in the middle of an update; the second one does end it."""
    received: list[signal.Signals] = []

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(signal.Signals(number))
        say("stopping after this iteration (again to stop at once)")

    if threading.current_thread() is not threading.main_thread():
        yield received  # signals reach the main thread only
        return
    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
