"""What stands before the page and the API: who may ask, what for, how much and how often.

Host names, passwords, sizes and the closing of CORS are Starlette's. Gradio brings some sixty routes, of which those
that the page and `gradio_client` use are let through; and it would fetch, for an event, files from other servers.
"""

import base64
import binascii
import ipaddress
import json
import math
import os
import re
import secrets
import socket
import time
from collections import Counter
from collections.abc import Collection
from typing import Any, final
from urllib.parse import urlsplit

from fastapi import FastAPI
from gradio.utils import get_upload_folder
from gradio_client.utils import is_file_obj, traverse  # type: ignore[import-untyped]
from starlette.authentication import AuthCredentials, AuthenticationBackend, AuthenticationError, SimpleUser
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .limits import FILES_AT_ONCE, MAX_JSON_BYTES, Limits

FORM_BYTES = 65_536
"""What a form has beside its files."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Of this machine, on which other servers may have other pages."""
OPEN = "/healthz"
"""Needs no password."""
READ = re.compile(
    r"/|/config|/theme\.css|/favicon\.ico|/manifest\.json|/openapi\.json|/healthz|/api/models"
    r"|/(assets|static)(/(?!\.)[\w@.+-]+)+"
    r"|/gradio_api/(info|queue/data|upload_progress|startup-events|heartbeat/[\w-]{1,64})",
    re.ASCII,
)
"""Addresses that may be read, beside the files in Gradio's folder."""
EVENT = "/gradio_api/queue/join"
"""Where the page sends what its controls hold."""
CANCEL = "/gradio_api/cancel"
SESSION = re.compile(r"[\w-]{1,64}", re.ASCII)
"""What a visitor's page calls itself. Gradio makes names of it, in which others could stand for two."""
OF_A_PROXY = (b"x-forwarded-host", b"x-gradio-server")
"""Headers by which Gradio lets a request say what the address of this server is."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The page may talk to this server alone. Gradio makes functions of texts and of blobs.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
}


def protect(
    app: FastAPI,
    limits: Limits,
    account: tuple[str, str] | None = None,
    hosts: Collection[str] | None = None,
    proxied: bool = False,
) -> FastAPI:
    """The application behind its guards.

    `hosts` are the names that it answers to: addresses and this machine's own if None. `proxied` says whether a proxy
    tells who asks.
    """
    app.add_middleware(CORSMiddleware)  # lets no other site read, and Gradio leaves out its own, which lets many
    app.add_middleware(Guard, limits=limits, hosts=hosts or (), proxied=proxied)
    if account:
        backend = Account(*account, Rates(limits.requests_per_minute))
        app.add_middleware(AuthenticationMiddleware, backend=backend, on_error=_ask_for_password)
    names = ("localhost", socket.gethostname()) if hosts is None else hosts
    app.add_middleware(Names, names=names, or_addresses=hosts is None)
    return app


class Names(TrustedHostMiddleware):
    """Lets through what asks for a server of these names, since a page of another may be one that leads here."""

    def __init__(self, app: ASGIApp, names: Collection[str], or_addresses: bool):
        super().__init__(app, [f"[{name}]" if ":" in name else name for name in names], www_redirect=False)
        self._or_addresses = or_addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it through."""
        if self._or_addresses and scope["type"] == "http" and is_address(Headers(scope=scope).get("host", "")):
            return await self.app(scope, receive, send)
        return await super().__call__(scope, receive, send)


@final
class Rates:
    """How often each address has asked in this minute."""

    def __init__(self, per_minute: int):
        self._per_minute, self._minute = per_minute, 0
        self._asked: Counter[str] = Counter()

    def wait(self, client: str) -> int:
        """The seconds until this address may ask again: 0 if it may."""
        now = time.monotonic()
        if (minute := int(now // 60)) != self._minute:
            self._minute = minute
            self._asked.clear()
        return 0 if self._asked[network(client)] < self._per_minute else math.ceil(60 - now % 60) or 1

    def take(self, client: str) -> None:
        """Count one request of this address."""
        self._asked[network(client)] += 1


def network(client: str) -> str:
    """An address; of IPv6 the network of 64 bits, since one machine has all of its addresses."""
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv4Address) or address.ipv4_mapped:
        return client
    return str(ipaddress.ip_network((address, 64), strict=False))


def is_address(place: str) -> bool:
    """Whether a host is given by its number, with or without a port."""
    try:
        ipaddress.ip_address(_name(place))
    except ValueError:
        return False
    return True


@final
class Account(AuthenticationBackend):
    """The one who may use a server, by HTTP Basic (RFC 7617), which covers the page, its files and the API alike."""

    def __init__(self, username: str, password: str, wrong: Rates):
        self._expected, self._wrong = f"{username}:{password}".encode(), wrong

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        """Raises `AuthenticationError` for whoever is not the one, and for all while too many have guessed."""
        header, client = conn.headers.get("authorization", ""), _client(conn.scope)
        if _path(conn.scope) == OPEN:
            return None
        if header:  # a browser first asks without
            if wait := self._wrong.wait(client):  # whatever is given: else guessing on would find the right one
                raise AuthenticationError(wait)
            if self._is_right(header):
                return AuthCredentials(), SimpleUser("")
            self._wrong.take(client)
        raise AuthenticationError

    def _is_right(self, header: str) -> bool:
        scheme, _, coded = header.partition(" ")
        try:
            given = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and secrets.compare_digest(given, self._expected)


def _ask_for_password(conn: HTTPConnection, error: Exception) -> Response:
    if error.args:
        return _too_often(error.args[0])
    headers = {"WWW-Authenticate": 'Basic realm="ganshift"'}
    return _refusal(401, "a user name and password are needed", headers)


def _too_often(seconds: int) -> Response:
    return _refusal(429, f"too many requests: try again in {seconds} s", {"Retry-After": str(seconds)})


def _refusal(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"detail": sentence}, status, headers)


@final
class Guard:
    """Lets through the known addresses only, and of requests that send something those of this site, in their size."""

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Collection[str], proxied: bool):
        self._app, self._hosts, self._proxied = app, frozenset(hosts) - LOOPBACK_NAMES, proxied
        self._rates = Rates(limits.requests_per_minute)
        upload = limits.max_upload_bytes
        sizes = {
            "/api/generate": MAX_JSON_BYTES,
            "/api/translate": upload + FORM_BYTES,
            "/gradio_api/upload": FILES_AT_ONCE * upload + FORM_BYTES,
            CANCEL: MAX_JSON_BYTES,
            "/gradio_api/reset": MAX_JSON_BYTES,
            EVENT: MAX_JSON_BYTES,
        }
        self._sends = {path: RequestBodyLimitMiddleware(self._checked, size) for path, size in sizes.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it through."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        send, path = _with_headers(send), _path(scope)
        if not self._proxied:
            scope = {**scope, "headers": [each for each in scope["headers"] if each[0] not in OF_A_PROXY]}
        app: ASGIApp = self._sends.get(path) or self._app
        if path not in self._sends and not (READ.fullmatch(path) or _is_file_of_gradio(path)):
            app = _refusal(404, "there is nothing at this address")
        elif scope["method"] not in (allowed := ("POST",) if path in self._sends else ("GET", "HEAD")):
            allow = {"Allow": ", ".join(allowed)}
            app = _refusal(405, f"this address takes {' and '.join(allowed)} only", allow)
        elif path in self._sends and not self._is_of_this_site(Headers(scope=scope)):
            app = _refusal(403, "other sites may not send requests here")
        elif path in self._sends:
            if wait := self._rates.wait(client := _client(scope)):
                app = _too_often(wait)
            self._rates.take(client)
        elif not path.startswith("/gradio_api/"):
            scope = {**scope, "query_string": b""}  # by which Gradio would load states and other pages
        return await app(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let an event through if the files that it names were uploaded; whatever else it may name is not fetched."""
        if _path(scope) in (EVENT, CANCEL):
            body = await Request(scope, receive).body()
            try:
                event = json.loads(body)
                traverse(event, _check_uploaded, is_file_obj)
            except (ValueError, RecursionError):
                return await _refusal(400, "an event takes uploaded files only")(scope, receive, send)
            if not isinstance(event, dict) or not SESSION.fullmatch(str(event.get("session_hash"))):
                sentence = "an event has a session_hash of 1 to 64 letters, digits, _ and -"
                return await _refusal(400, sentence)(scope, receive, send)
            receive = _replay(body, receive)
        return await self._app(scope, receive, send)

    def _is_of_this_site(self, headers: Headers) -> bool:
        """By what a browser says of the page that asks; programs say nothing.

        Browsers leave out Sec-Fetch-Site where a server is asked by plain HTTP, but for this machine's own.
        """
        if (site := headers.get("sec-fetch-site")) is not None:
            return site in ("same-origin", "none")
        origin = headers.get("origin")
        if origin is None:
            return True
        try:
            asking = urlsplit(origin).netloc
        except ValueError:  # half an address of IPv6
            return False
        return asking == headers.get("host", "") or _name(asking) in self._hosts


def _name(place: str) -> str:
    """Without the port."""
    return re.sub(r":\d*$", "", place).strip("[]").lower()


def _path(scope: Scope) -> str:
    return str(scope["path"].removeprefix(scope.get("root_path", "")))


def _client(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _is_file_of_gradio(path: str) -> bool:
    place, start, name = path.partition("/gradio_api/file=")
    return not place and bool(start) and _is_uploaded(name)


def _is_uploaded(name: str) -> bool:
    """Whether this is a file in the folder of uploads and results, by its own name: no link, nothing with `..`."""
    if not name.startswith(f"{get_upload_folder()}/"):
        return False
    return os.path.isfile(name) and os.path.realpath(name) == name  # noqa: PTH113 - Path's raises for long names


def _check_uploaded(file: dict[str, Any]) -> dict[str, Any]:
    if not _is_uploaded(file["path"]) or str(file.get("url")).startswith("data:"):
        raise ValueError
    traverse(list(file.values()), _check_uploaded, is_file_obj)  # Gradio looks into it, too
    return file


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_headers(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(raw=message["headers"]).update(HEADERS)
        await send(message)

    return send_with
