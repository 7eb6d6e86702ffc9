"""What looks at images before training, and shows runs after it: `ganshift doctor` and `report`."""

import shlex
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from ..errors import UserError
from .options import Json, Maybe, command


@command
def doctor(
    data: Positional[Path], data_b: Positional[Maybe[Path]] = None, *, json: Json = False, seconds: float = 5.0
) -> int:
    """Look at images before training: what they are, what is wrong, what to run, how long that takes here.

    Exit code 1 means that training would fail. docs/doctor.md lists what it may find.

    Args:
        data: What --data can be: a folder or zip of images, class folders or two domains; CIFAR batches; bundled:faces.
        data_b: The second domain, if each has its own folder or zip.
        seconds: How long to train to measure the speed; 0 skips that.

    Examples:
        ganshift doctor my-images/
        ganshift doctor photos/ drawings/
        ganshift doctor data.zip --json > report.json
    """
    from ..training.log import loading, show_json

    with loading():
        from ..tools.doctor import examine

    report = examine(data, data_b, seconds)
    if json:
        show_json(report.to_json())
    else:
        from rich.console import Console

        from ..tools.doctor.screen import show

        show(report, Console(highlight=False))
    return report.exit_code


@command
def report(
    runs: Annotated[Positional[tuple[Path, ...]], arg(metavar="RUN...", help_behavior_hint="(required)")],
    *,
    out: Annotated[Maybe[Path], arg(aliases=["-o"])] = None,
) -> int:
    """Write one page that shows what a run did, or compares several: one file under 10 MB that loads nothing.

    It shows sample sheets, scores, curves, health warnings, nearest neighbours, differing settings and the commands
    that repeat the runs, and names what a run lacks. More in docs/report.md.

    Args:
        runs: Run folders of ganshift transfer or dual.
        out: The page. Default: report.html in the run folder, or here for several runs.

    Examples:
        ganshift report runs/mine
        ganshift report runs/scratch runs/mine -o compared.html
    """
    from ..training.log import loading, say

    with loading():
        from ..tools.report import PAGE, write_report

    if out and (out.is_dir() or (out.is_file() and out.suffix.lower() not in (".html", ".htm"))):
        raise UserError(f"--out {out} is there, but is not a page: give a name that ends in .html")
    typed = ["ganshift", "report", *map(str, runs), *(["-o", str(out)] if out else [])]
    page = out or (runs[0] / PAGE if len(runs) == 1 else Path(PAGE))
    write_report(runs, page, command=shlex.join(typed))
    say(f"wrote {page}. Next: open it in a browser")
    return 0
