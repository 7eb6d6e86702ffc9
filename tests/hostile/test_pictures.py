"""Malformed pictures and odd files are set aside: no traceback, no wait, no more memory than said."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import corpus
import imageio.v3 as iio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ganshift import Translator, UserError
from ganshift.cli import main
from ganshift.data.images import MAX_PIXELS, UnreadableImage, bombs_are_errors, load_picture, open_picture
from ganshift.data.open import open_images
from ganshift.data.pixel_formats import load_formatted
from ganshift.inference.translating import translate_files
from ganshift.inference.translator import other_domain
from ganshift.inference.video import MAX_ANIMATION_PIXELS, is_animation, translate_animation
from ganshift.training import run_folder
from ganshift.training.weights import save_weights

HEADS = [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"RIFF\x40\0\0\0WEBP"]
BUDGET_BYTES = 1.5e9
"""What opening pictures may take beside what the program takes itself, however the pictures are made."""


def new_translator():
    torch.manual_seed(0)
    shared = {"in_channels": 3, "out_channels": 3, "width": 2, "levels": 2, "size": 8}
    return Translator(shared, shared).requires_grad_(False)


@pytest.mark.ring_two
def test_thousands_of_malformed_pictures(tmp_path, caplog):
    files = corpus.malformed()
    assert len(files) >= 2000
    folder = corpus.write_all(tmp_path / "many", {**files, "good.png": corpus.encode(corpus.noise("RGB"), "PNG")})
    for budget in (1e9, 0):
        images = open_images(folder, 8, memory_budget_bytes=budget)
        assert len(images) + len(images.quarantined) == len(files) + 1
        assert "good.png" in images.names
        assert all(reason and "\n" not in reason for _, reason in images.quarantined)
        images.read(range(len(images)))
    assert "left out" in caplog.text


def test_whole_pictures_of_all_kinds_are_read(tmp_path):
    folder = corpus.write_all(tmp_path / "whole", corpus.pictures())
    images = open_images(folder, 8)
    assert images.quarantined == []
    with bombs_are_errors():
        for data in corpus.pictures().values():
            load_formatted(data)


def test_translation_of_malformed_pictures():
    """Each is an original, an animation or unreadable; whatever comes out can be written."""
    outcomes = set()
    with bombs_are_errors():
        for data in {**corpus.malformed(), **corpus.pictures()}.values():
            try:
                picture = open_picture(data)
                if is_animation(picture):
                    translate_animation(picture, lambda original: original)
                    outcomes.add("animation")
                else:
                    load_formatted(data).to_png()
                    outcomes.add("original")
            except UnreadableImage:
                outcomes.add("unreadable")
    assert outcomes == {"animation", "original", "unreadable"}


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(HEADS), st.binary(max_size=300), st.sampled_from(sorted(corpus.pictures())), st.data())
def test_any_bytes_behind_any_head(head, body, name, data):
    whole = corpus.pictures()[name]
    place = data.draw(st.integers(0, len(whole) - 1))
    for content in (head + body, whole[:place] + body + whole[place:], whole[:place] + body[:8] + whole[place + 8 :]):
        for read in (lambda content: load_picture(content, for_size=8), load_formatted):
            with bombs_are_errors(), suppress(UnreadableImage):
                assert read(content)


@pytest.mark.parametrize("budget", [1e9, 0])
def test_what_only_has_the_name_of_a_picture(tmp_path, budget):
    """Pipes, sockets, devices and links to nothing, to themselves or to the kernel: no wait, and no end of memory."""
    names = corpus.write_odd(tmp_path)
    images = open_images(tmp_path, 8, memory_budget_bytes=budget)
    assert set(images.names) == set(names)
    images.read(range(len(names)))
    reasons = dict(images.quarantined)
    assert reasons["pipe.png"] == reasons["zero.png"] == reasons["socket.png"] == "not a regular file"
    assert "symbolic links" in reasons["itself.png"]


def test_single_odd_files(tmp_path):
    corpus.write_odd(tmp_path)
    model = new_translator()
    for name in ("pipe.png", "zero.png", "kernel.png", "itself.png", "socket.png"):
        with pytest.raises(UserError, match=name):
            model(tmp_path / name)
        with pytest.raises(UserError, match=r"pipe|zero|kernel|itself|socket"):
            translate_files(model, [tmp_path / name], "b", tmp_path / "out")
        with pytest.raises(UserError):
            open_images(tmp_path / name, 8)


def test_a_maze_of_links_and_folders_without_end(tmp_path):
    for one in range(12):
        (tmp_path / "maze" / str(one)).mkdir(parents=True)
        for other in range(12):
            (tmp_path / "maze" / str(one) / f"to{other}").symlink_to(f"../{other}")
    with pytest.raises(UserError, match="links below"):
        open_images(tmp_path / "maze", 8)
    deep = tmp_path / "deep"
    deep.mkdir()
    here = Path.cwd()
    os.chdir(deep)
    try:
        for _ in range(2500):  # longer, in all, than a path may be
            os.mkdir("d")  # noqa: PTH102 - a relative name, in the folder we are in
            os.chdir("d")
    finally:
        os.chdir(here)
    try:
        with pytest.raises(UserError, match="cannot be listed"):
            open_images(deep, 8)
    finally:
        subprocess.run(["rm", "-rf", str(deep)], check=True)


def test_names_that_no_file_has(tmp_path, capsys):
    for name in ("x" * 300, "x/" * 3000, str(tmp_path / ("y" * 5000))):
        with pytest.raises(UserError, match="cannot be opened"):
            open_images(Path(name), 8)
        for command in (["generate", name], ["translate", name, name], ["evaluate", name], ["compare", name, name]):
            out = ["-o", str(tmp_path / "out")] if command[0] in ("generate", "translate") else []
            assert main([*command, *out]) == 2
            assert capsys.readouterr().err.count("error: ") == 1
    with pytest.raises(UserError, match="pattern"):
        translate_files(new_translator(), [tmp_path / "**x" / "*.png"], "b", tmp_path / "out")
    with pytest.raises(UserError, match="cannot be"):
        new_translator()("nul\0.png")


def test_permissions(tmp_path):
    """As nobody, since bits do not stop root."""
    code = """
import os, sys
from pathlib import Path
from ganshift.data.open import open_images
from ganshift.errors import UserError
folder = Path(sys.argv[1])
for path in (folder, folder / "open"):
    open_images(folder / "open", 8)  # imports what is needed while we may
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
images = open_images(folder / "files", 8)
assert images.names == ("good.png",), images.names
assert images.quarantined == [("closed.png", "cannot be read (Permission denied)")], images.quarantined
for name in ("folders", "folders/closed", "folders/closed/below"):
    try:
        open_images(folder / name, 8)
    except UserError as error:
        assert "\\n" not in str(error)
    else:
        raise AssertionError(name)
"""
    good = corpus.encode(corpus.noise("RGB"), "PNG")
    for name in ("open/good.png", "files/good.png", "files/closed.png", "folders/closed/below/good.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(good)
    (tmp_path / "files" / "closed.png").chmod(0)
    (tmp_path / "folders" / "closed").chmod(0)
    above = [folder for folder in tmp_path.parents if folder.stat().st_uid == os.getuid() and len(folder.parts) > 2]
    modes = {folder: folder.stat().st_mode for folder in [tmp_path, *above]}
    try:
        for folder in modes:
            folder.chmod(0o755)
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)
        (tmp_path / "folders" / "closed").chmod(0o755)


@pytest.mark.ring_two
def test_memory_of_the_largest_pictures(tmp_path):
    """Pictures as large as may be, each a small file: the budget holds, whatever the threads."""
    side = int(MAX_PIXELS**0.5)
    Image.new("1", (side, side)).save(tmp_path / "bits.png")
    Image.new("F", (side, side)).save(tmp_path / "float.tif", compression="packbits")
    Image.new("RGBA", (side, side)).save(tmp_path / "clear.tif", compression="packbits")
    Image.new("CMYK", (side, side)).save(tmp_path / "print.tif", compression="packbits")
    too_large = Image.new("1", (side + 10, side + 10))
    too_large.save(tmp_path / "too-large.png")
    code = """
import resource, sys
from pathlib import Path
from ganshift.data.open import open_images
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
images = open_images(Path(sys.argv[1]), 8)
assert len(images) == 4 and len(images.quarantined) == 1, images.quarantined
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    taken = int(subprocess.run(command, check=True, timeout=90, capture_output=True, text=True).stdout)
    assert taken < BUDGET_BYTES


@pytest.mark.ring_two
def test_animations_as_long_as_they_like():
    side = 2000
    frames = [Image.new("P", (side, side), number % 2) for number in range(MAX_ANIMATION_PIXELS // side**2 + 2)]
    data = corpus.encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImage, match="too long"):
        translate_animation(open_picture(data), lambda original: original)


@pytest.mark.ring_two
def test_videos_cut_short_and_lists_of_others(tmp_path, caplog):
    frames = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    whole = tmp_path / "whole.mkv"
    iio.imwrite(whole, frames, plugin="pyav", codec="libx264", fps=12, out_pixel_format="yuv444p")
    data = whole.read_bytes()
    folder = tmp_path / "videos"
    folder.mkdir()
    for part in range(1, 4):
        (folder / f"cut{part}.mkv").write_bytes(data[: len(data) * part // 4])
        (folder / f"bytes{part}.mp4").write_bytes(data[: part * 300] + b"\xff" * 40 + data[part * 300 + 40 :])
    (folder / "list.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{whole}\n#EXT-X-ENDLIST\n")
    (folder / "concat.mkv").write_text(f"ffconcat version 1.0\nfile {whole}\n")
    os.mkfifo(folder / "pipe.mp4")
    translate_files(new_translator(), [folder, whole], "b", tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert "whole.mp4" in written
    assert not {"list.mp4", "concat.mp4", "pipe.mp4"} & written
    assert all(name.endswith(".mp4") and not name.startswith(".") for name in written)
    for name in ("list.mp4", "concat.mkv", "pipe.mp4"):
        assert f"{name}: " in caplog.text


def test_names_say_nothing_to_the_terminal(tmp_path, capsys):
    """Names of files are written out in messages, each of which stays one line."""
    run = tmp_path / "run"
    model = new_translator()
    arguments = {"in_channels": 3, "out_channels": 3, "width": 2, "levels": 2, "size": 8}
    run_folder.claim(run, {"method": "dual", "gen_ab": arguments, "gen_ba": arguments})
    save_weights(run / run_folder.MODEL, model)
    assert other_domain("b") == "a"
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in (b"\x1b]0;title\x07\n.png", b"\xff\xfe.png", b"[/bold].txt.png".replace(b"/", b"")):
        (bad / os.fsdecode(name)).write_bytes(b"no picture")
    assert main(["translate", str(run), str(bad), "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "\\x1b]0;title\\x07\\n.png" in said
    assert "\\udcff\\udcfe.png" in said
    assert all(character.isprintable() or character == "\n" for character in said)
    assert len(said.splitlines()) == 4
    odd = corpus.write_odd(tmp_path / "odd")
    assert main(["translate", str(run), str(tmp_path / "odd"), "-o", str(tmp_path / "out")]) == 1
    assert all(character.isprintable() or character == "\n" for character in capsys.readouterr().err)
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(odd)
