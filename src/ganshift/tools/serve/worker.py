"""One thread that computes: one request at a time, each for a bounded time.

Two requests at once would not be faster, since torch uses all cores for one, and would take twice the memory.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from torch.overrides import TorchFunctionMode

from .refusals import Abandoned, TooSlow

Result = TypeVar("Result")
LOOK_SECONDS = 0.5
"""How often it is looked whether whoever asked is still there."""


class Worker:
    """Computes in the order of asking. How many may wait is the guard's to say, before it reads what they send."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ganshift-worker")

    async def run(self, work: Callable[[], Result], gone: Callable[[], Awaitable[bool]]) -> Result:
        """What `work` returns, once its turn has come.

        Raises `TooSlow` if computing takes more than its seconds, and `Abandoned` when `gone` says that nobody waits.
        """
        left = threading.Event()
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, self._compute, work, left)
            while not (await asyncio.wait({future}, timeout=LOOK_SECONDS))[0]:
                if self._stopped.is_set():  # whoever asked need not wait until the computation notices
                    future.cancel()
                    raise Abandoned("the server ends")
                if await gone():
                    left.set()
            return await future
        finally:
            left.set()  # also where this task was cancelled

    def stop(self) -> None:
        """Let what is computed end at the next torch function, and what waits not begin."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and wait until that is so."""
        self.stop()
        self._pool.shutdown(cancel_futures=True)

    def _compute(self, work: Callable[[], Result], left: threading.Event) -> Result:
        watch = Watch(self._seconds, (left, self._stopped))
        watch.check()  # it may have been given up while it waited
        with watch:
            return work()


class Watch(TorchFunctionMode):
    """Ends a computation between two torch functions: after so many seconds from now, or after an event."""

    def __init__(self, seconds: float, events: tuple[threading.Event, ...]):
        super().__init__()
        self._seconds, self._events = seconds, events
        self._until = time.monotonic() + seconds

    def check(self) -> None:
        """Raise `TooSlow` or `Abandoned` if it is to end."""
        if any(event.is_set() for event in self._events):
            raise Abandoned("the request was given up")
        if time.monotonic() > self._until:
            raise TooSlow(
                f"this took more than the {self._seconds:g} seconds that a request has here: ask for fewer or smaller "
                "pictures"
            )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.check()
        return func(*args, **(kwargs or {}))
