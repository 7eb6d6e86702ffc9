"""Signals that ask a run to stop, collected until an iteration is complete."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ..data.stop_signals import STOP_SIGNALS


@contextmanager
def collected_signals(told: Callable[[list[signal.Signals]], None]) -> Iterator[list[signal.Signals]]:
    """Collect `STOP_SIGNALS` in a list inside the block; `told` is given the list each time one has come.

    A hangup that is ignored already, as nohup has it, stays ignored.
    """
    received: list[signal.Signals] = []

    def collect(number: int, frame: FrameType | None) -> None:
        received.append(signal.Signals(number))
        told(received)

    if threading.current_thread() is not threading.main_thread():
        yield received  # signals reach the main thread only
        return
    before = {number: signal.signal(number, collect) for number in STOP_SIGNALS if not _is_ignored_hangup(number)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _is_ignored_hangup(number: signal.Signals) -> bool:
    return number.name == "SIGHUP" and signal.getsignal(number) == signal.SIG_IGN
