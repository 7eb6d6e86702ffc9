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

    Exit code 1 means that training would fail. What is looked at is said in docs/doctor.md.

    Args:
        data: What --data can be: a folder or zip of images, class folders or two domains; CIFAR batches; bundled:faces.
        data_b: The second domain, where two folders or zips have one each.
        seconds: Train so long to see how fast it goes; 0 leaves that out.

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
