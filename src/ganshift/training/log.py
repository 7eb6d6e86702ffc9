"""Everything a run says: status lines and progress on the terminal, log.jsonl and trackers."""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, cast

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from ..errors import printable
from . import distributed
from .run_folder import EVALUATIONS, LOG, rewind_log
from .trackers import Tracker, open_tracker

PLAIN_SECONDS = 10.0
"""How often a progress line is written where the output is not a terminal."""


class _StandardError:
    """Standard error as it is at the moment of writing, which ends nothing when nobody is at its other end any more.

    A terminal that was closed, or a reader that has left, must not end training: what then cannot be said is lost.
    """

    def write(self, text: str) -> int:
        """Write the text, or lose it."""
        with self._or_lost() as stream:
            stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered, or lose it."""
        with self._or_lost() as stream:
            stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def _stream(self) -> Any:
        return getattr(sys.stderr, "rich_proxied_file", sys.stderr)  # a bar puts itself before standard error

    @contextmanager
    def _or_lost(self) -> Iterator[Any]:
        try:
            yield self._stream
        except OSError:  # whatever else writes there, also below Python or at its end, is to fail no more
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        except (ValueError, RuntimeError):  # it is closed; or a signal's message came in the middle of another
            pass


console = Console(file=cast(IO[str], _StandardError()), highlight=False)
"""Status goes to standard error, so that standard output can be piped."""


_quiet = False


def say_less(quiet: bool) -> None:
    """Leave out, or no longer, what is neither a warning nor an error: progress and ordinary status lines."""
    global _quiet
    _quiet = quiet


def say(message: str, always: bool = False) -> None:
    """Print a status line, or several; square brackets are text, not markup, and control characters are written out.

    Of several processes the first speaks for all. What is said `always` is said to who asked for less, too.
    """
    if distributed.is_first() and (always or not _quiet):
        say_here(message)


def say_here(message: str) -> None:
    """Print a status line from whichever process: what the first may not know."""
    which = "" if distributed.is_first() else f"process {distributed.rank()}: "
    console.print(which + printable(message, keep="\n"), markup=False, soft_wrap=True)


def say_one_line(message: str) -> None:
    """Print an error about something of the user's, whatever characters its names have, as one line, on any process."""
    say_here(printable(message))


@contextmanager
def quiet() -> Iterator[None]:
    """Say nothing inside the block, progress and warnings included."""
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before


def show_table(rows: Sequence[Mapping[str, Any]], unbroken: Collection[str] = ("score", "value")) -> None:
    """Write rows of the same names as a table to standard output; the columns named `unbroken` are never wrapped."""
    table = Table()
    for name in rows[0]:
        table.add_column(escape(name), no_wrap=name in unbroken)
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    Console(highlight=False).print(table)


def show_json(found: object) -> None:
    """Write a result to standard output."""
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def show_warnings() -> None:
    """Send what the package logs to the terminal. Called by the command line; a program sets up its own."""
    logging.getLogger("ganshift").handlers = [_Teller()]


class _Teller(logging.Handler):
    """Says each warning as one status line."""

    def emit(self, record: logging.LogRecord) -> None:
        say(printable(f"{record.levelname.lower()}: {record.getMessage()}"), always=True)


def _fixed(text: str) -> TextColumn:
    return TextColumn(text, markup=False, table_column=Column(no_wrap=True, min_width=1))


class RunLog:
    """log.jsonl of one run, appended to from `images` on, and the trackers that show the same."""

    def __init__(
        self,
        out: Path,
        images: int,
        trackers: Sequence[str] = ("tensorboard",),
        settings: Mapping[str, Any] | None = None,
    ):
        for name in (LOG, EVALUATIONS):
            rewind_log(out / name, images)
        self._evaluations = out / EVALUATIONS
        self._trackers: list[Tracker] = []
        with ExitStack() as opened:
            self._file = opened.enter_context((out / LOG).open("a", encoding="utf-8"))
            for name in trackers:
                self._trackers.append(open_tracker(name, out, images, settings or {}))
                opened.callback(self._trackers[-1].close)
            self.close = opened.pop_all().close

    def write(self, images: int, terms: Mapping[str, float], **more: Any) -> None:
        """Append one line: the images shown so far, further facts, and the named terms."""
        line = {"images": images, **more, "terms": dict(terms)}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        for tracker in self._trackers:
            tracker.scalars(terms, images)

    def write_evaluation(self, line: Mapping[str, Any]) -> None:
        """Append an evaluation: images, the score that counts, signs of health, and cards."""
        with self._evaluations.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        scalars = {f"evaluation/{line['score']['name']}": line["score"]["value"], **line["signs"]}
        scalars |= {f"evaluation/{record['metric']}": record["value"] for record in line["cards"]}
        for tracker in self._trackers:
            tracker.scalars(scalars, line["images"])

    def image(self, name: str, pixels: Any, images: int) -> None:
        """Show a sheet of uint8 pixels (h, w, c)."""
        for tracker in self._trackers:
            tracker.image(name, pixels, images)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Show on a terminal that something goes on whose length nobody knows; elsewhere say nothing."""
    with ExitStack() as stack:
        if console.is_terminal and distributed.is_first() and not (_quiet or console.quiet):
            stack.enter_context(console.status(what))
        yield


def loading() -> AbstractContextManager[None]:
    """The same while PyTorch and what stands on it are imported, which takes seconds."""
    return working("loading PyTorch")


def duration(seconds: float) -> str:
    """Time for people: 42 s, 5 min 12 s, 3 h 20 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if whole else "less than a second"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _speed(per_second: float, unit: str = "") -> str:
    """How fast things go: 85 images/s, or 3.2 s each where one takes longer than a second."""
    if 0 < per_second < 1:
        return f"{1 / per_second:,.1f} s each"
    return f"{per_second:,.0f}{' ' * bool(unit)}{unit}/s"


class ProgressLine:
    """A live bar on a terminal, and a plain line now and then elsewhere: what is done, how fast, how much is left."""

    def __init__(self, description: str, total: int, done: int = 0, unit: str = "images"):
        self._description, self.total, self._unit = description, total, unit
        self._start_done = self._done = done
        self._started = self._last_line = time.monotonic()
        self._note = ""
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def __enter__(self) -> "ProgressLine":
        if console.is_terminal and distributed.is_first() and not _quiet:
            self._bar = Progress(
                _fixed("{task.description}"),
                BarColumn(bar_width=16),
                _fixed("{task.completed:,.0f}/{task.total:,.0f}"),
                _fixed("{task.fields[speed]}"),
                TimeRemainingColumn(compact=True),
                TextColumn(
                    "{task.fields[note]}", style="dim", markup=False, table_column=Column(ratio=1, no_wrap=True)
                ),
                console=console,
                expand=True,  # the note takes what is left of the width, and is cut off before anything else is
            )
            self._task = self._bar.add_task(
                self._description, total=self.total, completed=self._done, speed="", note=""
            )
            self._bar.start()
        return self

    def update(self, done: int, note: str = "") -> None:
        """Say how far things are; an empty note leaves the last one standing."""
        self._done, self._note = done, printable(note) or self._note
        now = time.monotonic()
        speed = (done - self._start_done) / max(now - self._started, 1e-9)
        if self._bar:
            self._bar.update(self._task, completed=done, speed=_speed(speed, self._unit), note=self._note)
        elif now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            left = f", {_speed(speed)}, {duration((self.total - done) / speed)} left" if speed else ""
            say(f"{self._description} {done:,}/{self.total:,} {self._unit}{left}  {self._note}")

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()


@contextmanager
def opening_progress() -> Iterator[Callable[[int, int], None]]:
    """Show that files are listed, and then how many images have been opened."""
    with ExitStack() as stack:
        stack.enter_context(working("listing images"))
        line: ProgressLine | None = None

        def update(done: int, total: int) -> None:
            nonlocal line
            if line is None or line.total != total:  # another set, or another pass over it
                stack.close()
                line = stack.enter_context(ProgressLine("opening images", total))
            line.update(done)

        yield update
