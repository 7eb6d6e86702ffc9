"""The page's events and Gradio's own routes, as programs speak to them: what they give, and what they must not."""

import http.client
import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path
from urllib.parse import quote

import av
import numpy as np
import pytest
from live import CLASSES, OPTIONS, leaks, picture, serving
from PIL import Image

from ganshift import Generator, Translator
from ganshift.data.images import load_picture

WAY = "photo to line drawing 画"
SIZE = "at most 1024 pixels a side"
OUTSIDE = ["/etc/passwd", "/proc/self/environ", __file__, "http://127.0.0.1:1/x", "file:///etc/passwd", "", "\0"]


def ask(address, method, path, body=None, kind="application/json"):
    """Status and body; the path is sent as it is."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=300)
    try:
        body = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, body, {"Content-Type": kind})
        response = connection.getresponse()
        try:
            return response.status, response.read()
        except http.client.IncompleteRead as broken_off:
            return response.status, broken_off.partial
    finally:
        connection.close()


def upload(address, data, name="photo.png"):
    """The path that the server has given to an upload."""
    head = f'--xxx\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
    form = head + data + b"\r\n--xxx--\r\n"
    return ask(address, "POST", "/gradio_api/upload", form, "multipart/form-data; boundary=xxx")


def event(address, name, *data, session=None):
    """The last message of an event, or the status and text of its refusal."""
    config = json.loads(ask(address, "GET", "/config")[1])
    (index,) = [each["id"] for each in config["dependencies"] if each["api_name"] == name]
    session = session or uuid.uuid4().hex
    body = {"data": data, "fn_index": index, "session_hash": session}
    status, answer = ask(address, "POST", "/gradio_api/queue/join", body)
    if status != 200:
        return status, answer.decode()
    stream = ask(address, "GET", f"/gradio_api/queue/data?session_hash={session}")[1].decode()
    messages = [json.loads(line.removeprefix("data: ")) for line in stream.splitlines() if line.startswith("data: ")]
    return next(message for message in messages if message["msg"] == "process_completed")


def file_data(path, **more):
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def uploaded(address, data, name="photo.png"):
    (path,) = json.loads(upload(address, data, name)[1])
    return file_data(path, orig_name=name)


def result(address, name, *data):
    """What an event gives."""
    done = event(address, name, *data)
    assert done["success"], done
    return done["output"]["data"]


def refusal(address, name, *data):
    """The sentence with which an event is refused."""
    done = event(address, name, *data)
    assert not done["success"]
    return done["output"]["error"]


def content(address, file):
    status, data = ask(address, "GET", f"/gradio_api/file={quote(file['path'])}")
    assert status == 200
    return data


def opened(address, file):
    return Image.open(io.BytesIO(content(address, file)))


@pytest.fixture(scope="module")
def address(runs):
    """Of a server of its own, since Gradio writes on the terminal what it makes of hostile events."""
    with serving(runs, *OPTIONS) as (_, address):
        yield address


def test_an_upload_is_translated(address, runs):
    data = picture((70, 45))
    files, said = result(address, "translate", uploaded(address, data), WAY, SIZE)
    assert said == f"Translated {WAY}, 70 x 45 pixels."
    start, made = (opened(address, file) for file in files)
    assert [Path(file["path"]).name for file in files] == ["photo.png", "photo2line-drawing-画.png"]
    assert start.tobytes() == Image.open(io.BytesIO(data)).tobytes()
    assert made.tobytes() == Translator.from_pretrained(runs[2], "cpu")(Image.open(io.BytesIO(data))).tobytes()


@pytest.mark.parametrize("path", OUTSIDE)
def test_events_take_no_file_that_was_not_uploaded(address, path):
    """Whatever else the event says of it; nothing is fetched from elsewhere either."""
    folder = Path(json.loads(upload(address, picture())[1])[0]).parent
    for name in (path, f"{folder}/../../..{path}", f"{folder}/..{path}"):
        for data in (file_data(name), {"path": name}, file_data(name, url=name), [file_data(name)]):
            status, text = event(address, "translate", data, WAY, SIZE)
            assert (status, text) == (400, '{"detail":"an event takes uploaded files only"}')
    data = file_data(f"{folder}/photo.png", url=f"data:image/png;base64,{'A' * 99}")
    assert event(address, "translate", data, WAY, SIZE)[0] == 400
    inner = {"path": f"{folder}/photo.png", "more": [file_data(path)]}
    assert event(address, "translate", inner, WAY, SIZE)[0] == 400
    deep = b'{"data": ' + b"[" * 90_000 + b"]" * 90_000 + b"}"
    assert ask(address, "POST", "/gradio_api/queue/join", deep)[0] == 400


def test_events_take_no_folder_and_no_link(address):
    """Gradio would clear neither, nor anything after it."""
    file = Path(json.loads(upload(address, picture(), "a..b.png")[1])[0])
    assert event(address, "translate", file_data(str(file)), WAY, SIZE)["success"]
    link = file.with_name("link.png")
    link.symlink_to(__file__)
    for name in (file.parent, f"{file.parent}/", file.parents[1], file.parent / "none.png", f"{file}/", link):
        assert event(address, "translate", file_data(str(name)), WAY, SIZE)[0] == 400
        assert ask(address, "GET", f"/gradio_api/file={name}")[0] in (403, 404)
    link.unlink()


@pytest.mark.parametrize("session", ["\ud800", "x<gradio-sep>y", "é", "a" * 65, "", "a b", ["a"], {}])
def test_sessions_have_plain_names(address, session):
    for path, body in (("queue/join", {"data": [], "fn_index": 0}), ("cancel", {"fn_index": 0, "event_id": "x"})):
        status, text = ask(address, "POST", f"/gradio_api/{path}", {**body, "session_hash": session})
        assert status == 400
        assert "1 to 64 letters" in text.decode()
    assert ask(address, "POST", "/gradio_api/queue/join", b"[]")[0] == 400


def test_a_visitor_who_was_away_is_served_again(address):
    """Gradio counts a session as closed once its connection was lost, and never as open again."""
    session = uuid.uuid4().hex

    def shown():
        return event(address, "translate", uploaded(address, picture((900, 300))), WAY, SIZE, session=session)

    assert shown()["success"]
    with socket.create_connection(address.removeprefix("http://").split(":")) as heartbeat:
        heartbeat.sendall(f"GET /gradio_api/heartbeat/{session} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        while b"ALIVE" not in heartbeat.recv(1000):
            pass
    time.sleep(1)
    assert shown()["success"]


BEHIND_THE_GUARD = """
import sys
from starlette.testclient import TestClient
from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.server import create_app
from ganshift.tools.serve.shelf import open_runs
from ganshift.tools.serve.worker import Worker

run, place, *how = sys.argv[1:]
limits = Limits()
worker = Worker(limits)
with TestClient(create_app(open_runs([run], "cpu"), limits, worker)) as client:
    dependencies = client.get("/config").json()["dependencies"]
    (index,) = [each["id"] for each in dependencies if each["api_name"] == "translate"]
    file = {"path": place, "meta": {"_type": "gradio.FileData"}}
    client.post("/gradio_api/queue/join", json={"data": [file, *how], "fn_index": index, "session_hash": "x"})
    assert '"success":false' in client.get("/gradio_api/queue/data?session_hash=x").text
    assert client.get(f"/gradio_api/file={place}").status_code == 403
worker.close()
"""


def test_gradio_itself_refuses_files_of_the_server(runs, tmp_path):
    """Behind the guard, which is not asked here. In a process of its own, since Gradio leaves event loops open."""
    (tmp_path / "photo.png").write_bytes(picture())
    command = [sys.executable, "-c", BEHIND_THE_GUARD, runs[2], tmp_path / "photo.png", WAY, SIZE]
    said = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "own")}
    )
    assert said.returncode == 0, said.stderr
    assert "it was not uploaded by a user" in said.stderr


def test_uploads_lie_in_places_that_nobody_guesses(address):
    """Of a name that cannot be listed: a hash of 64 digits, with a seed of this installation."""
    (path,) = json.loads(upload(address, b"mine", "../../mine.txt")[1])
    assert re.fullmatch(r"/tmp/ganshift-\w+/[0-9a-f]{64}/mine\.txt", path)
    import hashlib

    assert hashlib.sha256(b"mine").hexdigest() not in path
    place = Path(path)
    for each in (place.parent, place.parents[1], f"{place.parents[1]}/", f"{place.parent}/.", place.parents[1] / "*"):
        status, body = ask(address, "GET", f"/gradio_api/file={each}")
        assert status in (403, 404)
        assert b"mine" not in body.replace(b"mine.txt", b"")
    assert ask(address, "GET", f"/gradio_api/file={path}") == (200, b"mine")


def test_what_is_uploaded_is_not_shown_as_a_page(address):
    """Nor run by a browser: it is sent as a file to save."""
    (path,) = json.loads(upload(address, b"<script>alert(1)</script>", "x.html")[1])
    connection = http.client.HTTPConnection(address.removeprefix("http://"))
    connection.request("GET", f"/gradio_api/file={path}")
    headers = connection.getresponse().headers
    connection.close()
    assert headers["content-disposition"].startswith("attachment")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["x-content-type-options"] == "nosniff"


def test_large_uploads_are_refused_early(address):
    assert upload(address, bytes(1_000_001))[0] == 413
    long = bytes(10_200_000)  # all files of one upload together
    status, _ = ask(address, "POST", "/gradio_api/upload", long, "multipart/form-data; boundary=xxx")
    assert status == 413


def test_pictures_that_cannot_be_are_refused_with_a_sentence(address):
    for data, sentence in (
        (b"words", "Not a JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, HEIC or PNM picture."),
        (b"", "Empty file."),
        (picture((64, 64), form="JPEG")[:500], "Truncated file."),
        (bomb(), "Too large: more than 80,000,000 pixels."),
    ):
        assert refusal(address, "translate", uploaded(address, data), WAY, SIZE) == sentence


def bomb():
    """A picture of a few bytes that claims 50,000 x 50,000 pixels."""
    return b"P6 50000 50000 255\n" + bytes(1000)


def test_events_with_other_values_than_the_page_has(address):
    (path,) = json.loads(upload(address, picture())[1])
    for data in (
        (file_data(path), "../etc", SIZE),
        (file_data(path), WAY, "huge"),
        (file_data(path), WAY),
        ([1, 2], WAY, SIZE),
        ("text", None, None),
    ):
        done = event(address, "translate", *data)
        assert isinstance(done, tuple) or not done["success"]
        assert not leaks(json.dumps(done))


def test_a_drawing_beyond_the_limits(address):
    for count, seed in ((300, 0), (10**9, 0), (4, -1), (0, 0)):
        done = event(address, "generate", "flowers", "pictures", "all in turn", seed, 0, count)
        assert not done["success"]
        assert not leaks(json.dumps(done))


def test_sessions_do_not_hear_of_each_other(address):
    done = event(address, "generate", "flowers", "pictures", "dog", 1, 0, 4, session="a" * 11)
    assert done["success"]
    assert b"process" not in ask(address, "GET", f"/gradio_api/queue/data?session_hash={'b' * 11}")[1]


def test_there_and_back_and_the_size_of_training(address):
    photo = uploaded(address, picture((90, 50), form="JPEG"), "photo.jpg")
    (_, made), said = result(address, "translate", photo, f"{WAY} and back", "its own size")
    assert Path(made["path"]).name == "photo2line-drawing-画2photo.png"
    assert re.match(rf"Translated {WAY} and back, 90 x 50 pixels. The way back ends 0\.\d+ from it", said)
    files, _ = result(address, "translate", photo, WAY, "cropped and scaled as in training")
    assert [opened(address, file).size for file in files] == [(32, 32)] * 2
    large = uploaded(address, picture((1500, 600), form="JPEG"))
    for size in (SIZE, "its own size"):
        assert result(address, "translate", large, WAY, size)[1] == f"Translated {WAY}, 866 x 346 pixels."  # the limit
    assert refusal(address, "translate", None, WAY, SIZE) == "Choose a picture first."


def test_several_files_keep_their_names(address, runs):
    small = picture((20, 30))
    named = {"Grüße aus Köln.png": picture((40, 24)), "b.jpg": picture((30, 30), form="JPEG"), "broken.png": b"words"}
    files = [uploaded(address, data, name) for name, data in {**named, "b.png": small}.items()]
    packed, said = result(address, "translate_files", files, WAY, SIZE)
    assert said.startswith(f"Translated 3 of 4 pictures {WAY}. Left out: broken.png: Not a JPEG")
    assert Path(packed["path"]).name == "photo2line-drawing-画.zip"
    with zipfile.ZipFile(io.BytesIO(content(address, packed))) as archive:
        assert archive.namelist() == ["Grüße aus Köln.png", "b.png", "3-b.png"]
        made = Image.open(io.BytesIO(archive.read("3-b.png")))
    assert made.tobytes() == Translator.from_pretrained(runs[2], "cpu")(Image.open(io.BytesIO(small))).tobytes()
    assert refusal(address, "translate_files", files[2:3], WAY, SIZE).startswith("broken.png: Not a JPEG")
    hostile = refusal(address, "translate_files", [uploaded(address, b"x", "![<b>](x)`.png")], WAY, SIZE)
    assert re.match(r"[\w&#;().]+: Not a JPEG", hostile)
    for wrong in (None, [], files[:1] * 101):
        assert refusal(address, "translate_files", wrong, WAY, SIZE) == "Choose up to 100 pictures first."


def film(path, width, height):
    with av.open(str(path), "w") as clip:
        stream = clip.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for shade in range(0, 200, 40):
            frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), shade, np.uint8), format="rgb24")
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))
    return path.read_bytes()


def test_a_video_is_translated(address, tmp_path):
    video = uploaded(address, film(tmp_path / "clip.mp4", 64, 48), "clip.mp4")
    made, said = result(address, "translate_video", video, WAY)
    assert said == f"Translated 5 frames {WAY}."
    assert Path(made["path"]).name == "photo2line-drawing-画.mp4"
    with av.open(io.BytesIO(content(address, made))) as made_film:
        assert [(frame.width, frame.height) for frame in made_film.decode(video=0)] == [(64, 48)] * 5
    broken = uploaded(address, b"words", "no.mp4")
    assert refusal(address, "translate_video", broken, WAY).startswith("No video that can be read (Invalid data")
    large = uploaded(address, film(tmp_path / "large.mp4", 640, 480), "large.mp4")
    assert refusal(address, "translate_video", large, WAY) == "Too large: 640 x 480 is more than 300,000 pixels."
    assert refusal(address, "translate_video", None, WAY) == "Choose a video first."


def test_drawings_equal_the_command(address, runs):
    model = Generator.from_pretrained(runs[0], "cpu")

    def drawn(kind, label, count, truncation=0.0):
        shown, said = result(address, "generate", "flowers", kind, label, 3, truncation, count)
        assert said == f"Drawn: {len(shown)} pictures of seed 3."
        pixels = [opened(address, each["image"]).tobytes() for each in shown]
        return pixels, [each["caption"] for each in shown]

    pixels, captions = drawn("pictures", "all in turn", 4, 0.5)
    assert pixels == [each.tobytes() for each in model.sample(4, seed=3, truncation=0.5)]
    assert captions == [*CLASSES, CLASSES[0]]
    assert drawn("pictures", "dog", 2)[1] == ["dog", "dog"]
    pixels, captions = drawn("some of each class", "dog", 2)
    assert pixels == [each.tobytes() for row in model.class_grid(2, seed=3) for each in row]
    assert captions == [name for name in CLASSES for _ in range(2)]
    pixels, captions = drawn("steps from one to the next", "dog", 5)
    assert pixels == [each.tobytes() for row in model.interpolate(5, 1, "dog", 3) for each in row]
    assert captions == [f"step {number}" for number in range(1, 6)]


def test_time_and_rate_of_events(runs):
    with serving([runs[2]], "--seconds", "0.000001", "--requests-per-minute", "8") as (_, address):
        late = "This took more than the 1e-06 seconds that a request has here"
        assert refusal(address, "translate", uploaded(address, picture()), WAY, SIZE).startswith(late)
        statuses = [upload(address, picture())[0] for _ in range(8)]
        assert statuses == [200] * 6 + [429] * 2


DOCUMENT = (Path(__file__).parents[3] / "docs" / "serving.md").read_text(encoding="utf-8")


def test_python_of_the_document(address, tmp_path):
    """In a process of its own, since gradio_client leaves event loops open."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    for said, here in {"http://127.0.0.1:7860": address, "photo to sketch": WAY, '"mine"': '"flowers"'}.items():
        assert said in code
        code = code.replace(said, here)
    code += (
        f"assert len(pictures) == 16\nassert said == 'Translated 1 of 1 pictures {WAY}.'\nprint(photo, sketch, archive)"
    )
    (tmp_path / "photo.png").write_bytes(picture((32, 32)))
    own = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "got")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr
    *pictures, archive = done.stdout.split()[-3:]
    assert [load_picture(Path(each)).size for each in pictures] == [(32, 32)] * 2
    with zipfile.ZipFile(archive) as packed:
        assert packed.namelist() == ["photo.png"]


@pytest.mark.ring_two
def test_curl_lines_of_the_document(address, tmp_path):
    (tmp_path / "photo.png").write_bytes(picture((32, 32)))
    lines = re.findall(r"^curl .*127\.0\.0\.1:7860.*", DOCUMENT, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        line = line.replace("http://127.0.0.1:7860", address).replace('"mine"', '"flowers"')
        done = subprocess.run([*shlex.split(line), "--fail", "-sS"], cwd=tmp_path, capture_output=True, check=True)
        assert "-o" in line or json.loads(done.stdout)
    assert load_picture(tmp_path / "sheet.png").size == (138, 138)
    assert load_picture(tmp_path / "drawing.png").size == (32, 32)
    for name, number in (("strips.zip", 16), ("trip.zip", 3)):
        with zipfile.ZipFile(tmp_path / name) as packed:
            assert len(packed.namelist()) == number
