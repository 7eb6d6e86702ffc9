"""When to interrupt training: every so many images, and on accelerators for a small part of the time only."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .distributed import from_first


def crossed(every: int, before: int, seen: int) -> bool:
    """Whether a multiple of `every` images was reached since `before`."""
    return seen // every > before // every


@dataclass
class Cadence:
    """Of one kind of interruption."""

    every: int
    """Images; 0 is never."""
    share: float = 1.0
    """Of the time spent training, how much all of them together may take; 1 or more does not count it."""
    seconds: float = 0.0
    """What they have taken in this sitting."""

    def is_due(self, before: int, seen: int, trained: float) -> bool:
        """Whether one is due after `seen` images, and `trained` seconds of this sitting; the same on all processes."""
        if not self.every or not crossed(self.every, before, seen):
            return False
        return self.share >= 1 or from_first(lambda: self.seconds <= self.share * trained)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what the block takes."""
        started = time.monotonic()
        yield
        self.seconds += time.monotonic() - started
