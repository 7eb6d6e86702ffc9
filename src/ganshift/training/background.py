"""Work that is done in a thread while training goes on, one piece at a time."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import torch

from .distributed import from_first

logger = logging.getLogger("ganshift")


class Background:
    """Errors of the work are raised by the next call, or at the end."""

    def __init__(self, in_thread: bool) -> None:
        """Without a thread, work is done at once."""
        self.in_thread = in_thread
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[object] | None = None

    def start(self, work: Callable[[], object]) -> None:
        """Begin, once the piece before is done."""
        self.wait()
        if self.in_thread:
            self._running = self._pool.submit(work)
        else:
            work()

    def wait(self) -> None:
        """Come back when nothing is left to do."""
        running, self._running = self._running, None
        if running is not None:
            running.result()

    @contextmanager
    def until_done(self) -> Iterator[None]:
        """Wait at the end of the block, on all processes for the first; where the block fails, its error counts."""
        try:
            yield
        except BaseException:
            try:
                self.wait()
            except OSError as error:
                logger.warning("the last checkpoint was not written: %s", error.strerror)
            raise
        from_first(self.wait)


def writes_in_thread(device: torch.device) -> bool:
    """Whether training goes on while checkpoints are written, from copies; a processor has but one memory for both."""
    return device.type != "cpu"
