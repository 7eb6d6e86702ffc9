"""What puts trained models on a page: `ganshift serve`."""

import getpass
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from ..errors import UserError
from .options import read

PASSWORD = "GANSHIFT_PASSWORD"


def serve(arguments: Sequence[str]) -> int:
    """Serve trained models as a web app and an HTTP API."""
    import tyro

    from ..tools.serve.limits import Limits

    @dataclass(frozen=True, kw_only=True)
    class Serve(Limits):
        """Serve trained models as a web app and an HTTP API (docs/serving.md), until Ctrl-C.

        Needs pip install 'ganshift[web]'.
        """

        runs: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN...")]
        """Run folders of ganshift transfer and dual, bundled models (digits32), or owner/model of the Hugging Face
        hub."""
        host: str = "127.0.0.1"
        """Address to listen on. On others than this machine's own, everybody who can reach it may use the models."""
        port: int = 7860
        """Port to listen on; 0 for any that is free."""
        username: str | None = None
        """Ask visitors for this name and a password. The password is in GANSHIFT_PASSWORD, or you are asked for it."""
        device: str = "auto"
        """Where to compute."""

    examples = """
        ganshift serve runs/mine
        ganshift serve runs/mine runs/drawings --port 8000
        GANSHIFT_PASSWORD=... ganshift serve runs/mine --host 0.0.0.0 --username friend
        """
    options = read(Serve, "serve", arguments, examples)
    from ..training.log import loading

    try:
        with loading():
            from ..tools.serve.server import serve as serve_runs
    except ImportError as error:
        raise UserError(f"serving needs Gradio: pip install 'ganshift[web]' ({error})") from None
    password = _password(options.username)
    serve_runs(options.runs, options.host, options.port, options, options.username, password, options.device)
    return 0


def _password(username: str | None) -> str:
    """From the environment or the terminal: options can be read by everybody on the machine."""
    given = os.environ.get(PASSWORD, "")
    if username is None:
        if given:
            raise UserError(f"{PASSWORD} is set but no name: give --username, or unset it")
        return ""
    if not username or ":" in username or not username.isprintable():
        raise UserError(f"username must have a visible character and no colon, got {username!r}")
    if not given and sys.stdin.isatty():
        with suppress(EOFError):  # Ctrl-D: none is given
            given = getpass.getpass(f"password for {username}: ")
    if not given:
        raise UserError(f"--username needs a password: put it into the variable {PASSWORD}")
    return given
