"""What shows runs: `ganshift report`."""

import shlex
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..errors import UserError
from .options import Maybe, command


@command
def report(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...", help_behavior_hint="(required)")],
    *,
    out: Annotated[Maybe[Path], arg(aliases=["-o"])] = None,
) -> int:
    """Write one page that shows what a run did, or lays several side by side; it loads nothing and is under 10 MB.

    Pictures as they changed, scores, curves, messages on health, nearest neighbours, what the settings differ by,
    and the commands that make the runs again. What is missing of a run is named. More in docs/report.md.

    Args:
        runs: Run folders of ganshift transfer or dual.
        out: The page; report.html in the folder of the run if left out, here if there are several.

    Examples:
        ganshift report runs/mine
        ganshift report runs/scratch runs/mine -o compared.html
    """
    from ..training.log import loading, say

    with loading():
        from ..tools.report import PAGE, write_report

    if out and out.is_file() and out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {out} is a file, and no page to replace: name one that ends in .html")
    typed = ["ganshift", "report", *map(str, runs), *(["-o", str(out)] if out else [])]
    page = out or (runs[0] / PAGE if len(runs) == 1 else Path(PAGE))
    write_report(runs, page, command=shlex.join(typed))
    say(f"wrote {page}. Next: open it in a browser")
    return 0
