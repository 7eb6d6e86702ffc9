"""Several processes that train one run: who this one is, and what they do together.

Accelerate (Hugging Face) starts the processes, or torchrun does, and accelerate knows which device is whose and which
library carries messages between devices of its kind: gloo for processors, NCCL for CUDA, HCCL for Ascend. What is left
is here: the first process speaks and writes for all, and what one of them decides, all do. A process that dies or
hangs ends the others: their next message to it fails, at the latest after `TIMEOUT`.

Nothing here imports torch before there is more than one process.
"""

import atexit
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..data.stop_signals import STOP_SIGNALS
from ..errors import UserError, first_line

if TYPE_CHECKING:
    import torch

TIMEOUT = timedelta(minutes=30)
"""How long a process waits for the others: longer than the first one takes to evaluate and to write."""
Result = TypeVar("Result")


class SaidByFirst(UserError):  # noqa: N818 - the name says why this one need not be shown
    """An error of the first process, which shows it, raised on the others."""


def world_size() -> int:
    """How many processes train this run; launchers say it in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """The number of this process among them."""
    return int(os.environ.get("RANK", "0")) if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this process is the one that speaks and writes."""
    return rank() == 0


def join(name: str) -> "torch.device":
    """Meet the other processes, if there are any, and return the device that this one computes on."""
    from .device import choose_device

    device = choose_device(name)
    if world_size() == 1:
        return device
    if device.type == "mps" or ":" in name:
        raise UserError(
            f"device must be a kind such as cuda, npu or cpu where {world_size()} processes share a run, each with a "
            f"device of its own, got {name}"
        )
    # Its functions take the group of all processes for a default when they are imported, which optimizers do later:
    # the group would outlive its end, and its threads would abort the process where they meet a Python that has ended.
    import torch.distributed.nn  # noqa: F401
    from accelerate import PartialState

    with _together(), _signals_for_this_thread():
        state = PartialState(cpu=device.type == "cpu", timeout=TIMEOUT)
    if state.num_processes != world_size():
        raise UserError(
            f"{world_size()} processes were started, but only {state.num_processes} found each other: use one launcher"
        )
    atexit.register(state.destroy_process_group)
    return device if device.type == "cpu" else state.device


def leave_to_first() -> bool:
    """For what one process does alone: whether this is the one. It goes on as if there were no others."""
    alone = is_first()
    os.environ.pop("WORLD_SIZE", None)
    return alone


def part_of(batch: int) -> slice:
    """Which images of a batch are this process's; parts differ in size by at most one."""
    if batch < world_size():
        raise UserError(f"batch must be at least 1 per process: {world_size()} processes share it, got {batch}")
    return slice(batch * rank() // world_size(), batch * (rank() + 1) // world_size())


def add_up(numbers: "torch.Tensor") -> None:
    """Replace a tensor by its sum over all processes, in place; all of them get the same bits."""
    if world_size() > 1:
        with _together():
            _dist().all_reduce(numbers)


def any_has(flag: bool, device: "torch.device") -> bool:
    """Whether any process says so: the same answer on all."""
    if world_size() == 1:
        return flag
    import torch

    count = torch.tensor(float(flag), device=device)
    add_up(count)
    return count.item() > 0


def from_first(make: Callable[[], Result]) -> Result:
    """What the first process makes, on all; what it raises ends all.

    Between processes the result travels as a pickle, which is safe: they are one run, started by one launcher.
    """
    if world_size() == 1:
        return make()
    box: list[Any] = [None, None]
    failure: BaseException | None = None
    if is_first():
        try:
            box[0] = make()
        except BaseException as error:  # the others must not wait for what will not come
            failure, box[1] = error, first_line(error)
    with _together():
        _dist().broadcast_object_list(box)
    if failure is not None:
        raise failure
    if box[1] is not None:
        raise SaidByFirst(box[1])
    return box[0]


def gathered(mine: Result) -> list[Result]:
    """What every process has, in the order of their ranks, on all of them; it travels as in `from_first`."""
    if world_size() == 1:
        return [mine]
    box: list[Any] = [None] * world_size()
    with _together():
        _dist().all_gather_object(box, mine)
    return box


def shared(makers: Sequence[Callable[[], Result]]) -> Iterator[Result]:
    """What each of these makes, in their order, on all processes; each process makes its share of them."""
    for first in range(0, len(makers), world_size()):
        mine = first + rank()
        made = gathered(makers[mine]() if mine < len(makers) else None)
        for result in made[: len(makers) - first]:
            yield cast(Result, result)


def _dist() -> Any:
    import torch

    return torch.distributed


@contextmanager
def _signals_for_this_thread() -> Iterator[None]:
    """Threads that are started in the block, such as gloo's, are not interrupted by requests to stop."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _together() -> Iterator[None]:
    """Say plainly what it means when a message cannot be delivered."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"another process of this run ended, or did not answer within {TIMEOUT.seconds // 60} minutes; what was "
            f"saved is kept, and the same command goes on from there ({first_line(error)})"
        ) from error
