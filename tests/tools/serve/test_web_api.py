"""The HTTP API and its guard, without the page: what is answered, and what is refused with which sentence."""

import io
import json
import shutil
import struct
import zipfile
import zlib
from urllib.parse import unquote

import imagecodecs
import numpy as np
import pytest
from live import CLASSES, leaks, picture, refused
from PIL import Image
from starlette.testclient import TestClient

from ganshift import Generator, Translator, UserError
from ganshift.data.images import png_of
from ganshift.tools.serve.api import create_api
from ganshift.tools.serve.drawing import translate
from ganshift.tools.serve.guard import protect
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


def post(client, data, **query):
    """Send a picture as `curl -F file=@photo.png` does."""
    return client.post("/api/translate", params=query, files={"file": ("photo.png", data)})


def test_models_are_described(client):
    found = {model["name"]: model for model in client.get("/api/models").json()["models"]}
    assert list(found) == ["flowers", "plain-best", "sketch"]
    assert found["flowers"]["classes"] == CLASSES
    assert found["sketch"]["channels"] == {"a": 3, "b": 1}
    card = found["flowers"]["card"]
    assert "# flowers\n\nA generator of pictures, of 3 classes, of 32 x 32 pixels in colour" in card
    assert "| FID\\[cifar\\] | 12.35 ± 0.5 | 1,000 | 2,000 all |" in card
    assert "| flowers | 1234 | abc |" in card
    assert "started from base" in card
    assert not leaks(json.dumps(found))
    assert client.get("/healthz").json() == {"status": "ok"}


def test_documents_of_the_api(client):
    """For programs; FastAPI's own pages of them would load scripts from elsewhere."""
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/healthz", "/api/models", "/api/generate", "/api/translate"} == set(paths)
    assert {each["name"] for each in paths["/api/translate"]["post"]["parameters"]} == {
        *("model", "to", "roundtrip", "training_size", "result")
    }
    assert client.get("/docs").status_code == 404


def test_sheet_equals_the_command(client, runs):
    drawn = opened(client.post("/api/generate", json={"model": "flowers", "count": 4, "seed": 3}))
    assert drawn.size == (2 * 34 + 2, 2 * 34 + 2)
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
        ({"model": "flowers", "count": 0}, 422, "count: Input should be greater than or equal to 1"),
        ({"model": "flowers", "count": 293}, 413, "293 pictures of 32 x 32 pixels are more than the 300,000"),
        ({"model": "flowers", "kind": "class-grid", "count": 100}, 413, "300 pictures"),
        ({"model": "flowers", "kind": "interpolation", "count": 100, "steps": 100}, 413, "10,000 pictures"),
        ({"model": "flowers", "seed": -1}, 422, "seed: Input should be greater than or equal to 0"),
        ({"model": "flowers", "seed": 2**63}, 422, "seed: Input should be less than"),
        ({"model": "flowers", "truncation": 0}, 422, "truncation: Input should be greater than 0"),
        ({"model": "flowers", "kind": "x" * 500}, 422, "kind: Input should be 'images'"),
        ({"model": "flowers", "out": "/etc/passwd"}, 422, "out: Extra inputs are not permitted"),
        ({"model": "flowers", "seed": "\x1b[31m"}, 422, "seed: Input should be a valid integer"),
    ],
)
def test_drawings_that_cannot_be(client, fields, status, sentence):
    assert sentence in refused(client.post("/api/generate", json=fields), status)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "body: Field required"),
        (b"{", "JSON decode error"),
        (b"[" * 60_000, ""),
        (b'{"seed": 1e999}', "seed"),
        (b'{"seed": ' + b"9" * 5000 + b"}", ""),
        (b"[]", "body: Input should be a valid dictionary"),
        (b"\xff\xfe", ""),
    ],
    ids=["empty", "open", "deep", "infinite", "long number", "list", "no text"],
)
def test_bodies_that_are_no_requests(client, body, sentence):
    response = client.post("/api/generate", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 422)
    assert sentence in refused(response, response.status_code)


def test_long_bodies_are_refused(client, connect):
    assert client.post("/api/generate", content=b" " * 262_145).status_code == 413
    small = connect(max_upload_mb=0.001)
    assert "more than the 1,000 bytes" in refused(post(small, b" " * 1001), 413)
    assert post(small, b" " * 90_000).status_code == 413


def test_translations_equal_the_model(client, runs):
    data = picture()
    drawn = opened(post(client, data, to="b"))
    expected = Translator.from_pretrained(runs[2], "cpu")(Image.open(io.BytesIO(data)))
    assert (drawn.mode, drawn.size, drawn.tobytes()) == ("L", (40, 24), expected.tobytes())
    back = opened(post(client, picture((33, 50), "L"), to="a", model="sketch"))
    assert (back.mode, back.size) == ("RGB", (33, 50))
    assert opened(post(client, data, training_size=True)).size == (32, 32)


def test_round_trip(client):
    data = picture()
    for to, names in (
        ("b", ["photo", "photo2line-drawing-画", "photo2line-drawing-画2photo"]),
        ("a", ["line-drawing-画", "line-drawing-画2photo", "line-drawing-画2photo2line-drawing-画"]),
    ):
        with zipfile.ZipFile(io.BytesIO(post(client, data, to=to, roundtrip=1, result="zip").content)) as packed:
            assert packed.namelist() == [f"{name}.png" for name in names]
            back = packed.read(packed.namelist()[-1])
        assert post(client, data, to=to, roundtrip=1).content == back
    assert opened(post(client, data, roundtrip=1)).size == (40, 24)


def test_opacity_and_bits_are_kept(client):
    deep = np.random.default_rng(0).integers(0, 65536, (9, 11, 4), dtype=np.uint16)
    response = post(client, imagecodecs.png_encode(deep))
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
    assert sentence in refused(post(client, data), status)


def test_domains_by_name(client):
    """As by a and b, which go on to serve; files that are sent are named by the names."""
    data = picture()
    answers = [post(client, data, to=to) for to in ("b", "line drawing 画", "LINE-DRAWING-画")]
    assert len({answer.content for answer in answers}) == 1
    name = unquote(answers[0].headers["content-disposition"].removeprefix("attachment; filename*=UTF-8''"))
    assert name == "photo2line-drawing-画.png"
    (described,) = [each for each in client.get("/api/models").json()["models"] if each["kind"] == "translator"]
    assert (described["to"], described["names"]) == (["b", "a"], {"a": "photo", "b": "line drawing 画"})
    assert refused(post(client, data, to="fotos"), 400) == "there is no domain 'fotos'; did you mean photo?"


def test_queries_that_cannot_be(client):
    assert "roundtrip" in refused(post(client, picture(), roundtrip="perhaps"), 422)
    assert "result" in refused(post(client, picture(), result="path"), 422)
    assert "no translator 'flowers'" in refused(post(client, picture(), model="flowers"), 404)
    assert refused(client.post("/api/translate"), 422) == "body.file: Field required"
    assert "file" in refused(client.post("/api/translate", data={"file": "/etc/passwd"}), 422)
    broken = {"Content-Type": "multipart/form-data"}
    assert "boundary" in refused(client.post("/api/translate", content=picture(), headers=broken), 400)


def test_defects_say_nothing(shelf, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("no such thing in /home/somebody/secret.py")

    limits = Limits()
    worker = Worker(limits)
    monkeypatch.setattr("ganshift.tools.serve.api.translate", fail)
    client = TestClient(
        protect(create_api(shelf, limits, worker), limits), "http://localhost", raise_server_exceptions=False
    )
    answer = post(client, picture())
    assert (answer.status_code, answer.text) == (500, "Internal Server Error")
    worker.close()


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


def test_the_size_of_training_counts(connect):
    small = connect(max_pixels=1_000)
    data = picture(size=(8, 8))
    assert post(small, data).status_code == 200
    assert refused(post(small, data, training_size=True), 413) == (
        "the size of training has 32 x 32 pixels, which is more than the 1,000 that are taken here: translate the "
        "picture at its own size"
    )
    assert "the picture has 40 x 26 pixels" in refused(post(small, picture((40, 26))), 413)


def test_a_photograph_of_any_size_is_scaled_to_the_size_of_training(connect):
    """As those of phones, of 24 megapixels and more."""
    client = connect(max_pixels=2_000)
    photo = picture(size=(400, 300), form="JPEG")
    assert refused(post(client, photo), 413).endswith("size of training (training_size)")
    assert opened(post(client, photo, training_size=True)).size == (32, 32)
    assert "too large" in refused(post(client, bomb(), training_size=True), 400)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((400, 300), 1024, (400, 300)),  # small enough
        ((400, 300), 100, (100, 75)),
        ((300, 400), 100, (75, 100)),
        ((1000, 400), 8192, (548, 219)),  # by the limit of pixels
        ((1000, 1), 100, (100, 1)),
    ],
)
def test_large_photographs_are_shrunk(runs, size, longest, expected):
    model, limits = Translator.from_pretrained(runs[2], "cpu"), Limits(max_pixels=120_000)
    for form in ("PNG", "JPEG"):  # a JPEG is decoded smaller
        (original, made), _ = translate(model, picture(size, form=form), "b", limits, longest=longest)
        assert original.to_pillow().size == made.to_pillow().size == expected


def test_what_is_shrunk_is_the_picture(runs):
    model = Translator.from_pretrained(runs[2], "cpu")
    halves = np.zeros((64, 200, 3), np.uint8)
    halves[:, 100:] = 255
    (shrunk, _), _ = translate(model, png_of(Image.fromarray(halves)), "b", Limits(), longest=50)
    values = np.asarray(shrunk.to_pillow())
    assert values.shape == (16, 50, 3)
    assert (values[:, :22].max(), values[:, 28:].min()) == (0, 255)
