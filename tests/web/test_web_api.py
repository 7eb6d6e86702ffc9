"""The HTTP API and its guard, without Gradio: what is answered, and what is refused with which sentence."""

import asyncio
import base64
import io
import json
import struct
import threading
import zipfile
import zlib

import imagecodecs
import numpy as np
import pytest
import torch
from live import CLASSES, leaks
from PIL import Image
from starlette.testclient import TestClient

from ganshift import Generator, Translator, UserError
from ganshift.web import guard
from ganshift.web.api import create_api
from ganshift.web.guard import Account, Guard
from ganshift.web.limits import Limits
from ganshift.web.rates import MAX_CLIENTS, Rates
from ganshift.web.refusals import Abandoned, TooSlow
from ganshift.web.shelf import open_runs
from ganshift.web.worker import Worker


@pytest.fixture(scope="module")
def shelf(runs):
    return open_runs(runs, "cpu")


@pytest.fixture
def connect(shelf):
    """Clients of servers with these limits, account and host names."""
    workers = []

    def make(account=None, hosts=None, **limits):
        limits = Limits(**limits)
        workers.append(Worker(limits.seconds))
        return TestClient(Guard(create_api(shelf, limits, workers[-1]), limits, account, hosts))

    yield make
    for worker in workers:
        worker.close()


@pytest.fixture
def client(connect):
    return connect(requests_per_minute=10_000, max_pixels=300_000)


def picture(size=(40, 24), mode="RGB", form="PNG"):
    buffer = io.BytesIO()
    Image.effect_noise(size, 80).convert(mode).save(buffer, form)
    return buffer.getvalue()


def bomb():
    """A PNG of a few bytes that claims 50,000 x 50,000 pixels."""
    head, data = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0), zlib.compress(bytes(1000))
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    parts = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def opened(response):
    assert response.status_code == 200, response.text
    return Image.open(io.BytesIO(response.content))


def refused(response, status):
    assert response.status_code == status, response.text
    sentence = response.json()["error"]
    assert not leaks(response.text)
    assert "\n" not in sentence
    return sentence


def test_models_are_described(client):
    found = {model["name"]: model for model in client.get("/api/models").json()["models"]}
    assert list(found) == ["flowers", "plain-best", "sketch"]
    assert found["flowers"]["classes"] == CLASSES
    assert found["sketch"]["channels"] == {"a": 3, "b": 1}
    card = found["flowers"]["card"]
    assert card["Scores"] == {"FID[cifar]": "12.35 ± 0.5 (1,000 images, reference 2,000)"}
    assert card["Settings"] == {
        "data": "flowers",
        "source": "base",
        "batch": "4",
        "flip": "True",
        "penalty": "10.0",
    }
    assert card["Data"]["images"] == "1,234"
    assert not leaks(json.dumps(found))
    assert client.get("/healthz").json() == {"status": "ok"}


def test_sheet_equals_the_command(client, runs):
    drawn = opened(client.post("/api/generate", json={"model": "flowers", "count": 4, "seed": 3, "columns": 4}))
    assert drawn.size == (4 * 34 + 2, 36)
    expected = Generator.from_pretrained(runs[0], "cpu").sample(4, seed=3)
    assert drawn.crop((36, 2, 68, 34)).tobytes() == expected[1].tobytes()


@pytest.mark.parametrize(
    ("fields", "number", "different"),
    [
        ({"count": 3, "label": "dog", "truncation": 0.5}, 3, 3),
        ({"kind": "class-grid", "count": 2}, 6, 6),
        ({"kind": "interpolation", "count": 2, "steps": 5, "label": "2"}, 10, 9),
    ],
)
def test_kinds_and_results(client, fields, number, different):
    request = {"model": "flowers", "seed": 1, **fields}
    with zipfile.ZipFile(io.BytesIO(client.post("/api/generate", json={**request, "result": "zip"}).content)) as packed:
        files = [packed.read(name) for name in packed.namelist()]
    answer = client.post("/api/generate", json={**request, "result": "json"}).json()
    assert [base64.b64decode(each["png"]) for each in answer["pictures"]] == files
    assert len(files) == number
    assert len(set(files)) == different
    assert all(Image.open(io.BytesIO(file)).size == (32, 32) for file in files)
    assert opened(client.post("/api/generate", json=request)).width > 32


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({}, 400, "several generators here, so name one as model: flowers, plain-best"),
        ({"model": "sketch"}, 404, "there is no generator 'sketch' here; there is flowers, plain-best"),
        ({"model": "../flowers"}, 404, "no generator '../flowers'"),
        ({"model": "flowers", "label": "bird"}, 400, "there is no class 'bird'"),
        ({"model": "plain-best", "label": "cat"}, 400, "trained without classes"),
        ({"model": "plain-best", "kind": "class-grid"}, 400, "needs a generator with classes"),
        ({"model": "flowers", "kind": "class-grid", "label": "cat"}, 400, "draws every class"),
        ({"model": "flowers", "kind": "interpolation", "columns": 2}, 400, "columns are for images"),
        ({"model": "flowers", "count": 0}, 422, "count: input should be greater than or equal to 1, got 0"),
        ({"model": "flowers", "count": 293}, 413, "293 pictures of 32 x 32 pixels are more than the 300,000"),
        ({"model": "flowers", "kind": "class-grid", "count": 100}, 413, "300 pictures"),
        ({"model": "flowers", "kind": "interpolation", "count": 100, "steps": 100}, 413, "10,000 pictures"),
        ({"model": "flowers", "seed": -1}, 422, "seed: input should be greater than or equal to 0"),
        ({"model": "flowers", "seed": 2**63}, 422, "seed: input should be less than"),
        ({"model": "flowers", "truncation": 0}, 422, "truncation: input should be greater than 0"),
        ({"model": "flowers", "kind": "x" * 500}, 422, "kind: input should be 'images'"),
        ({"model": "flowers", "out": "/etc/passwd"}, 422, "there is no field 'out'"),
        ({"model": "flowers", "seed": "\x1b[31m"}, 422, "seed: input should be a valid integer"),
    ],
)
def test_drawings_that_cannot_be(client, fields, status, sentence):
    assert sentence in refused(client.post("/api/generate", json=fields), status)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "must be a JSON object"),
        (b"{", "no JSON"),
        (b"[" * 60_000, ""),
        (b'{"seed": 1e999}', "seed"),
        (b'{"seed": ' + b"9" * 5000 + b"}", ""),
        (b"[]", "must be a JSON object"),
        (b"\xff\xfe", ""),
    ],
)
def test_bodies_that_are_no_requests(client, body, sentence):
    response = client.post("/api/generate", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert sentence in refused(response, response.status_code)


def test_long_bodies_are_refused(client, connect):
    assert "more than the 65,536 bytes" in refused(client.post("/api/generate", content=b" " * 65_537), 413)
    small = connect(max_upload_mb=0.001)
    assert "more than the 1,000 bytes" in refused(small.post("/api/translate", content=b" " * 1001), 413)
    assert "more than the 1,000 bytes" in refused(small.post("/api/translate", content=b" " * 90_000), 413)


def test_translations_equal_the_model(client, runs):
    data = picture()
    drawn = opened(client.post("/api/translate?to=b", content=data))
    expected = Translator.from_pretrained(runs[2], "cpu")(Image.open(io.BytesIO(data)))
    assert (drawn.mode, drawn.size, drawn.tobytes()) == ("L", (40, 24), expected.tobytes())
    back = opened(client.post("/api/translate?to=a&model=sketch", content=picture((33, 50), "L")))
    assert (back.mode, back.size) == ("RGB", (33, 50))
    assert opened(client.post("/api/translate?training_size=true", content=data)).size == (32, 32)


def test_round_trip(client):
    data = picture()
    answer = client.post("/api/translate?roundtrip=true&result=json", content=data).json()
    assert [each["name"] for each in answer["pictures"]] == ["A2B.png", "A2B2A.png"]
    pictures = [np.array(Image.open(io.BytesIO(base64.b64decode(each["png"])))) for each in answer["pictures"]]
    original = np.array(Image.open(io.BytesIO(data)))
    difference = np.abs(pictures[1].astype(float) - original).mean() / 127.5
    assert answer["distance"] == pytest.approx(difference, abs=0.005)
    with zipfile.ZipFile(
        io.BytesIO(client.post("/api/translate?to=a&roundtrip=1&result=zip", content=data).content)
    ) as it:
        assert it.namelist() == ["B.png", "B2A.png", "B2A2B.png"]
    assert opened(client.post("/api/translate?roundtrip=true", content=data)).tobytes() == pictures[1].tobytes()


def test_opacity_and_bits_are_kept(client):
    deep = np.random.default_rng(0).integers(0, 65536, (9, 11, 4), dtype=np.uint16)
    response = client.post("/api/translate", content=imagecodecs.png_encode(deep))
    translated = imagecodecs.png_decode(response.content)
    assert (translated.dtype, translated.shape) == (np.uint16, (9, 11, 2))
    np.testing.assert_array_equal(translated[..., 1], deep[..., 3])


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"", 400, "empty file"),
        (b"no picture", 400, "not a JPEG, PNG, WebP, BMP, TIFF or GIF picture"),
        (picture()[:200], 400, ""),
        (picture(form="JPEG")[:300], 400, "truncated file"),
        (picture((600, 501)), 413, "the picture has 600 x 501 pixels, which is more than the 300,000"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\x7f" * 13 + b"\0" * 4, 400, ""),
        (bomb(), 400, "too large"),
    ],
)
def test_pictures_that_cannot_be(client, data, status, sentence):
    assert sentence in refused(client.post("/api/translate", content=data), status)


@pytest.mark.parametrize("query", ["to=c", "file=/etc/passwd", "roundtrip=perhaps", "model=flowers", "result=path"])
def test_queries_that_cannot_be(client, query):
    assert refused(client.post(f"/api/translate?{query}", content=picture()), 404 if "flowers" in query else 422)


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
def test_addresses_that_are_none(client, method, path, status):
    assert refused(client.request(method, path), status)


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
    assert [rates.take("1.2.3.4"), rates.take("1.2.3.4")] == [0, 10]
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


async def ask(app, receive, path="/api/translate"):
    """The status that an ASGI application answers."""
    statuses = []

    async def send(message):
        statuses.append(message.get("status"))

    await app({"type": "http", "method": "POST", "path": path, "headers": [], "client": ("::1", 1)}, receive, send)
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


def test_slow_and_lost_uploads(monkeypatch):
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.01)

    async def hang():
        await asyncio.sleep(3600)

    async def lost():
        return {"type": "http.disconnect"}

    nothing = Guard(ask, Limits())
    assert asyncio.run(ask(nothing, hang)) == 408
    assert asyncio.run(ask(nothing, lost)) == 400


def test_defects_say_nothing(shelf, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such thing in /home/somebody/secret.py")

    limits, worker = Limits(), Worker(1.0)
    monkeypatch.setattr("ganshift.web.api.translate", fail)
    client = TestClient(Guard(create_api(shelf, limits, worker), limits), raise_server_exceptions=False)
    assert refused(client.post("/api/translate", content=picture()), 500).startswith("the server failed on this")
    worker.close()


def test_names_of_models(runs, tmp_path):
    assert [served.name for served in open_runs([runs[0], runs[0], runs[1]], "cpu")] == [
        "flowers",
        "flowers-2",
        "plain-best",
    ]
    (runs_of_one,) = open_runs([runs[2]], "cpu").names(Translator)
    assert runs_of_one == "sketch"
    with pytest.raises(UserError, match="there is no generator here"):
        open_runs([runs[2]], "cpu").find(Generator, None)
    with pytest.raises(UserError, match="at least one run folder"):
        open_runs([])
    with pytest.raises(UserError, match="there is no run folder"):
        open_runs([tmp_path / "none"])
    (tmp_path / "config.json").write_text('{"method": "study"}')
    with pytest.raises(UserError, match="holds no run of transfer or dual"):
        open_runs([tmp_path])


@pytest.mark.parametrize(
    "wrong", [{"seconds": float("inf")}, {"seconds": 0.0}, {"queue": -1}, {"max_pixels": 0}, {"max_upload_mb": -1.0}]
)
def test_limits_are_checked(wrong):
    (name,) = wrong
    with pytest.raises(UserError, match=f"{name} must be"):
        Limits(**wrong).check()
