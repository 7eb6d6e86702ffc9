"""From run folders to a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import UserError
from .chapters import ChapterNotes, chapter
from .page import render
from .pictures import MOST_BYTES
from .plots import MOST_LOOKS
from .runs import Run, environment, labels_of, open_run

PAGE = "report.html"
"""What a page is called if nothing else is said."""


def write_report(
    runs: Sequence[Path] | Mapping[str, Path],
    out: Path,
    *,
    title: str = "",
    introduction: str = "",
    notes: Mapping[str, ChapterNotes] | None = None,
    command: str = "",
    most_bytes: int = MOST_BYTES,
) -> None:
    """Write one page of one or more run folders: a chapter for each method, in which its runs are laid side by side.

    Runs can be given by label; `notes` say by the label of a run what the folders do not tell of its chapter, and
    `command` how the page was made.
    Whatever is missing of a run is named on the page; a `UserError` where a folder holds no run at all.
    """
    folders = dict(runs) if isinstance(runs, Mapping) else labels_of(runs)
    if not folders:
        raise UserError("name at least one run folder")
    if len(folders) > MOST_LOOKS:
        raise UserError(f"one page shows at most {MOST_LOOKS} runs, whose curves look different; got {len(folders)}")
    opened = {label: open_run(path) for label, path in folders.items()}
    by_method: dict[str, dict[str, Run]] = {}
    for label, run in opened.items():
        by_method.setdefault(run.method.name, {})[label] = run
    render(
        out,
        title=title or _title(list(opened)),
        introduction=introduction or _introduction(opened),
        chapters=[chapter(found, _of_any(found, notes or {})) for found in by_method.values()],
        environment=environment(list(opened.values())),
        seconds=sum(run.seconds for run in opened.values()),
        commands=[command] if command else [],
        most_bytes=most_bytes,
    )


def _of_any(runs: Mapping[str, Run], notes: Mapping[str, ChapterNotes]) -> ChapterNotes:
    """The notes on the first of these runs that has any."""
    return next((notes[label] for label in runs if label in notes), ChapterNotes())


def _title(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return f"Run {labels[0]}"
    return f"{len(labels)} runs: {', '.join(labels[:3])}{' and more' if len(labels) > 3 else ''}"


def _introduction(runs: Mapping[str, Run]) -> str:
    if len(runs) > 1:
        return "What these runs did, side by side: pictures, scores, curves, and what their settings differ by."
    return "What this run did: its pictures as they changed, its scores and curves, and how to make it again."
