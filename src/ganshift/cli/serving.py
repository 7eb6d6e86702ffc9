"""What puts trained models on a page: `ganshift serve`."""

import getpass
import os
import sys
from contextlib import suppress
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from ..errors import UserError
from ..tools.serve.limits import Limits
from .options import OPTIONAL, Device, Maybe, command

PASSWORD = "GANSHIFT_PASSWORD"


@command
def serve(
    runs: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN...", help_behavior_hint="(required)")],
    *,
    host: str = "127.0.0.1",
    port: int = 7860,
    host_name: Annotated[tuple[str, ...], OPTIONAL] = (),
    root_path: Annotated[str, OPTIONAL] = "",
    username: Maybe[str] = None,
    device: Device = "auto",
    limits: OmitArgPrefixes[Limits],
) -> int:
    """Serve trained models as a web app and an HTTP API (docs/serving.md), until Ctrl-C.

    Needs pip install 'ganshift[web]'.

    Args:
        runs: Run folders of ganshift transfer and dual, bundled models (digits32, photo-sketch), or owner/model of the
            Hugging Face hub.
        host: Address to listen on. If it is not this machine's own, everybody who can reach it may use the models.
        port: Port to listen on; 0 for any that is free.
        host_name: Names that visitors use for this server, if a proxy forwards them, or if this machine has names other
            than its own host name.
        root_path: Path or whole address under which a proxy serves this, such as /ganshift or
            https://pictures.example.org/ganshift.
        username: Ask visitors for this name and a password. Set the password in GANSHIFT_PASSWORD, or type it when
            asked.

    Examples:
        ganshift serve runs/mine
        ganshift serve runs/mine runs/drawings --port 8000
        ganshift serve runs/mine --host-name pictures.example.org --root-path /ganshift
        GANSHIFT_PASSWORD=... ganshift serve runs/mine --host 0.0.0.0 --username friend
    """
    from ..training.log import loading

    try:
        with loading():
            from ..tools.serve.server import serve as serve_runs
    except ImportError as error:
        raise UserError(f"serving needs Gradio: pip install 'ganshift[web]' ({error})") from None
    serve_runs(runs, host, port, limits, _account(username), device, host_name, _address(root_path))
    return 0


def _address(root_path: str) -> str:
    """Without a slash behind; a path with one in front, and empty for the root itself."""
    path = root_path.strip("/")
    return path if not path or "://" in path else f"/{path}"


def _account(username: str | None) -> tuple[str, str] | None:
    """Name and password, from the environment or the terminal: options can be read by everybody on the machine."""
    given = os.environ.get(PASSWORD, "")
    if username is None:
        if given:
            raise UserError(f"{PASSWORD} is set but no name: give --username, or unset it")
        return None
    if not username or ":" in username or not username.isprintable():
        raise UserError(f"username must have a visible character and no colon, got {username!r}")
    if not given and sys.stdin.isatty():
        with suppress(EOFError):  # Ctrl-D: none is given
            given = getpass.getpass(f"password for {username}: ")
    if not given:
        raise UserError(f"--username needs a password: put it into the variable {PASSWORD}")
    return username, given
