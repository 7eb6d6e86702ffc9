"""One self-contained HTML page that shows what training runs did.

`write_report` makes one of run folders. A page is made of chapters, and a chapter of parts: studies and the demo bring
some of their own, and `render` writes a page of any.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...errors import UserError
from .chapters import ChapterNotes, chapter
from .page import Chapter, Commands, Facts, Figure, Listing, Notices, Panels, Part, Slider, Table, render
from .pictures import MOST_BYTES, to_png
from .plots import MOST_LOOKS, looks, plot_curves
from .runs import Run, environment, labels_of, open_run

__all__ = [
    "PAGE",
    "Chapter",
    "ChapterNotes",
    "Commands",
    "Facts",
    "Figure",
    "Listing",
    "Notices",
    "Panels",
    "Part",
    "Run",
    "Slider",
    "Table",
    "environment",
    "looks",
    "open_run",
    "plot_curves",
    "render",
    "to_png",
    "write_report",
]
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
    chapters: dict[str, dict[str, Run]] = {}
    for label, run in opened.items():
        chapters.setdefault(run.method.name, {})[label] = run
    said = notes or {}
    named = ", ".join(list(opened)[:3]) + " and more" * (len(opened) > 3)
    if len(opened) == 1:
        title = title or f"Run {named}"
        about = "What this run did: its pictures as they changed, its scores and curves, and how to make it again."
    else:
        title = title or f"{len(opened)} runs: {named}"
        about = "What these runs did, side by side: pictures, scores, curves, and what their settings differ by."
    render(
        out,
        title=title,
        introduction=introduction or about,
        chapters=[
            chapter(found, next((said[label] for label in found if label in said), ChapterNotes()))
            for found in chapters.values()
        ],
        environment=environment(list(opened.values())),
        seconds=sum(run.seconds for run in opened.values()),
        commands=[command] if command else [],
        most_bytes=most_bytes,
    )
