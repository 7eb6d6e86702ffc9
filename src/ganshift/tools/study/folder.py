"""The folder of a study: where its cells lie, which are finished or failed, and who is at work on which."""

import errno
import fcntl
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from ...errors import UserError
from ...training.run_folder import MODEL, write_json, write_text
from .recipe import Cell, Recipe

RECIPE = "recipe.toml"
"""The recipe as it was used."""
STATE = "state"
"""Folder of what is known of each cell."""


TAKEN = (errno.EWOULDBLOCK, errno.EACCES)
"""What the system answers when another process holds a lock."""

logger = logging.getLogger("ganshift")


@final
@dataclass(frozen=True)
class StudyFolder:
    """The folder that the cells of a recipe are trained in."""

    path: Path

    def open(self, recipe: Recipe) -> None:
        """Make the folder and keep the recipe in it."""
        try:
            (self.path / STATE).mkdir(parents=True, exist_ok=True)
            with self.writing():
                write_text(self.path / RECIPE, recipe.text)
        except OSError as error:
            raise UserError(f"cannot write to --out {self.path}: {error.strerror}") from error

    def run(self, cell: Cell) -> Path:
        """The run folder of a cell."""
        return self.path / cell.place

    def record_path(self, cell: Cell) -> Path:
        """Where it says that the cell is finished, and what came of it."""
        return self._state(cell, "json")

    def failure_path(self, cell: Cell) -> Path:
        """Where it says why the cell failed when it was tried last."""
        return self._state(cell, "failed.txt")

    def messages_path(self, cell: Cell) -> Path:
        """What the cell said while it was trained."""
        return self._state(cell, "messages.txt")

    def record(self, cell: Cell) -> dict[str, Any] | None:
        """What came of a finished cell; None if it is not finished, or was with other settings."""
        try:
            record = json.loads(self.record_path(cell).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return None
        same = record["settings"] == dict(cell.settings) and record["evaluation"] == cell.evaluation
        return record if same and (self.run(cell) / MODEL).exists() else None

    def finish(self, cell: Cell, found: Mapping[str, Any]) -> None:
        """Say that a cell is finished, and what came of it."""
        write_json(self.record_path(cell), {"settings": cell.settings, "evaluation": cell.evaluation, **found})
        self.failure_path(cell).unlink(missing_ok=True)

    def failure(self, cell: Cell) -> str | None:
        """Why the cell failed when it was tried last; None if it did not."""
        try:
            return self.failure_path(cell).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def fail(self, cell: Cell, reason: str) -> None:
        """Keep why a cell failed."""
        write_text(self.failure_path(cell), reason + "\n")

    def claim(self, cell: Cell) -> int | None:
        """A descriptor that holds the cell for as long as it is open, here or in a child; None if another has it.

        The system lets go of it when the last process that has it open ends, however it ends. Folders that machines
        share must pass such locks on (flock): NFS of version 4 does, Lustre when it is mounted with -o flock.
        """
        descriptor = os.open(self._state(cell, "lock"), os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in TAKEN:
                os.close(descriptor)
                return None
            logger.warning("%s cannot be locked (%s): let one process alone work on it", self.path, error.strerror)
        return descriptor

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait for other processes that write what belongs to the whole study: its recipe, its results."""
        descriptor = os.open(self.path / STATE / "results.lock", os.O_CREAT | os.O_RDWR, 0o666)
        try:
            with suppress(OSError):  # where there are no locks, `claim` says so
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _state(self, cell: Cell, ending: str) -> Path:
        return self.path / STATE / f"{cell.place.replace('/', '-')}.{ending}"
