"""The HTTP API and its guard, without Gradio: what is answered, and what is refused with which sentence."""

import base64
import io
import json
import shutil
import struct
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import imagecodecs
import numpy as np
import pytest
from live import CLASSES, leaks, picture, refused
from PIL import Image
from starlette.testclient import TestClient

from ganshift import Generator, Translator, UserError
from ganshift.metrics.record_files import records_of, write_records
from ganshift.tools.serve.api import create_api
from ganshift.tools.serve.guard import Guard
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.shelf import open_runs
from ganshift.tools.serve.worker import Worker


@pytest.fixture
def client(connect):
    return connect(requests_per_minute=10_000, max_pixels=300_000)


def bomb():
    """A PNG of a few bytes that claims 50,000 x 50,000 pixels."""
    head, data = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0), zlib.compress(bytes(1000))
    chunks = ((b"IHDR", head), (b"IDAT", data), (b"IEND", b""))
    parts = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def opened(response):
    assert response.status_code == 200, response.text
    return Image.open(io.BytesIO(response.content))


def test_models_are_described(client):
    found = {model["name"]: model for model in client.get("/api/models").json()["models"]}
    assert list(found) == ["flowers", "plain-best", "sketch"]
    assert found["flowers"]["classes"] == CLASSES
    assert found["sketch"]["channels"] == {"a": 3, "b": 1}
    card = found["flowers"]["card"]
    assert card["Scores"] == {"FID[cifar]": "12.35 ± 0.5 (1,000 images, reference 2,000 all)"}
    assert card["Settings"] == {
        "data": "flowers",
        "source": "base",
        "batch": "4",
        "flip": "True",
        "penalty": "10.0",
        "aspect": "3:2",
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
        ({"count": 2, "label": 2}, 2, 2),
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
        ({"model": "flowers", "label": 3}, 400, "there is no class 3"),
        ({"model": "flowers", "label": True}, 422, "label"),
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
    ids=["empty", "open", "deep", "infinite", "long number", "list", "no text"],
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
    assert [each["name"] for each in answer["pictures"]] == [
        "photo2line-drawing-画.png",
        "photo2line-drawing-画2photo.png",
    ]
    pictures = [np.array(Image.open(io.BytesIO(base64.b64decode(each["png"])))) for each in answer["pictures"]]
    original = np.array(Image.open(io.BytesIO(data)))
    difference = np.abs(pictures[1].astype(float) - original).mean() / 127.5
    assert answer["distance"] == pytest.approx(difference, abs=0.005)
    with zipfile.ZipFile(
        io.BytesIO(client.post("/api/translate?to=a&roundtrip=1&result=zip", content=data).content)
    ) as it:
        assert it.namelist() == [
            "line-drawing-画.png",
            "line-drawing-画2photo.png",
            "line-drawing-画2photo2line-drawing-画.png",
        ]
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
        (b"no picture", 400, "not a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, HEIC or PNM picture"),
        (picture()[:200], 400, ""),
        (picture(form="JPEG")[:300], 400, "truncated file"),
        (picture((600, 501)), 413, "the picture has 600 x 501 pixels, which is more than the 300,000"),
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + b"\x7f" * 13 + b"\0" * 4, 400, ""),
        (bomb(), 400, "too large"),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "large", "damaged", "bomb"],
)
def test_pictures_that_cannot_be(client, data, status, sentence):
    assert sentence in refused(client.post("/api/translate", content=data), status)


def test_domains_by_name(client):
    """As by a and b, which go on to serve; files that are sent are named by the names."""
    data = picture()
    answers = [
        client.post(f"/api/translate?to={to}", content=data) for to in ("b", "line drawing 画", "LINE-DRAWING-画")
    ]
    assert len({answer.content for answer in answers}) == 1
    name = unquote(answers[0].headers["content-disposition"].removeprefix("attachment; filename*=UTF-8''"))
    assert name == "photo2line-drawing-画.png"
    assert client.post("/api/translate?result=json", content=data).json()["direction"] == "photo to line drawing 画"
    (described,) = [each for each in client.get("/api/models").json()["models"] if each["kind"] == "translator"]
    assert (described["to"], described["names"]) == (["b", "a"], {"a": "photo", "b": "line drawing 画"})
    sentence = refused(client.post("/api/translate?to=fotos", content=data), 400)
    assert sentence == "there is no domain 'fotos'; did you mean photo?"


@pytest.mark.parametrize("query", ["file=/etc/passwd", "roundtrip=perhaps", "model=flowers", "result=path"])
def test_queries_that_cannot_be(client, query):
    assert refused(client.post(f"/api/translate?{query}", content=picture()), 404 if "flowers" in query else 422)


def test_defects_say_nothing(shelf, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such thing in /home/somebody/secret.py")

    limits, worker = Limits(), Worker(1.0)
    monkeypatch.setattr("ganshift.tools.serve.api.translate", fail)
    client = TestClient(Guard(create_api(shelf, limits, worker), limits), raise_server_exceptions=False)
    assert refused(client.post("/api/translate", content=picture()), 500).startswith("the server failed on this")
    worker.close()


def test_scores_of_one_name_are_all_shown(runs, tmp_path):
    """Such as those of two splits: they were measured in two ways, so that each has a card."""
    run = Path(shutil.copytree(runs[0], tmp_path / "run"))
    (card,) = records_of(run)
    write_records(run, [replace(card, value=20.0, reference_split="test", num_reference=500)])
    (served,) = open_runs([run], "cpu")
    scores = served.card["Scores"]["FID[cifar]"].split("; ")
    assert sorted(scores) == [
        "12.35 ± 0.5 (1,000 images, reference 2,000 all)",
        "20 ± 0.5 (1,000 images, reference 500 test)",
    ]


def test_names_of_models(runs, tmp_path):
    assert [served.name for served in open_runs([runs[0], runs[0], runs[1]], "cpu")] == [
        "flowers",
        "flowers-2",
        "plain-best",
    ]
    assert open_runs(["digits32"], "cpu").names(Generator) == ["digits32"]
    (runs_of_one,) = open_runs([runs[2]], "cpu").names(Translator)
    assert runs_of_one == "sketch"
    with pytest.raises(UserError, match="there is no generator here"):
        open_runs([runs[2]], "cpu").find(Generator, None)
    with pytest.raises(UserError, match="at least one run folder"):
        open_runs([])
    with pytest.raises(UserError, match="there is no run folder"):
        open_runs([tmp_path / "none"], "cpu")
    (tmp_path / "config.json").write_text('{"method": "study"}')
    with pytest.raises(UserError, match="is of method 'study', which ganshift does not have"):
        open_runs([tmp_path])


def test_a_model_of_the_hub_has_its_name_there(runs, tmp_path, monkeypatch):
    """Its folder is named by a commit, which says nothing to visitors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "cache" / "models--someone--roses"
    shutil.copytree(runs[0], repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    assert open_runs(["someone/roses", runs[0]], "cpu").names(Generator) == ["roses", "flowers"]


@pytest.mark.parametrize(("count", "columns"), [(1, 4096), (200, 150)])
def test_empty_places_of_a_sheet_count(client, count, columns):
    """At most 292 pictures of 32 x 32 pixels may be drawn here; other results have no empty places."""
    request = {"model": "plain-best", "count": count, "columns": columns}
    assert client.post("/api/generate", json=request).status_code == 413
    assert client.post("/api/generate", json={**request, "result": "zip"}).status_code == 200


def test_the_size_of_training_counts(connect):
    small = connect(max_pixels=1_000)
    data = picture(size=(8, 8))
    assert small.post("/api/translate", content=data).status_code == 200
    sentence = refused(small.post("/api/translate?training_size=true", content=data), 413)
    assert sentence == (
        "the size of training has 32 x 32 pixels, which is more than the 1,000 that are taken here: translate the "
        "picture at its own size"
    )
    assert "the picture has 40 x 26 pixels" in refused(small.post("/api/translate", content=picture((40, 26))), 413)


def test_a_photograph_of_any_size_is_scaled_to_the_size_of_training(connect):
    """As those of phones, of 24 megapixels and more."""
    client = connect(max_pixels=2_000)
    photo = picture(size=(400, 300), form="JPEG")
    assert refused(client.post("/api/translate", content=photo), 413).endswith("size of training (training_size)")
    assert opened(client.post("/api/translate?training_size=true", content=photo)).size == (32, 32)
    assert "too large" in refused(client.post("/api/translate?training_size=true", content=bomb()), 400)


def test_pictures_in_forms(client):
    """What `curl -F file=@photo.png` sends, and pages with a form."""
    data = picture()
    expected = client.post("/api/translate", content=data).content
    for name in ("file", "picture"):
        assert client.post("/api/translate", files={name: ("photo.png", data)}).content == expected
    two = {"file": ("a.png", data), "other": ("b.png", data)}
    assert "one file alone" in refused(client.post("/api/translate", files=two), 400)
    field = client.post("/api/translate", files={"file": ("a.png", data)}, data={"to": "b"})
    assert "one file alone" in refused(field, 400)
    broken = {"Content-Type": "multipart/form-data"}
    assert "one file alone" in refused(client.post("/api/translate", content=data, headers=broken), 400)
    empty = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "holds no file" in refused(client.post("/api/translate", content=b"--x--\r\n", headers=empty), 400)
    assert "empty file" in refused(client.post("/api/translate", files={"file": ("a.png", b"")}), 400)
