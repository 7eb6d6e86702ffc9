"""What shows runs: `ganshift report`."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from ..errors import UserError
from .options import read


def report(arguments: Sequence[str]) -> int:
    """Write a page that shows one or more runs."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Report:
        """Write one page that shows what a run did, or lays several side by side; it loads nothing and is under 10 MB.

        Pictures as they changed, scores, curves, messages on health, nearest neighbours, what the settings differ by,
        and the commands that make the runs again. What is missing of a run is named. More in docs/report.md.
        """

        runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
        """Run folders of ganshift transfer or dual."""
        out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = None
        """The page; report.html in the folder of the run if left out, here if there are several."""

    examples = """
        ganshift report runs/mine
        ganshift report runs/scratch runs/mine -o compared.html
        """
    options = read(Report, "report", arguments, examples)
    from ..training.log import loading, say

    with loading():
        from ..tools.report import PAGE, write_report

    if options.out and options.out.is_file() and options.out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--out {options.out} is a file, and no page to replace: name one that ends in .html")
    out = options.out or (options.runs[0] / PAGE if len(options.runs) == 1 else Path(PAGE))
    write_report(options.runs, out, command=shlex.join(["ganshift", "report", *arguments]))
    say(f"wrote {out}. Next: open it in a browser")
    return 0
