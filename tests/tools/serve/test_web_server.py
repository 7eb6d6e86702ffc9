"""A server as its own process: its command, its routes, its documents, and many clients at once."""

import http.client
import io
import json
import os
import pty
import random
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from live import leaks, picture, serving
from PIL import Image

from ganshift.cli import main
from ganshift.tools.serve import server as server_module
from ganshift.tools.serve.api import create_api
from ganshift.tools.serve.guard import protect
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.shelf import open_runs
from ganshift.tools.serve.worker import Worker

FILES = ("etc/passwd", "config.json", "src/ganshift/web/server.py", "proc/self/environ")


def request(address, method, path, body=None, headers=()):
    """Status, headers and body; the path is sent as it is."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=300)
    try:
        connection.request(method, path, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def names_that_lead_out():
    for place in FILES:
        for up in ("/", "../" * 9, "..%2f" * 9, "%2e%2e/" * 9, "..\\" * 9, "....//" * 5, "%00/../../", "/%2f"):
            yield up + place


ROUTES = (
    "/",
    "/docs/",
    "/assets/",
    "/static/",
    "/static/js/",
    "/svelte/",
    "/gradio_api/file=",
    "/gradio_api/file=/tmp",
    "/gradio_api/file=http://127.0.0.1:1/",
    "/gradio_api/file/",
    "/gradio_api/proxy=",
    "/gradio_api/proxy=http://127.0.0.1:1/",
    "/gradio_api/custom_component/1/x/y/",
    "/gradio_api/stream/1/1/1/",
    "/gradio_api/upload_progress?upload_id=",
    "/gradio_api/heartbeat/",
    "/file=",
    "/api/models/",
    "/api/",
    "/manifest.json/",
)


@pytest.mark.parametrize("route", ROUTES)
def test_no_file_is_given_out(server, route):
    for name in names_that_lead_out():
        status, _, body = request(server[1], "GET", route + name.replace("\\", "%5c"))
        assert status in (400, 404), route + name
        assert b"root:" not in body
        assert not leaks(body.decode())


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/run/translate"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/api/translate"),
        ("POST", "/gradio_api/call/translate"),
        ("POST", "/gradio_api/call/v2/translate"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/stream/x"),
        ("GET", "/gradio_api/queue/status"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/deep_link?session_hash=x"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/dev/reload"),
        ("GET", "/gradio_api/custom_component/x/client/component/index.js"),
        ("GET", "/gradio_api/profiling/traces"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/gradio_api/vibe-code"),
        ("GET", "/svelte/svelte.js"),
        ("GET", "/gradio_api/mcp/sse"),
        ("GET", "/docs"),
        ("POST", "/login"),
        ("PUT", "/api/translate"),
    ],
)
def test_what_the_page_does_not_need_is_closed(server, method, path):
    status, _, body = request(server[1], method, path, b"{}", {"Content-Type": "application/json"})
    assert status == (405 if method == "PUT" else 404)
    assert json.loads(body)["detail"]


@pytest.mark.parametrize("path", ["/", "/config", "/theme.css", "/gradio_api/info", "/api/models", "/openapi.json"])
def test_what_is_sent_names_no_path(server, path):
    for query in ("", "?__theme=dark", "?deep_link=../../etc/passwd", "?page=../x"):
        status, headers, body = request(server[1], "GET", path + query, headers={"Origin": "https://evil.example"})
        assert status == 200
        assert not leaks(body.decode())
        assert "access-control-allow-origin" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]


def test_nobody_says_what_the_address_is(server):
    headers = {"X-Forwarded-Host": "evil.example", "X-Gradio-Server": "http://x:99999999/"}
    assert json.loads(request(server[1], "GET", "/config", headers=headers)[2])["root"] == server[1]


JSON, FORM = "application/json", "multipart/form-data; boundary=xxx"


def drawing(**fields):
    return "/api/generate", json.dumps({"model": "flowers", "count": 9, **fields}).encode(), JSON


def form(data):
    """What curl -F file=@photo.png sends."""
    head = b'--xxx\r\nContent-Disposition: form-data; name="file"; filename="photo.png"\r\n\r\n'
    return head + data + b"\r\n--xxx--\r\n"


def translation(data, query=""):
    return f"/api/translate{query}", form(data), FORM


GOOD = [
    drawing(seed=1),
    drawing(kind="class-grid", count=2, result="zip"),
    drawing(kind="interpolation", count=1, result="zip", label="cat"),
    translation(picture((64, 64)), "?to=b"),
    translation(picture((48, 48), form="JPEG"), "?to=a&roundtrip=true&result=zip"),
]
BAD = [
    drawing(count=-1),
    drawing(label="bird"),
    drawing(count=4000),
    ("/api/generate", b"{" * 1000, JSON),
    ("/api/generate", b" " * 300_000, JSON),
    ("/api/translate", b"", FORM),
    translation(b""),
    translation(picture((64, 64))[:500]),
    translation(random.Random(0).randbytes(10_000)),
    translation(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(5000)),
    translation(b"II*\0" + random.Random(2).randbytes(5000)),
    translation(bytes(1_500_000)),
    translation(picture((32, 32)), "?to=c"),
]


def resident(process):
    """Bytes of memory that a process has."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def test_many_clients_at_once(server):
    """200 requests of 20 clients, every third damaged; the second 200 take no more memory than the first did."""
    process, address = server
    asked = [
        (BAD if number % 3 == 0 else GOOD)[number // 3 % len(BAD if number % 3 == 0 else GOOD)] for number in range(200)
    ]

    def ask(what):
        path, body, kind = what
        status, _, answer = request(address, "POST", path, body, {"Content-Type": kind})
        if what in GOOD:
            assert status == 200, answer[:200]
            assert answer[:4] in (b"\x89PNG", b"PK\3\4")
        else:
            assert 400 <= status < 500, path
            assert b" " in answer
            assert not leaks(answer.decode())
        return status

    memory = []
    for _ in range(2):
        with ThreadPoolExecutor(20) as clients:
            statuses = list(clients.map(ask, asked))
        assert len(statuses) == 200
        memory.append(resident(process))
    assert process.poll() is None
    assert json.loads(request(address, "GET", "/healthz")[2]) == {"status": "ok"}
    assert memory[1] - memory[0] < 16 * 2**20


def test_password_and_interruption(runs):
    with serving([runs[2]], "--username", "me", "--host", "0.0.0.0", GANSHIFT_PASSWORD="secret") as (process, address):
        address = address.replace("0.0.0.0", "127.0.0.1")
        assert process.said[:-1] == []
        for path in ("/", "/config", "/gradio_api/info", "/api/models", "/static/img/logo.svg"):
            assert request(address, "GET", path)[0] == 401
            assert request(address, "GET", path, headers={"Authorization": "Basic bWU6c2VjcmV0"})[0] == 200
        for path in ("/api/translate", "/gradio_api/upload", "/gradio_api/queue/join"):
            assert request(address, "POST", path, form(picture((32, 32))), {"Content-Type": FORM})[0] == 401
        assert b"secret" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        large = io.BytesIO()
        Image.new("RGB", (3900, 4000)).save(large, "PNG")
        with closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=300)) as long:
            headers = {"Authorization": "Basic bWU6c2VjcmV0", "Content-Type": FORM}
            long.request("POST", "/api/translate", form(large.getvalue()), headers)
            process.send_signal(signal.SIGINT)
            assert process.stderr.read() == "stopped\n"
        assert process.wait() == 130


@pytest.fixture
def interruptions_ignored():
    """As shells without job control start what is in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.ring_two
def test_in_the_background_behind_a_proxy(runs, interruptions_ignored):
    """One that keeps the visitor's host, and one that serves a path below its own root; an interruption is said."""
    names = ["--host-name", "pictures.example.org", "Sketch.example.org", "--root-path", "/ganshift/"]
    with serving([runs[2]], *names) as (process, address):
        for host, status in (("pictures.example.org", 200), ("sketch.example.org:443", 200), ("evil.example", 400)):
            assert request(address, "GET", "/", headers={"Host": host})[0] == status
        headers = {"Host": "pictures.example.org", "X-Forwarded-Proto": "https"}
        for path in ("/config", "/ganshift/config"):  # whether or not the proxy takes its path away
            config = json.loads(request(address, "GET", path, headers=headers)[2])
            assert config["root"] == "https://pictures.example.org/ganshift"
        path, body, kind = translation(picture((32, 32)))
        assert request(address, "POST", path, body, {"Content-Type": kind})[0] == 200
        assert request(address, "GET", "/nothing")[0] == 404
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "stopped\n"
        assert process.wait() == 130


def test_connections_that_send_nothing_are_closed(runs, monkeypatch):
    """Those in the middle of an answer, or between two requests of one client, are not."""
    for name, value in {"HEAD_SECONDS": 1, "BODY_SECONDS": 2, "CONNECTIONS_EACH": 3}.items():
        monkeypatch.setattr(server_module, name, value)
    listener = socket.create_server(("127.0.0.1", 0))
    limits = Limits()
    worker = Worker(limits)
    app = protect(create_api(open_runs([runs[2]], "cpu"), limits, worker), limits)
    running = server_module._Server("", app, worker)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    place = listener.getsockname()
    try:
        with closing(socket.create_connection(place)) as silent, closing(socket.create_connection(place)) as slow:
            slow.sendall(b"GET /healthz HTTP/1.1\r\nHost:")
            silent.settimeout(30)
            slow.settimeout(30)
            assert silent.recv(100) == b""
            assert slow.recv(100) == b""
        with closing(socket.create_connection(place)) as slow:
            head = f"POST /api/translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: {FORM}\r\nContent-Length: 999"
            slow.sendall(head.encode() + b"\r\n\r\n--xxx")
            slow.settimeout(30)
            assert slow.recv(100) == b""
        with ExitStack() as many:
            several = [many.enter_context(closing(socket.create_connection(place))) for _ in range(4)]
            several[3].settimeout(30)
            assert several[3].recv(100) == b""
            several[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert several[0].recv(100).startswith(b"HTTP/1.1 200")
        with closing(http.client.HTTPConnection(*place, timeout=30)) as client:
            client.request("GET", "/healthz")
            assert client.getresponse().read() == b'{"status":"ok"}'
    finally:
        running.should_exit = True
        thread.join()
        worker.close()


def refused(capsys, *arguments):
    assert main(["serve", *map(str, arguments)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_what_cannot_be_served(runs, tmp_path, capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(capsys, runs[0], "--port", port)
        assert line.startswith(f"error: cannot serve on 127.0.0.1 port {port} (")
        assert "give another --host or --port" in line
    for host in ("example..com", "x" * 64):  # what names of machines cannot be fails before anybody is asked
        assert refused(capsys, runs[0], "--host", host, "--port", 0).startswith(f"error: cannot serve on {host} port 0")
    assert "port must be from 0 to 65535" in refused(capsys, runs[0], "--port", 65536)
    assert "there is no run folder" in refused(capsys, tmp_path / "none", "--port", 0)
    assert main(["serve", str(tmp_path / "none"), "--host", "0.0.0.0", "--port", "0"]) == 2
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: everybody who can reach 0.0.0.0 may use these models: --username")
    assert "at least one run folder" in refused(capsys, "--port", 0)
    assert "needs a password" in refused(capsys, runs[0], "--username", "me", "--port", 0)
    assert "no colon, got 'a:b'" in refused(capsys, runs[0], "--username", "a:b", "--port", 0)
    assert "queue must be at least 0" in refused(capsys, runs[0], "--queue", -1)
    monkeypatch.setenv("GANSHIFT_PASSWORD", "x")
    assert "give --username" in refused(capsys, runs[0], "--port", 0)


@pytest.mark.ring_two
def test_no_password_at_the_terminal(runs):
    """Ctrl-D instead of one."""
    keyboard, terminal = pty.openpty()
    command = [sys.executable, "-m", "ganshift", "serve", str(runs[2]), "--port", "0", "--username", "me"]
    with os.fdopen(keyboard, "r+b", buffering=0) as screen:
        process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
        os.close(terminal)
        said = b""
        while b"password for me: " not in said:
            said += screen.read(1000)
        screen.write(b"\x04")
        assert process.wait() == 2
        said += screen.read(1000)
    assert b"error: --username needs a password" in said


def test_without_gradio_one_line_says_what_to_install(runs, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("ganshift.tools.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert refused(capsys, runs[0]).startswith("error: serving needs Gradio: pip install 'ganshift[web]'")
