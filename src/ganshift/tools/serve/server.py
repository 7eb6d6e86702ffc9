"""The server from beginning to end: an address, an application behind a guard, and a clean end."""

import logging
import signal
import socket
from collections.abc import Collection, Sequence
from ipaddress import ip_address
from pathlib import Path
from types import FrameType

import uvicorn

from ...errors import UserError
from ...training.log import say
from .api import create_api
from .guard import Account, Guard
from .limits import Limits
from .page import mount_page
from .shelf import Shelf, open_runs
from .worker import Worker

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
GRACE_SECONDS = 3
"""Requests that are answered when the end is asked for have this long."""
CONNECTIONS = 512
"""More at a time are turned away."""

logger = logging.getLogger("ganshift")


def serve(
    runs: Sequence[str | Path],
    host: str,
    port: int,
    limits: Limits,
    username: str | None = None,
    password: str = "",
    device: str = "auto",
) -> None:
    """Serve until SIGINT or SIGTERM, which then end the process as they would have."""
    limits.check()
    account = None if username is None else Account(username, password)
    with _listen(host, port) as listener:  # first, since loading takes longer than finding the port taken
        if account is None and not _is_loopback(host):
            logger.warning("everybody who can reach %s may use these models: --username asks for a password", host)
        shelf = open_runs(runs, device)
        worker = Worker(limits.seconds)
        try:
            app = create_app(shelf, limits, worker, account, LOOPBACK_NAMES | {host} if _is_loopback(host) else None)
            server = _Server(_address(host, listener.getsockname()[1]), app, worker)
            server.run(sockets=[listener])
            if server.interrupted:  # uvicorn raises it again, which is lost where SIGINT is ignored, as in a shell's &
                raise KeyboardInterrupt
        finally:
            worker.close()


def create_app(
    shelf: Shelf, limits: Limits, worker: Worker, account: Account | None, hosts: Collection[str] | None
) -> Guard:
    """The page and the API behind the guard."""
    return Guard(mount_page(create_api(shelf, limits, worker), shelf, limits), limits, account, hosts)


class _Server(uvicorn.Server):
    """Says one line once it answers, and first of all ends what is computed when it is to end."""

    def __init__(self, address: str, app: Guard, worker: Worker):
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                access_log=False,
                lifespan="on",
                ws="none",
                proxy_headers=False,  # anyone could say to be somebody else
                server_header=False,
                limit_concurrency=CONNECTIONS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._address, self._worker = address, worker
        self.interrupted = False
        """Whether SIGINT has come."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            say(f"serving on {self._address} (Ctrl-C ends)")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.interrupted |= sig == signal.SIGINT
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._worker.stop()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port < 65536:
        raise UserError(f"port must be from 0 to 65535, got {port}")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: a name that no machine can have
        raise UserError(
            f"cannot serve on {host} port {port} ({getattr(error, 'strerror', error)}): give another --host or --port, "
            "or --port 0 for a free one"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
