"""What looks at data before training: `ganshift doctor`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from .options import read


def doctor(arguments: Sequence[str]) -> int:
    """Say what data is, what is wrong with it, and what to run on it."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Doctor:
        """Look at images before training: what they are, what is wrong, what to run, how long that takes here.

        Exit code 1 means that training would fail. What is looked at is said in docs/doctor.md.
        """

        data: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATA")]
        """What --data can be: a folder or zip of images, class folders or two domains; CIFAR batches; bundled:faces."""
        data_b: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DATA_B]")] = None
        """The second domain, where two folders or zips have one each."""
        json: tyro.conf.FlagCreatePairsOff[bool] = False
        """Write JSON instead of tables."""
        seconds: float = 5.0
        """Train so long to see how fast it goes; 0 leaves that out."""

    examples = """
        ganshift doctor my-images/
        ganshift doctor photos/ drawings/
        ganshift doctor data.zip --json > report.json
        """
    options = read(Doctor, "doctor", arguments, examples)
    from ..training.log import loading

    with loading():
        from ..tools.doctor import examine

    report = examine(options.data, options.data_b, options.seconds)
    if options.json:
        import json

        sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n")
    else:
        from rich.console import Console

        from ..tools.doctor.screen import show

        show(report, Console(highlight=False))
    return report.exit_code
