"""What looks at data before training: `ganshift doctor`."""

from pathlib import Path

from tyro.conf import Positional

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
