"""What stands before the HTTP API: passwords, names, rates, the queue, time and slow clients; and the worker."""

import asyncio
import base64
import threading

import pytest
import torch
from live import picture, refused

from ganshift import UserError
from ganshift.tools.serve import guard
from ganshift.tools.serve.guard import Account, Guard
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.rates import MAX_CLIENTS, Rates
from ganshift.tools.serve.refusals import Abandoned, TooSlow
from ganshift.tools.serve.worker import Worker


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/generate", 405),
        ("POST", "/api/models", 405),
        ("DELETE", "/", 405),
        ("POST", "/gradio_api/upload", 404),
        ("POST", "/gradio_api/queue/join", 404),
    ],
)
def test_addresses_that_are_none(connect, method, path, status):
    assert refused(connect().request(method, path), status)


def test_password(connect):
    client = connect(Account("me", "pässwörd"), requests_per_minute=5)
    assert "user name and password" in refused(client.get("/api/models"), 401)
    assert client.get("/").headers["www-authenticate"] == 'Basic realm="ganshift"'
    assert client.get("/healthz").status_code == 200
    right = {"Authorization": "Basic " + base64.b64encode("me:pässwörd".encode()).decode()}
    assert client.get("/api/models", headers=right).status_code == 200
    for wrong in ("Basic bWU6", "Basic ###", "Bearer x", "Basic", "basic " + base64.b64encode(b"me:other").decode()):
        refused(client.get("/api/models", headers={"Authorization": wrong}), 401)
    assert "more than 5 requests in a minute: try again in" in refused(
        client.get("/api/models", headers={"Authorization": "Basic bWU6"}), 429
    )
    refused(client.get("/api/models", headers=right), 429)  # or who guesses on would be told of the right one


def test_who_has_drawn_much_still_sees_the_page(connect):
    client = connect(Account("me", "secret"), requests_per_minute=1)
    client.auth = ("me", "secret")
    assert [client.post("/api/translate", content=picture()).status_code for _ in range(2)] == [200, 429]
    assert client.get("/api/models").status_code == 200


def test_other_names_and_other_sites(connect):
    client = connect(hosts=("localhost", "127.0.0.1", "::1"))
    assert "answers to the names" in refused(client.get("/healthz", headers={"Host": "evil.example:7860"}), 400)
    for host in ("localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200
    headers = {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}
    assert "other sites" in refused(client.post("/api/translate", content=picture(), headers=headers), 403)
    answer = client.get("/api/models", headers={"Host": "localhost", "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    assert "default-src 'self'" in answer.headers["content-security-policy"]


def test_browsers_that_say_only_their_origin(connect):
    """As Chromium does when a page asks a server on the local network by plain HTTP."""
    client = connect(hosts=("localhost", "127.0.0.1", "::1", "pictures.example.org"))

    def status(host, origin):
        return client.post("/api/translate", content=picture(), headers={"Host": host, "Origin": origin}).status_code

    assert status("localhost:7860", "http://localhost:7860") == 200
    assert status("127.0.0.1:7860", "https://pictures.example.org") == 200  # a proxy that asks by its own name
    for foreign in ("http://evil.example", "http://localhost:8000", "null", "", "http://localhost:7860.evil.example"):
        assert status("localhost:7860", foreign) == 403
    anybody = connect(hosts=None)
    headers = {"Host": "192.168.1.5:7860", "Origin": "http://192.168.1.5:7860"}
    assert anybody.post("/api/translate", content=picture(), headers=headers).status_code == 200
    assert (
        anybody.post("/api/translate", content=picture(), headers={"Origin": "http://evil.example"}).status_code == 403
    )


def test_rate_of_one_client(connect):
    client = connect(requests_per_minute=2)
    statuses = [client.post("/api/translate", content=picture()).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert int(client.post("/api/translate", content=picture()).headers["retry-after"]) in range(1, 31)
    assert client.get("/api/models").status_code == 200


def test_rates_refill_and_forget():
    now = [0.0]
    rates = Rates(6, lambda: now[0])
    assert [rates.take("1.2.3.4") for _ in range(7)] == [0] * 6 + [10]
    assert rates.take("5.6.7.8") == 0
    now[0] = 9.0
    assert rates.take("1.2.3.4") == 1
    now[0] = 10.0
    assert [rates.wait("1.2.3.4"), rates.take("1.2.3.4")] == [0, 0]
    assert [rates.wait("1.2.3.4"), rates.take("1.2.3.4")] == [10, 10]
    assert [rates.take(f"2001:db8::{number:x}") for number in range(7)] == [0] * 6 + [10]  # one network
    assert rates.take("2001:db8:0:1::1") == 0
    assert [rates.take(f"::ffff:192.0.2.{number}") for number in range(7)] == [0] * 7
    for number in range(MAX_CLIENTS):
        rates.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(rates._buckets) == MAX_CLIENTS


def test_time_of_one_request(connect):
    client = connect(seconds=1e-6)
    assert "more than the 1e-06 seconds" in refused(client.post("/api/translate", content=picture()), 503)
    assert "ask for fewer or smaller" in refused(client.post("/api/generate", json={"model": "flowers"}), 503)


def forever():
    while True:
        torch.zeros(1).add(1)


async def stays():
    return False


async def leaves():
    return True


def test_work_ends_when_its_time_is_over_or_nobody_waits():
    worker = Worker(0.05)
    with pytest.raises(TooSlow):
        asyncio.run(worker.run(forever, stays))
    assert asyncio.run(worker.run(lambda: 7, stays)) == 7
    patient = Worker(3600.0)
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
        worker, end = Worker(3600.0), threading.Event()
        task = asyncio.create_task(worker.run(end.wait, stays))
        await asyncio.sleep(0)
        worker.stop()
        with pytest.raises(Abandoned, match="the server ends"):
            await task
        end.set()
        await asyncio.to_thread(worker.close)

    asyncio.run(stop())


async def ask(app, receive, path="/api/translate", client="::1"):
    """The status that an ASGI application answers."""
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    await app({"type": "http", "method": "POST", "path": path, "headers": [], "client": (client, 1)}, receive, send)
    return statuses[0]


async def empty():
    return {"type": "http.request", "body": b""}


def test_queue_has_an_end():
    """One is computed and two wait; the fourth is refused before it is read."""

    async def fill():
        end = asyncio.Event()

        async def slow(scope, receive, send):
            await end.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        full = Guard(slow, Limits(queue=2))
        tasks = [asyncio.create_task(ask(full, empty)) for _ in range(3)]
        await asyncio.sleep(0)
        refusal = await ask(full, None)
        end.set()
        return refusal, await asyncio.gather(*tasks), await ask(full, empty)

    assert asyncio.run(fill()) == (503, [200] * 3, 200)


def test_slow_uploads_of_one_address_leave_places_for_others():
    async def hang():
        await asyncio.sleep(3600)

    async def answer(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def crowd():
        guarded = Guard(answer, Limits(queue=3))
        tasks = [asyncio.create_task(ask(guarded, hang)) for _ in range(3)]
        await asyncio.sleep(0)
        statuses = [await ask(guarded, empty), await ask(guarded, empty, client="192.0.2.1")]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return *statuses, await ask(guarded, empty)

    assert asyncio.run(crowd()) == (503, 200, 200)


def test_slow_and_lost_uploads(monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.01)

    async def hang():
        await asyncio.sleep(3600)

    async def lost():
        return {"type": "http.disconnect"}

    async def end_while_reading():
        task = asyncio.create_task(ask(nothing, hang))
        await asyncio.sleep(0)
        task.cancel()
        return await task

    nothing = Guard(ask, Limits())
    assert asyncio.run(end_while_reading()) == 503
    assert asyncio.run(ask(nothing, hang)) == 408
    assert asyncio.run(ask(nothing, lost)) == 400


@pytest.mark.parametrize(
    "wrong", [{"seconds": float("inf")}, {"seconds": 0.0}, {"queue": -1}, {"max_pixels": 0}, {"max_upload_mb": -1.0}]
)
def test_limits_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"{name} must be"):
        Limits(**wrong).check()
