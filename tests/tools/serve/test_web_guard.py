"""What stands before the page and the HTTP API: passwords, names, rates, sizes; and the worker: queue and time."""

import asyncio
import base64
import socket
import threading

import pytest
import torch
from live import picture, refused

from ganshift import UserError
from ganshift.tools.serve.guard import Rates
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.refusals import Abandoned, Busy, TooSlow
from ganshift.tools.serve.worker import Worker


def post(client, headers=None):
    return client.post("/api/translate", files={"file": ("photo.png", picture())}, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/generate", 405),
        ("POST", "/api/models", 405),
        ("DELETE", "/", 405),
        ("GET", "/gradio_api/upload", 405),
        ("POST", "/gradio_api/component_server", 404),
        ("GET", "/gradio_api/file=/etc/passwd", 404),
    ],
)
def test_addresses_that_are_none(connect, method, path, status):
    assert refused(connect().request(method, path), status)


def test_password(connect):
    client = connect(("me", "pässwörd"), requests_per_minute=5)
    assert "user name and password" in refused(client.get("/api/models"), 401)
    for path in ("/", "/config", "/theme.css", "/assets/x.js", "/gradio_api/heartbeat/x", "/gradio_api/file=/x"):
        assert client.get(path).headers["www-authenticate"] == 'Basic realm="ganshift"'
    for path in ("/api/translate", "/gradio_api/queue/join", "/gradio_api/upload", "/gradio_api/cancel"):
        refused(client.post(path), 401)
    assert client.get("/healthz").status_code == 200
    right = {"Authorization": "Basic " + base64.b64encode("me:pässwörd".encode()).decode()}
    assert client.get("/api/models", headers=right).status_code == 200
    for wrong in ("Basic bWU6", "Basic ###", "Bearer x", "Basic", "basic " + base64.b64encode(b"me:other").decode()):
        refused(client.get("/api/models", headers={"Authorization": wrong}), 401)
    assert "too many requests: try again in" in refused(
        client.get("/api/models", headers={"Authorization": "Basic bWU6"}), 429
    )
    refused(client.get("/api/models", headers=right), 429)  # or who guesses on would be told of the right one


def test_who_has_drawn_much_still_sees_the_page(connect):
    client = connect(("me", "secret"), requests_per_minute=1)
    client.auth = ("me", "secret")
    assert [post(client).status_code for _ in range(2)] == [200, 429]
    assert client.get("/api/models").status_code == 200


def test_other_names_and_other_sites(connect):
    client = connect(hosts=("localhost", "127.0.0.1", "::1"))
    for host in ("evil.example:7860", "localhost.evil.example", "[::2]", "localhost:x@evil.example"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 400
    for host in ("localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    headers = {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}
    assert "other sites" in refused(post(client, headers), 403)
    answer = client.get("/api/models", headers={"Host": "localhost", "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_without_names_addresses_and_its_own_name_are_answered(connect):
    """A page of another name may have been led here by whoever owns the name (DNS rebinding)."""
    client = connect(hosts=None)
    for host in ("192.168.1.5:7860", "[2001:db8::1]:7860", "localhost", socket.gethostname().upper()):
        assert client.head("/healthz", headers={"Host": host}).status_code == 200
    for host in ("evil.example", "192.168.1.5.evil.example:7860", "192.168.1.5:7860@evil.example", "[::1", ""):
        assert client.get("/healthz", headers={"Host": host}).status_code == 400
        assert client.get("/api/models", headers={"Host": host, "Origin": f"http://{host}"}).status_code == 400


def test_browsers_that_say_only_their_origin(connect):
    """As Chromium does when a page asks a server on the local network by plain HTTP."""
    client = connect(hosts=("localhost", "127.0.0.1", "::1", "pictures.example.org"))

    def status(host, origin):
        return post(client, {"Host": host, "Origin": origin}).status_code

    assert status("localhost:7860", "http://localhost:7860") == 200
    assert status("127.0.0.1:7860", "https://pictures.example.org") == 200  # a proxy that asks by its own name
    for foreign in (
        "http://evil.example",
        "http://localhost:8000",
        "http://[",
        "null",
        "",
        "http://localhost:7860.evil.example",
    ):
        assert status("localhost:7860", foreign) == 403
    anybody = connect(hosts=None)
    headers = {"Host": "192.168.1.5:7860", "Origin": "http://192.168.1.5:7860"}
    assert post(anybody, headers).status_code == 200
    assert post(anybody, {"Origin": "http://evil.example"}).status_code == 403


def test_rate_of_one_client(connect):
    client = connect(requests_per_minute=2)
    statuses = [post(client).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert int(post(client).headers["retry-after"]) in range(1, 61)
    assert client.get("/api/models").status_code == 200


def test_rates_count_networks_and_forget(monkeypatch):
    now = [30.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    rates = Rates(3)

    def waits(*clients):
        found = []
        for client in clients:
            found.append(rates.wait(client))
            rates.take(client)
        return found

    assert waits(*["1.2.3.4"] * 4) == [0, 0, 0, 30]
    assert waits("5.6.7.8") == [0]
    assert waits(*(f"2001:db8::{number:x}" for number in range(4))) == [0, 0, 0, 30]  # one network
    assert waits("2001:db8:0:1::1") == [0]
    assert waits(*(f"::ffff:192.0.2.{number}" for number in range(4))) == [0] * 4
    now[0] = 61.0
    assert waits("1.2.3.4") == [0]
    assert len(rates._asked) == 1


def test_time_of_one_request(connect):
    client = connect(seconds=1e-6)
    assert "more than the 1e-06 seconds" in refused(post(client), 503)
    assert "ask for fewer or smaller" in refused(client.post("/api/generate", json={"model": "flowers"}), 503)


def forever():
    while True:
        torch.zeros(1).add(1)


async def stays():
    return False


async def leaves():
    return True


def test_work_ends_when_its_time_is_over_or_nobody_waits():
    worker = Worker(Limits(seconds=0.05))
    with pytest.raises(TooSlow):
        asyncio.run(worker.run(forever, stays))
    assert asyncio.run(worker.run(lambda: 7, stays)) == 7
    patient = Worker(Limits(seconds=3600.0))
    with pytest.raises(Abandoned):
        asyncio.run(patient.run(forever, leaves))
    assert asyncio.run(patient.run(lambda: 7, leaves)) == 7

    async def close_while_it_works():
        started = threading.Event()
        task = asyncio.create_task(patient.run(lambda: (started.set(), forever()), stays))
        while not started.is_set():
            await asyncio.sleep(0.01)
        await asyncio.to_thread(patient.close)
        with pytest.raises(Abandoned):
            await task

    asyncio.run(close_while_it_works())
    worker.close()


def test_answers_come_before_a_long_operation_ends():
    """Decoding, say, which no torch function interrupts."""

    async def stop():
        worker, end = Worker(Limits(seconds=3600.0)), threading.Event()
        task = asyncio.create_task(worker.run(end.wait, stays))
        await asyncio.sleep(0)
        worker.stop()
        with pytest.raises(Abandoned, match="the server ends"):
            await task
        end.set()
        await asyncio.to_thread(worker.close)

    asyncio.run(stop())


def test_queue_has_an_end():
    """One is computed and two wait; the fourth is refused."""

    async def fill():
        worker, end = Worker(Limits(queue=2)), threading.Event()
        tasks = [asyncio.create_task(worker.run(end.wait, stays)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="too many requests are waiting"):
            await worker.run(end.wait, stays)
        end.set()
        assert await asyncio.gather(*tasks) == [True] * 3
        assert await worker.run(lambda: 7, stays) == 7
        await asyncio.to_thread(worker.close)

    asyncio.run(fill())


def test_a_cancelled_task_ends_its_computation():
    """As Gradio cancels an event."""

    async def cancel():
        worker, started = Worker(Limits(seconds=3600.0)), threading.Event()
        task = asyncio.create_task(worker.run(lambda: (started.set(), forever()), stays))
        while not started.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await worker.run(lambda: 7, stays) == 7  # the one thread is free again
        await asyncio.to_thread(worker.close)

    asyncio.run(cancel())


@pytest.mark.parametrize(
    "wrong", [{"seconds": float("inf")}, {"seconds": 0.0}, {"queue": -1}, {"max_pixels": 0}, {"max_upload_mb": -1.0}]
)
def test_limits_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"{name} must be"):
        Limits(**wrong).check()
