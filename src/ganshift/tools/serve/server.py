"""The server from beginning to end: an address, an application behind its guards, and a clean end."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...errors import UserError
from ...training.log import say
from .api import create_api
from .guard import LOOPBACK_NAMES, is_address, network, protect
from .limits import MEGABYTE, Limits
from .page import LOOK, build_page
from .shelf import Shelf, open_runs
from .worker import Worker

GRACE_SECONDS = 3
"""Requests that are answered when the end is asked for have this long."""
CONNECTIONS = 512
"""More at a time are turned away."""
CONNECTIONS_EACH = 128
"""Of one address. A browser opens six, and several visitors may share an address."""
HEAD_SECONDS = 15
"""A connection that has not sent the head of a request by then is closed, so that idle ones cannot hold all places."""
BODY_SECONDS = 60
"""For each megabyte of what follows the head."""

logger = logging.getLogger("ganshift")


def serve(
    runs: Sequence[str | Path],
    host: str,
    port: int,
    limits: Limits,
    account: tuple[str, str] | None = None,
    device: str = "auto",
    host_names: Collection[str] = (),
    root_path: str = "",
) -> None:
    """Serve until SIGINT or SIGTERM, which then end the process as they would have.

    `account` is a name and a password. Behind a proxy, `host_names` are the names by which visitors call it, and
    `root_path` is the path or the whole address that it serves this at.
    """
    limits.check()
    with _ending_late(), _listen(host, port) as listener, TemporaryDirectory(prefix="ganshift-") as folder:
        if account is None and not _is_loopback(host):
            logger.warning("everybody who can reach %s may use these models: --username asks for a password", host)
        # Uploads and results go to a folder of this server alone, which ends with it.
        os.environ |= dict.fromkeys(("GRADIO_TEMP_DIR", "GRADIO_EXAMPLES_CACHE"), str(Path(folder).resolve()))
        shelf = open_runs(runs, device)
        worker = Worker(limits)
        try:
            named, proxied = host_names or _is_loopback(host) or not is_address(host), bool(host_names or root_path)
            hosts = LOOPBACK_NAMES | {host, *map(str.lower, host_names)} if named else None
            app = protect(create_app(shelf, limits, worker, root_path), limits, account, hosts, proxied)
            server = _Server(_address(host, listener.getsockname()[1]), app, worker, proxied)
            server.run(sockets=[listener])
            if server.interrupted:  # uvicorn raises it again, which is lost where SIGINT is ignored, as in a shell's &
                raise KeyboardInterrupt
        finally:
            worker.close()


class _Ended(BaseException):
    """SIGTERM has come."""


@contextmanager
def _ending_late() -> Iterator[None]:
    """SIGTERM ends the process, but only once the block is left, so that nothing of it stays behind."""

    def end(*_: object) -> None:
        raise _Ended

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _Ended:
        signal.signal(signal.SIGTERM, before)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def create_app(shelf: Shelf, limits: Limits, worker: Worker, root_path: str = "") -> FastAPI:
    """The API, and the page at its root."""
    api = create_api(shelf, limits, worker)
    api.root_path = urlsplit(root_path).path
    page = build_page(shelf, limits, worker)
    gr.mount_gradio_app(api, page, "/", root_path=root_path or None, max_file_size=limits.max_upload_bytes, **LOOK)
    page.has_launched = True  # only then does Gradio look whether files that an event names were uploaded
    return api


class _Connection(H11Protocol):
    """Closed if a request comes too slowly, or too many are open of one address, which uvicorn has no limits for."""

    _waiting: asyncio.TimerHandle | None = None
    _for: int | None = None
    """What is waited for: -1 for a head, else the megabyte that is received."""
    _received = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        same = [each for each in self.connections if _network(each) == _network(self)]
        if len(same) > CONNECTIONS_EACH and not self.config.proxy_headers:  # all may come from the proxy
            transport.close()
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._received += len(data)
        self._wait()

    def _wait(self) -> None:
        wanted: int | None = -1
        if self.cycle is not None and not self.cycle.response_complete:
            wanted = self._received // MEGABYTE if self.cycle.more_body else None
        if wanted == self._for:
            return
        if self._waiting is not None:
            self._waiting.cancel()
        self._for, seconds = wanted, HEAD_SECONDS if wanted == -1 else BODY_SECONDS
        self._waiting = None if wanted is None else self.loop.call_later(seconds, self.transport.close)


def _network(connection: Any) -> str:
    return network((connection.client or ("",))[0])


class _Server(uvicorn.Server):
    """Says one line once it answers, and first of all ends what is computed when it is to end."""

    def __init__(self, address: str, app: FastAPI, worker: Worker, behind_proxy: bool = False):
        super().__init__(
            uvicorn.Config(
                app,
                http=_Connection,
                log_level="warning",
                access_log=False,
                lifespan="on",
                ws="none",
                proxy_headers=behind_proxy,  # uvicorn takes those of a proxy on this machine
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
