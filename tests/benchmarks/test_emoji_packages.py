"""The script that makes the emoji that ship, on packages of a few made pictures."""

import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from benchmarks.emoji import build, share
from ganshift.data.emoji import EMOJI, EMOJI_FLAT

SOLID = ["1f600", "2764-fe0f", "1f44b", "1f44b-1f3fb", "1f468-200d-2695-fe0f", "1f3c1", "1f9a2", "1f999"]
ICONS = {
    "face": ("1f600", "Smileys & Emotion"),
    "heart": ("2764", "Smileys & Emotion"),
    "hand": ("1f44b", "People & Body"),
    "light-hand": ("1f44b-1f3fb", "People & Body"),
    "doctor": ("1f468-200d-2695-fe0f", "People & Body"),
    "finish": ("1f3c1", "Flags"),
    "swan": ("1f9a2", "Animals & Nature"),
    "copy": ("1f63a", "Animals & Nature"),
    "missing": ("1f64f", "People & Body"),
}
"""Name, code points and group of the flat ones; a llama, 1f999, has no flat drawing, 1f64f no other, and 1f63a is
the picture of 1f600."""
EXPECTED = {"1f600", "2764", "1f44b", "1f9a2"}


def pack(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def solid_picture(height, blue):
    """A green picture whose left half is transparent."""
    picture = Image.new("RGBA", (256, height), (0, 200, blue, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 128, height))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


@pytest.fixture
def archives(tmp_path):
    solid = {f"assets/{code}.webp": solid_picture(264 if code == "1f9a2" else 256, SOLID.index(code)) for code in SOLID}
    solid["assets/1f63a.webp"] = solid["assets/1f600.webp"]
    body = '<path fill="#ff0000" d="M0 0h16v16h-16z"/>'
    icons = {name: {"body": body} | ({"height": 33} if name == "swan" else {}) for name in ICONS}
    groups = {group: [name for name in ICONS if ICONS[name][1] == group] for _, group in ICONS.values()}
    tables = {
        "icons.json": {"icons": icons, "width": 32, "height": 32},
        "chars.json": {code: name for name, (code, _) in ICONS.items()},
        "metadata.json": {"categories": groups},
    }
    flat = {name: json.dumps(table).encode() for name, table in tables.items()}
    return pack(tmp_path / "solid.tgz", solid), pack(tmp_path / "flat.tgz", flat)


def pictures(path):
    """The pictures of a zip by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: np.asarray(Image.open(io.BytesIO(archive.read(name)))) for name in archive.namelist()}


def test_the_same_archives_make_the_same_files(archives, tmp_path):
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        build(*archives, folder)
    for name in (EMOJI.name, EMOJI_FLAT.name):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_names_and_pixels(archives, tmp_path):
    build(*archives, tmp_path)
    solid, flat = pictures(tmp_path / EMOJI.name), pictures(tmp_path / EMOJI_FLAT.name)
    assert {name.rpartition("/")[2] for name in solid} == {f"{code}.webp" for code in EXPECTED}
    assert {name.split("/")[1] for name in solid} == {"smileys-emotion", "people-body", "animals-nature"}
    assert set(flat) == {name for name in solid if share(name.rpartition("/")[2][:-5]) < 0.55}
    assert flat
    for name, pixels in solid.items():
        assert name.startswith("test/") == (share(name.rpartition("/")[2][:-5]) < 0.1)
        assert pixels.shape == (128, 128, 4)
        np.testing.assert_allclose(pixels[64, 100], (0, 200, 3, 255), atol=6)
        assert pixels[64, 20, 3] == 0
    for pixels in flat.values():
        np.testing.assert_array_equal(pixels[20, 20], (255, 0, 0, 255))
        assert pixels[100, 100, 3] == 0
