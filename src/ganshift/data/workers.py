"""Processes that read files ahead of the one that uses them.

They begin as the system's others do: a fork server would run scripts without a main guard once more in each of them.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch.utils.data import DataLoader, Dataset

from ..errors import UserError, first_line
from .stop_signals import STOP_SIGNALS

LOOK_SECONDS, LONGEST_WAIT = 5, 600
"""How often it is looked whether workers are alive; and seconds for one batch: a disk that takes longer is gone."""


def read_ahead(
    reader: Dataset[Any], batches: Iterable[Int64[np.ndarray, " n"]], workers: int
) -> Generator[Any, None, None]:
    """What `reader.__getitems__` makes of each batch of numbers, in order; without workers, in this process.

    Close the iterator to end the workers.
    """
    before = signal.getsignal(signal.SIGCHLD)
    loader = iter(
        DataLoader(
            reader,
            batch_sampler=batches,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=_as_it_is,
            worker_init_fn=_leave_to_parent,
            timeout=LOOK_SECONDS if workers else 0,
            generator=torch.Generator(),  # or else starting it would draw from the global one, which training uses
        )
    )
    if signal.getsignal(signal.SIGCHLD) is not before:  # torch would raise wherever the program is when a worker ends
        signal.signal(signal.SIGCHLD, before)
    while True:
        try:
            found = _patiently(loader)
        except StopIteration:
            return
        yield found


def _patiently(loader: Iterator[Any]) -> Any:
    """The next batch of workers; a `UserError` if they are gone, or take for ever."""
    for _ in range(LONGEST_WAIT // LOOK_SECONDS):
        try:
            return next(loader)
        except RuntimeError as error:
            if "DataLoader timed out" in str(error):
                reason = f"no image in {LONGEST_WAIT} seconds, the disk does not answer"
            elif "DataLoader worker" in str(error):
                reason = f"they ended ({first_line(error)}) and may have run out of memory"
                break
            else:
                raise
    raise UserError(f"the processes that read images ahead failed: {reason}; --workers 0 reads in the main process")


def _as_it_is(found: Any) -> Any:
    return found


def _leave_to_parent(worker: int) -> None:
    """The parent says what workers find, and ends them: a signal may reach the whole group of processes."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    logging.getLogger("ganshift").setLevel(logging.ERROR)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    """End a worker whose parent was killed: it would wait for ever for somebody to read its batches."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
