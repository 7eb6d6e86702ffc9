"""What translation may write, and what it does about files that nothing can be made of: no original is ever lost."""

import hashlib
import os

import numpy as np
import pytest
import tifffile
import torch
from inference.test_translating import names_below, new_translator, noise
from PIL import Image

from ganshift import UserError
from ganshift.cli import main
from ganshift.inference.translating import translate_files


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """The folder `pics` with a.png and b.jpg, in the folder we are in."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pics"
    folder.mkdir()
    noise(seed=1).save(folder / "a.png")
    noise(seed=2).save(folder / "b.jpg")
    return folder


def contents(folder):
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def link(folder, name):
    (folder.parent / name).symlink_to(folder)
    return folder.parent / name


OWN_FOLDER = {
    "the folder": lambda pics: ([pics], pics),
    "relative": lambda pics: ([pics.relative_to(pics.parent)], pics),
    "dots": lambda pics: ([pics], pics / ".." / "pics"),
    "a link to it": lambda pics: ([pics], link(pics, "linked")),
    "read through a link": lambda pics: ([link(pics, "linked")], pics),
    "a picture in it": lambda pics: ([pics / "a.png"], pics),
    "a glob of it": lambda pics: ([pics / "*.png"], pics),
    "a picture itself": lambda pics: ([pics / "b.jpg"], pics / "b.jpg"),
    "another one of it": lambda pics: ([pics / "b.jpg", pics / "a.png"], pics),
}


@pytest.mark.parametrize("case", OWN_FOLDER)
def test_originals_are_not_replaced(pictures, case):
    images, out = OWN_FOLDER[case](pictures)
    before = contents(pictures)
    with pytest.raises(UserError, match="--out") as refusal:
        translate_files(new_translator(), images, "b", out)
    assert "\n" not in str(refusal.value)
    assert contents(pictures) == before


def test_links_in_the_folder_that_is_written_to(pictures, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for name, make in (("soft", os.symlink), ("hard", os.link)):
        make(pictures / "a.png", out / "a.png")
        with pytest.raises(UserError, match="would replace"):
            translate_files(new_translator(), [pictures], "b", out)
        assert names_below(out) == ["a.png"], name
        (out / "a.png").unlink()


def test_round_trips_do_not_replace_what_they_start_from(tmp_path):
    for domain in "AB":
        (tmp_path / "data" / domain).mkdir(parents=True)
        noise().save(tmp_path / "data" / domain / "x.png")
    before, data = contents(tmp_path), tmp_path / "data"
    with pytest.raises(UserError, match="--out"):
        translate_files(new_translator(), [data / "A"], "b", data, roundtrip=True)
    with pytest.raises(UserError, match="--out"):
        translate_files(new_translator(), [data], "both", data, roundtrip=True)
    assert contents(tmp_path) == before
    translate_files(new_translator(), [data], "both", data)
    assert names_below(data) == ["A/x.png", "A2B/x.png", "B/x.png", "B2A/x.png"]


def test_overwrite_replaces_each_by_its_own_translation_only(pictures):
    before = contents(pictures)
    translate_files(new_translator(), [pictures], "b", pictures, overwrite=True)
    after = contents(pictures)
    assert names_below(pictures) == ["a.png", "b.jpg", "b.png"]
    assert after[pictures / "a.png"] != before[pictures / "a.png"]
    assert after[pictures / "b.jpg"] == before[pictures / "b.jpg"]
    (pictures / "other").mkdir()
    noise().save(pictures / "other" / "a.webp")
    other = pictures / "other" / "a.webp"
    (pictures / "other" / "a.png").symlink_to("../b.jpg")  # which is read, but not what a.webp becomes
    with pytest.raises(UserError, match="would replace"):
        translate_files(new_translator(), [other, pictures / "b.jpg"], "b", pictures / "other", overwrite=True)


def test_results_of_earlier_runs_are_not_read(pictures, caplog):
    for _ in range(2):
        translate_files(new_translator(), [pictures], "b", pictures / "out")
    translate_files(new_translator(), [pictures / "**" / "*"], "b", pictures / "out")
    assert names_below(pictures / "out") == ["a.png", "b.png"]
    assert "results of earlier runs" in caplog.text


def test_one_picture_into_one_file(pictures, tmp_path):
    model = new_translator()
    for name, form in (("x.png", "PNG"), ("x.jpg", "JPEG"), ("x.webp", "WEBP"), ("x.tif", "TIFF")):
        assert translate_files(model, [pictures / "a.png"], "b", tmp_path / "new" / name).written == [
            tmp_path / "new" / name
        ]
        with Image.open(tmp_path / "new" / name) as written:
            assert (written.format, written.size) == (form, (20, 14))
    for images, name in (([pictures], "y.png"), ([pictures / "a.png"], "y.mp4"), ([pictures / "a.png"], "y.gif")):
        with pytest.raises(UserError, match=r"y\."):
            translate_files(model, images, "b", tmp_path / name)
        assert not (tmp_path / name).exists()
    noise(mode="RGBA").save(pictures / "clear.png")
    with pytest.raises(UserError, match="opacity"):
        translate_files(model, [pictures / "clear.png"], "b", tmp_path / "y.jpg")
    (tmp_path / "folder.png").mkdir()
    translate_files(model, [pictures], "b", tmp_path / "folder.png")
    assert names_below(tmp_path / "folder.png") == ["a.png", "b.png", "clear.png"]


def test_existing_results_are_skipped(pictures, tmp_path):
    out = tmp_path / "out"
    translate_files(new_translator(), [pictures / "a.png"], "b", out)
    before = (out / "a.png").stat().st_mtime_ns
    noise().save(pictures / "still.gif")
    noise().save(pictures / "moving.gif", save_all=True, append_images=[noise(seed=3)])
    done = translate_files(new_translator(), [pictures], "b", out, skip_existing=True)
    assert (done.skipped, len(done.written)) == (1, 3)
    assert (out / "a.png").stat().st_mtime_ns == before
    done = translate_files(new_translator(), [pictures], "b", out, skip_existing=True)
    assert (done.skipped, done.written, done.left_out) == (4, [], {})


def test_errors_of_one_file_are_its_own(tmp_path, caplog):
    """What cannot be read, translated or written is left out, and the rest goes on."""
    model, pics, out = new_translator(), tmp_path / "pics", tmp_path / "out"
    pics.mkdir()
    for name in ("good", "worse", "blocked"):
        noise().save(pics / f"{name}.png")
    noise(31, 31).save(pics / "large.png")
    (pics / "bad.png").write_bytes(b"no picture")
    (out / "blocked.png").mkdir(parents=True)
    (out / "blocked.png" / "full").touch()

    def refuse(network, images):
        if images[0].shape[-1] == 31:
            raise torch.OutOfMemoryError("CUDA out of memory")

    model.gen_ab.register_forward_pre_hook(refuse)
    done = translate_files(model, [pics], "b", out)
    assert {path.name for path in done.written} == {"good.png", "worse.png"}
    assert {name.rpartition("/")[2] for name in done.left_out} == {"bad.png", "large.png", "blocked.png"}
    assert "large.png: memory is too short" in caplog.text
    assert "3 of 5 files were left out" in caplog.text


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 1)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_thin_pictures_of_any_mode(tmp_path, size, mode):
    values = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 4), dtype=np.uint8)
    if mode in ("I;16", "I", "F"):
        kinds = {"I;16": np.uint16, "I": np.int32, "F": np.float32}
        picture = Image.fromarray(values[..., 0].astype(kinds[mode]))
    else:
        picture = Image.fromarray(values).convert("RGB").convert(mode)
    picture.save(tmp_path / "thin.tif")
    done = translate_files(new_translator(), [tmp_path / "thin.tif"], "b", tmp_path / "out")
    with Image.open(done.written[0]) as written:
        written.load()
        assert written.size == size


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.int16, np.float32, np.float64, np.bool_])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_depth_is_translated_or_left_out(tmp_path, kind, channels):
    values = (np.random.default_rng(0).random((9, 7, channels)) * 200).astype(kind)
    tifffile.imwrite(tmp_path / "deep.tif", values.squeeze(), photometric="minisblack" if channels == 1 else "rgb")
    noise().save(tmp_path / "good.png")
    done = translate_files(new_translator(), [tmp_path], "b", tmp_path / "out")
    assert len(done.written) + len(done.left_out) == 2
    assert tmp_path / "out" / "good.png" in done.written


def test_names_as_long_as_they_may_be(tmp_path):
    name = "x" * 251
    noise().save(tmp_path / f"{name}.png")
    translate_files(new_translator(), [tmp_path / f"{name}.png"], "b", tmp_path / "out")
    assert names_below(tmp_path / "out") == [f"{name}.png"]


def test_what_other_commands_write_is_no_input(pictures, tmp_path, capsys):
    run = pictures / "run"
    train = ["transfer", "--preset", "tiny", "--data", str(pictures), "--out", str(run), "--images"]
    assert main([*train, "16"]) == 0
    assert main([*train, "32"]) == 0  # the sample grids of the first are no new images
    log, read = run / "log.jsonl", (run / "log.jsonl").read_bytes()
    evaluate = ["evaluate", str(run), "--reference", str(pictures), "--metrics", "kid", "-n", "8"]
    for command in ([*evaluate, "--out", str(pictures / "scores")], ["report", str(run), "-o", str(log)]):
        capsys.readouterr()
        assert main(command) == 2
        assert capsys.readouterr().err.startswith("error: --out")
    assert log.read_bytes() == read
    assert not (pictures / "scores").exists()


def test_exit_codes_of_the_command(pictures, tmp_path, capsys):
    command = ["translate", "photo-sketch", str(pictures), "-o", str(tmp_path / "out"), "--skip-existing"]
    assert main(command) == 0
    (pictures / "bad.png").write_bytes(b"no picture")
    (pictures / "notes.TXT").touch()
    capsys.readouterr()
    assert main(command) == 1
    said = capsys.readouterr().err
    for line in ("left out", "1 of 3 files were left out", "skipped 1 of 4 files", "1 .txt", "skipped 2 files"):
        assert line in said
    assert main(["translate", "photo-sketch", str(pictures), "-o", str(pictures)]) == 2
    assert main(["translate", "photo-sketch", str(pictures / "bad.png"), "-o", str(tmp_path / "x")]) == 2
