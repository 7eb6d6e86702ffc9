"""What stands before everything else: who may ask, what for, how much and how often.

Gradio brings some forty routes of its own, among them ones that take files, give out files and fetch from elsewhere.
Only those that its page needs are let through; all work is done by our own API, which knows no names of files.
"""

import asyncio
import base64
import binascii
import re
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from dataclasses import dataclass
from typing import Any, final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from .api import error_response
from .limits import MAX_JSON_BYTES, Limits
from .rates import Rates, network

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

BODY_SECONDS = 60.0
"""An upload must be here by then."""
PATIENCE = 4
"""So many times the longest body is read, and let go, before the connection is cut: clients listen when they have sent
all, and would learn nothing from a connection that ends before."""
SHARE_OF_PLACES = 0.75
"""Of the places in the queue, what one address may hold with requests that are still on their way. Else a client that
sends slowly could keep all others out."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
"""Of this machine, on which other servers may have other pages."""
OPEN = frozenset({"/healthz"})
"""Needs no password."""
PAGES = frozenset({"/", "/page.js", "/config", "/theme.css", "/favicon.ico", "/api/models", "/openapi.json", *OPEN})
GRADIO_FILES = re.compile(r"/(assets|static)(/(?!\.)[\w@.+-]+)+|/manifest\.json")
"""What Gradio's page loads: scripts and styles that it ships."""
WORK = frozenset({"/api/generate", "/api/translate"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # The page may talk to this server alone. Gradio makes functions of texts, hence unsafe-eval.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; object-src 'none'; "
        "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    ),
}


@final
@dataclass(frozen=True)
class Account:
    """The one who may use a server."""

    username: str
    password: str

    def is_named_by(self, header: str) -> bool:
        """Whether an Authorization header has this name and password (RFC 7617); takes as long for any wrong one."""
        scheme, _, coded = header.partition(" ")
        try:
            given = base64.b64decode(coded, validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and secrets.compare_digest(given, f"{self.username}:{self.password}".encode())


@final
class Refused(Exception):  # noqa: N818
    """A status, a sentence and headers for whoever asked."""

    def __init__(self, status: int, sentence: str, **headers: str):
        super().__init__(sentence)
        self.status, self.headers = status, {name.replace("_", "-"): value for name, value in headers.items()}


@final
class Guard:
    """An ASGI application around another; `hosts` are the names that it answers to, all if None."""

    def __init__(self, app: App, limits: Limits, account: Account | None = None, hosts: Collection[str] | None = None):
        self._app, self._limits, self._account = app, limits, account
        self._hosts = None if hosts is None else frozenset(hosts)
        self._rates = Rates(limits.requests_per_minute)
        self._wrong = Rates(limits.requests_per_minute)
        """Of wrong passwords, which are counted apart: who has drawn much may still load the page."""
        self._in_flight = 0
        """Requests for work that are read, wait or are computed."""
        self._reading: Counter[str] = Counter()
        """Those that are read, by address."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or let it through."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        send = _with_headers(send)
        try:
            await self._pass(scope, receive, send)
        except Refused as refused:
            await error_response(refused.status, str(refused), refused.headers)(scope, receive, send)

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers, client = Headers(scope=scope), (scope.get("client") or ("",))[0]
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        self._check_host(headers.get("host", ""))
        if path not in OPEN:
            self._check_account(headers.get("authorization", ""), client)
        if path in WORK:
            _check_method(scope, "POST")
            if not self._is_of_this_site(headers):
                raise Refused(403, "other sites may not send requests here")
            self._check_wait(self._rates.take(client))
            await self._pass_work(scope, receive, send, network(client), path)
        elif path in PAGES or GRADIO_FILES.fullmatch(path):
            _check_method(scope, "GET", "HEAD")
            await self._app(_plain(scope), receive, send)
        else:
            raise Refused(404, "there is nothing at this address")

    async def _pass_work(self, scope: Scope, receive: Receive, send: Send, who: str, path: str) -> None:
        """Let a request for work through, whole, if there is a place for it."""
        places = self._limits.queue + 1
        if self._in_flight >= places:
            raise Refused(503, "too many requests are waiting: try again in a minute", Retry_After="60")
        if self._reading[who] >= max(int(places * SHARE_OF_PLACES), 1):
            raise Refused(503, "too many requests from this address are on their way: send fewer at once")
        self._in_flight += 1
        try:
            body = await self._body(path, receive, who)
            await self._app(scope, _replay(body, receive), send)
        finally:
            self._in_flight -= 1

    async def _body(self, path: str, receive: Receive, who: str) -> bytes:
        """The body of a request for work, which counts for its address until it is here."""
        most = MAX_JSON_BYTES if path == "/api/generate" else self._limits.max_upload_bytes
        self._reading[who] += 1
        try:
            return await _read(receive, most)
        finally:
            self._reading[who] -= 1
            if not self._reading[who]:
                del self._reading[who]

    def _is_of_this_site(self, headers: Headers) -> bool:
        """By what a browser says of the page that asks; programs say nothing.

        Browsers leave out Sec-Fetch-Site where a server is asked by plain HTTP, but for this machine's own.
        """
        if (site := headers.get("sec-fetch-site")) is not None:
            return site in ("same-origin", "none")
        origin = headers.get("origin")
        if origin is None:
            return True
        asking, host = urlsplit(origin).netloc, headers.get("host", "")
        return asking == host or (self._hosts is not None and _name(asking) in self._hosts - LOOPBACK_NAMES)

    def _check_host(self, host: str) -> None:
        """Refuse names that somebody else's name server may have for this address (DNS rebinding)."""
        if self._hosts is not None and _name(host) not in self._hosts:
            raise Refused(400, f"this server answers to the names {', '.join(sorted(self._hosts))} only")

    def _check_account(self, header: str, client: str) -> None:
        if self._account is None:
            return
        if header:  # a browser first asks without
            self._check_wait(self._wrong.wait(client))  # whatever is given: else guessing on would find the right one
            if self._account.is_named_by(header):
                return
            self._wrong.take(client)
        raise Refused(401, "a user name and password are needed", WWW_Authenticate='Basic realm="ganshift"')

    def _check_wait(self, wait: int) -> None:
        if wait:
            most = f"{self._limits.requests_per_minute:,} requests in a minute"
            raise Refused(429, f"more than {most}: try again in {wait} s", Retry_After=str(wait))


def _name(host: str) -> str:
    """A host without its port."""
    return re.sub(r":\d*$", "", host).strip("[]").lower()


def _check_method(scope: Scope, *methods: str) -> None:
    if scope["method"] not in methods:
        raise Refused(405, f"this address takes {' and '.join(methods)} only", Allow=", ".join(methods))


def _plain(scope: Scope) -> Scope:
    """The request without what Gradio would do more for.

    It lets whatever origin asks read its answers, and it loads states by names in the query.
    """
    headers = [(name, value) for name, value in scope["headers"] if name != b"origin"]
    return {**scope, "headers": headers, "query_string": b""}


async def _read(receive: Receive, most: int) -> bytes:
    """The body, if it has at most so many bytes and comes in time."""
    body, seen = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            more = True
            while more and seen <= PATIENCE * most:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Refused(400, "the request was given up")
                chunk, more = message.get("body", b""), message.get("more_body", False)
                seen += len(chunk)
                if seen <= most:
                    body += chunk
                else:
                    body.clear()
    except TimeoutError:
        raise Refused(408, f"the request was not here after {BODY_SECONDS:g} s") from None
    except asyncio.CancelledError:
        raise Refused(503, "the server ends") from None
    if seen > most:
        raise Refused(413, f"more than the {most:,} bytes that may be sent here")
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_headers(send: Send) -> Send:
    async def send_with(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(raw=message["headers"]).update(HEADERS)
        await send(message)

    return send_with
