"""One self-contained HTML page that shows what training runs did."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from .chapters import chapter
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
    notes: Mapping[str, Mapping[str, Any]] | None = None,
    command: str = "",
    most_bytes: int = MOST_BYTES,
) -> None:
    """Write one page of one or more run folders: a chapter for each method, in which its runs are laid side by side.

    Runs can be given by label. `notes` say by the label of a run what only who made it knows, and its chapter shows: an
    `introduction` in place of ours, `figures` above the sample grids, others that are `folded`, and `commands` that do
    the same with other images. `command` is what made the page. Whatever is missing of a run is named on the page; a
    `UserError` where a folder holds no run at all.
    """
    folders = dict(runs) if isinstance(runs, Mapping) else labels_of(runs)
    if not folders:
        raise UserError("name at least one run folder")
    if len(folders) > MOST_LOOKS:
        raise UserError(
            f"one page shows at most {MOST_LOOKS} runs, so that their curves can be told apart; got {len(folders)}"
        )
    opened = {label: open_run(path) for label, path in folders.items()}
    methods: dict[str, dict[str, Run]] = {}
    for label, run in opened.items():
        methods.setdefault(run.method.name, {})[label] = run
    said = notes or {}
    chapters = [
        chapter(found, next((said[label] for label in found if label in said), {})) for found in methods.values()
    ]
    named = ", ".join(list(opened)[:3]) + " and more" * (len(opened) > 3)
    render(
        out,
        "report.html.j2",
        title=title or (f"Run {named}" if len(opened) == 1 else f"{len(opened)} runs: {named}"),
        chapters=chapters,
        environment=environment(list(opened.values())),
        seconds=sum(run.seconds for run in opened.values()),
        command=command,
        most_bytes=most_bytes,
    )
