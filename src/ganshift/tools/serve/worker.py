"""One thread that computes: one request at a time, each for a bounded time.

Two requests at once would not be faster, since torch uses all cores for one, and would take twice the memory.
"""

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from torch.overrides import TorchFunctionMode

from .limits import Limits
from .refusals import Abandoned, Busy, TooSlow

Result = TypeVar("Result")
LOOK_SECONDS = 0.5
"""How often it is looked whether whoever asked is still there."""


class Worker:
    """Computes in the order of asking; so many may wait as the limits say."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._asked = 0
        """Requests that wait or are computed."""
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ganshift-worker")

    async def run(self, work: Callable[[], Result], gone: Callable[[], Awaitable[bool]]) -> Result:
        """What `work` returns, once its turn has come.

        Raises `Busy` if too many wait already, `TooSlow` if computing takes more than its seconds, and `Abandoned` when
        `gone` says that nobody waits. Cancelling the task ends the computation, too.
        """
        if self._asked > self._limits.queue:
            raise Busy("too many requests are waiting: try again in a minute")
        left = threading.Event()
        compute = contextvars.copy_context().run  # Gradio's progress belongs to the context of its event
        self._asked += 1
        try:
            future = asyncio.get_running_loop().run_in_executor(self._pool, compute, self._compute, work, left)
            future.add_done_callback(lambda done: done.cancelled() or done.exception())  # seen, also if nobody waits
            while not (await asyncio.wait({future}, timeout=LOOK_SECONDS))[0]:
                if self._stopped.is_set():  # whoever asked need not wait until the computation notices
                    future.cancel()
                    raise Abandoned("the server ends")
                if await gone():
                    left.set()
            return await future
        finally:
            self._asked -= 1
            left.set()  # also where this task was cancelled

    def stop(self) -> None:
        """Let what is computed end at the next torch function, and what waits not begin."""
        self._stopped.set()

    def close(self) -> None:
        """Stop, and wait until that is so."""
        self.stop()
        self._pool.shutdown(cancel_futures=True)

    def _compute(self, work: Callable[[], Result], left: threading.Event) -> Result:
        watch = Watch(self._limits.seconds, (left, self._stopped))
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
