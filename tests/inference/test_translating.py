"""Translation of files as the command does it: names, kinds of files, round trips."""

import zipfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from ganshift import Translator, UserError
from ganshift.data import images, storage
from ganshift.data.pixel_formats import load_formatted
from ganshift.inference.translating import translate_files
from ganshift.inference.translator import AT_ONCE_PIXELS


def new_translator(channels_a=3, channels_b=3, size=32):
    torch.manual_seed(0)
    shared = {"width": 4, "levels": 5, "size": size, "dropout": 0.0, "as_published": False}
    there = {"in_channels": channels_a, "out_channels": channels_b, **shared}
    back = {"in_channels": channels_b, "out_channels": channels_a, **shared}
    model = Translator(there, back)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.requires_grad_(False)


def noise(width=20, height=14, mode="RGB", seed=0):
    bands = len(Image.new(mode, (1, 1)).getbands())
    values = np.random.default_rng(seed).integers(0, 256, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(values.squeeze(-1) if bands == 1 else values)


def names_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_pictures_keep_mode_size_and_opacity(tmp_path, mode):
    picture = noise(mode=mode)
    picture.save(tmp_path / "picture.png")
    translate_files(new_translator(), [tmp_path / "picture.png"], "b", tmp_path / "out")
    with Image.open(tmp_path / "out" / "picture.png") as translated:
        assert (translated.mode, translated.size) == (mode, picture.size)
        assert translated.tobytes() != picture.tobytes()
        if "A" in mode:
            assert translated.getchannel("A").tobytes() == picture.getchannel("A").tobytes()


def test_deep_pictures_stay_deep(tmp_path):
    model, deep = new_translator(), np.random.default_rng(0).integers(0, 65536, (9, 11), dtype=np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    translate_files(model, [tmp_path / "deep.png"], "b", tmp_path / "out")
    original, translated = load_formatted(tmp_path / "deep.png"), load_formatted(tmp_path / "out" / "deep.png")
    assert translated.colours.dtype == np.uint16
    assert len(np.unique(translated.colours % 257)) > 50  # not 8 bits, stretched
    red, green, blue = ((model.translate(original.for_network(3))[0] + 1) * 32767.5).round().numpy()
    np.testing.assert_allclose(translated.colours[0], 0.299 * red + 0.587 * green + 0.114 * blue, atol=1)


def test_domains_of_other_channels_give_their_mode(tmp_path):
    noise(mode="RGBA").save(tmp_path / "photo.png")
    translate_files(new_translator(3, 1), [tmp_path / "photo.png"], "b", tmp_path / "drawn")
    translate_files(new_translator(3, 1), [tmp_path / "drawn" / "photo.png"], "a", tmp_path / "back")
    with Image.open(tmp_path / "drawn" / "photo.png") as drawn, Image.open(tmp_path / "back" / "photo.png") as back:
        assert (drawn.mode, back.mode) == ("LA", "RGBA")


def test_large_images_are_what_they_would_be_at_once():
    model = new_translator()
    side = int(AT_ONCE_PIXELS**0.5)
    images = torch.rand(2, 3, side + 33, side) * 2 - 1
    expected = model.gen_ab(images)
    torch.testing.assert_close(model.translate(images, "b"), expected, rtol=0, atol=1e-4)


def test_sources_of_all_kinds(tmp_path):
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    noise(seed=1).save(photos / "one.jpg")
    noise(seed=2).save(photos / "more" / "two.webp")
    (photos / "notes.txt").write_text("no image")
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.write(photos / "one.jpg", "inner/three.jpg")
    model, out = new_translator(), tmp_path / "out"
    translate_files(model, [photos, tmp_path / "packed.zip"], "b", out)
    assert names_below(out) == ["inner/three.png", "more/two.png", "one.png"]
    assert (out / "inner" / "three.png").read_bytes() == (out / "one.png").read_bytes()
    translate_files(model, [photos / "*" / "two.*", photos / "o?e.jpg"], "b", tmp_path / "globbed")
    assert names_below(tmp_path / "globbed") == ["more/two.png", "one.png"]
    translate_files(model, [tmp_path / "**" / "*"], "b", tmp_path / "all")
    assert "photos/more/two.png" in names_below(tmp_path / "all")
    with pytest.raises(UserError, match="no image matches"):
        translate_files(model, [photos / "*.gif"], "b", out)
    odd = photos / "brackets[1].png"
    noise().save(odd)
    translate_files(model, [odd], "b", tmp_path / "odd")
    assert names_below(tmp_path / "odd") == ["brackets[1].png"]


def test_names_that_would_collide(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        noise().save(tmp_path / folder / "x.png")
    noise(seed=1).save(tmp_path / "a" / "x.jpg")
    translate_files(new_translator(), [tmp_path / "a"], "b", tmp_path / "out")
    assert names_below(tmp_path / "out") == ["x.jpg.png", "x.png"]
    noise(seed=2).save(tmp_path / "a" / "x.png.jpg")
    translate_files(new_translator(), [tmp_path / "a"], "b", tmp_path / "more")
    assert names_below(tmp_path / "more") == ["x.jpg.png", "x.png", "x.png.png"]
    with pytest.raises(UserError, match="would write the same file"):
        translate_files(new_translator(), [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png"], "b", tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_broken_files_are_left_out(tmp_path, caplog):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match="none of the 2 images could be read"):
        translate_files(new_translator(), [tmp_path], "b", tmp_path / "out")
    noise().save(tmp_path / "good.png")
    translate_files(new_translator(), [tmp_path], "b", tmp_path / "out")
    assert names_below(tmp_path / "out") == ["good.png"]
    assert "bad.png: not a JPEG" in caplog.text
    assert "bad.mp4: no video that can be read" in caplog.text


@pytest.mark.parametrize(("kind", "mode"), [("gif", "RGB"), ("webp", "RGB"), ("webp", "RGBA"), ("png", "RGBA")])
def test_animations_stay_animations(tmp_path, kind, mode):
    frames = [noise(mode=mode, seed=seed) for seed in range(3)]
    path = tmp_path / f"moving.{kind}"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[50, 70, 90], loop=2, lossless=True)
    translate_files(new_translator(), [path], "b", tmp_path / "out")
    with Image.open(tmp_path / "out" / path.name) as moved:
        assert (moved.n_frames, moved.info["loop"], moved.size) == (3, 2, frames[0].size)
        moved.seek(2)
        moved.load()
        assert moved.info["duration"] == 90
        if kind != "gif":
            model = new_translator()
            assert moved.convert(mode).getpixel((3, 4))[:2] == pytest.approx(
                model(frames[2]).getpixel((3, 4))[:2], abs=1
            )


@pytest.mark.parametrize("size", [(32, 24), (33, 25)])
def test_videos_frame_by_frame(tmp_path, size):
    frames = np.stack([np.asarray(noise(8, 6, seed=seed).resize(size)) for seed in range(5)])
    iio.imwrite(tmp_path / "clip.mkv", frames, plugin="pyav", codec="libx264", fps=12, out_pixel_format="yuv444p")
    model, out = new_translator(), tmp_path / "out"
    translate_files(model, [tmp_path / "clip.mkv"], "b", out)
    assert names_below(out) == ["clip.mp4"]
    video = iio.imread(out / "clip.mp4", plugin="pyav")
    assert video.shape == frames.shape
    assert iio.immeta(out / "clip.mp4", plugin="pyav")["fps"] == pytest.approx(12, rel=0.01)
    given = iio.imread(tmp_path / "clip.mkv", plugin="pyav")
    expected = np.stack([np.asarray(model(Image.fromarray(frame))) for frame in given])
    # H.264 rounds single pixels of noise a lot, but not what they are on average
    distances = [[np.abs(theirs - ours).max() for ours in blocks(expected)] for theirs in blocks(video)]
    assert max(np.diag(distances)) < 12
    assert min(distance for row, line in enumerate(distances) for distance in line[:row] + line[row + 1 :]) > 24


def test_one_damaged_zip_of_several_ends_nothing(tmp_path, caplog):
    (tmp_path / "empty").mkdir()
    (tmp_path / "damaged.zip").write_bytes(b"PK\3\4 and nothing else")
    noise().save(tmp_path / "good.png")
    given = [tmp_path / name for name in ("damaged.zip", "empty", "good.png")]
    done = translate_files(new_translator(), given, "b", tmp_path / "out")
    assert done.written == [tmp_path / "out" / "good.png"]
    assert [Path(name).name for name in done.left_out] == ["damaged.zip", "empty"]
    assert "is empty; put images there" in done.left_out[str(tmp_path / "empty")]
    with pytest.raises(UserError, match=r"damaged.zip"):
        translate_files(new_translator(), given[:1], "b", tmp_path / "other")
    with pytest.raises(UserError, match=r"does not exist"):
        translate_files(new_translator(), [*given, tmp_path / "misspelt"], "b", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_video_in_a_folder_may_be_of_any_length(tmp_path, monkeypatch):
    """Pictures are read whole, so that they have a limit; videos are not."""
    for module in (images, storage):
        monkeypatch.setattr(module, "MAX_FILE_BYTES", 10)
    (tmp_path / "clips").mkdir()
    iio.imwrite(tmp_path / "clips" / "clip.mkv", np.zeros((2, 16, 16, 3), np.uint8), plugin="pyav", codec="libx264")
    noise().save(tmp_path / "clips" / "picture.png")
    done = translate_files(new_translator(), [tmp_path / "clips"], "b", tmp_path / "out")
    assert done.written == [tmp_path / "out" / "clip.mp4"]
    ((name, reason),) = done.left_out.items()
    assert name.endswith("picture.png")
    assert "too large" in reason


def blocks(video):
    """Means of 8 x 8 pixels, by frame."""
    frames, height, width, _ = video.shape
    whole = video[:, : height // 8 * 8, : width // 8 * 8].astype(float)
    return list(whole.reshape(frames, height // 8, 8, width // 8, 8, 3).mean((2, 4)))


def test_round_trips_write_three_of_each(tmp_path, capsys):
    model = new_translator(3, 1)
    for index in range(3):
        noise(20 + index, 14, seed=index).save(tmp_path / f"{index}.png")
    done = translate_files(model, [tmp_path], "b", tmp_path / "out", roundtrip=True)
    assert len(done.written) == 9
    assert names_below(tmp_path / "out") == [f"{kind}/{i}.png" for kind in ("A", "A2B", "A2B2A") for i in range(3)]
    distances = []
    for index in range(3):
        start = load_formatted(tmp_path / f"{index}.png").for_network(3)
        there = model.gen_ab(start)
        back = model.gen_ba(there)
        distances.append((back - start).abs().mean().item())
        kept = load_formatted(tmp_path / "out" / "A2B2A" / f"{index}.png").for_network(3)
        torch.testing.assert_close(kept, back, rtol=0, atol=1.01 / 255)
        assert load_formatted(tmp_path / "out" / "A2B" / f"{index}.png").to_pillow().mode == "L"
    assert f"{np.mean(distances):.4f} over 3 images" in capsys.readouterr().err


def test_both_domains(tmp_path):
    for name, mode, count in (("train/A", "RGB", 2), ("train/B", "L", 3), ("val/A", "RGB", 1), ("val/B", "L", 2)):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for index in range(count):
            noise(mode=mode, seed=index).save(folder / f"{index}.png")
    model = new_translator(3, 1)
    translate_files(model, [tmp_path / "data"], "both", tmp_path / "plain")
    assert names_below(tmp_path / "plain") == ["A2B/0.png", "B2A/0.png", "B2A/1.png"]
    translate_files(model, [tmp_path / "data"], "both", tmp_path / "trips", roundtrip=True)
    assert len(names_below(tmp_path / "trips")) == 3 * 1 + 3 * 2
    assert (tmp_path / "trips" / "B2A2B" / "1.png").exists()
    (tmp_path / "data" / "val").rename(tmp_path / "elsewhere")
    translate_files(model, [tmp_path / "data"], "both", tmp_path / "train")
    assert len(names_below(tmp_path / "train")) == 2 + 3


@pytest.mark.parametrize("size", [32, (32, 48)])
def test_training_size(tmp_path, size):
    noise(100, 80).save(tmp_path / "photo.png")
    translate_files(new_translator(3, 1, size), [tmp_path / "photo.png"], "b", tmp_path / "out", training_size=True)
    with Image.open(tmp_path / "out" / "photo.png") as translated:
        assert translated.size == ((32, 32) if size == 32 else (48, 32))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_all_pages_of_a_tiff_are_translated(tmp_path, kind):
    stack = np.random.default_rng(0).integers(0, 256, (3, 40, 44), np.uint8).astype(kind)
    tifffile.imwrite(tmp_path / "s.tif", stack, photometric="minisblack")
    model, out = new_translator(), tmp_path / "out"
    written = translate_files(model, [tmp_path / "s.tif"], "b", out).written
    assert names_below(out) == ["s-page2.png", "s-page3.png", "s.png"]
    assert len(written) == 3
    for name, page in zip(("s", "s-page2", "s-page3"), stack, strict=True):
        expected = model(page)
        np.testing.assert_array_equal(load_formatted(out / f"{name}.png").colours[0], expected)
    assert translate_files(model, [tmp_path / "s.tif"], "b", out, skip_existing=True).skipped == 1


def test_a_page_replaces_no_other_file(tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", np.zeros((2, 40, 40), np.uint8), photometric="minisblack")
    noise(mode="L").save(tmp_path / "s-page2.png")
    done = translate_files(new_translator(), [tmp_path / "s.tif", tmp_path / "s-page2.png"], "b", tmp_path / "out")
    assert [reason for reason in done.left_out.values() if "its page 2 and another file" in reason]
    assert names_below(tmp_path / "out") == ["s-page2.png"]


def test_float_colour_is_translated(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", np.random.default_rng(0).random((40, 40, 3), np.float32), photometric="rgb")
    translate_files(new_translator(), [tmp_path / "f.tif"], "b", tmp_path / "out")
    assert load_formatted(tmp_path / "out" / "f.png").colours.dtype == np.uint16


def test_twelve_bits_are_nearly_black_to_a_model_without_a_range(tmp_path, caplog):
    for index in range(2):
        Image.fromarray(np.full((40, 40), 4000, np.uint16)).save(tmp_path / f"{index}.png")
    translate_files(new_translator(), [tmp_path], "b", tmp_path / "out")
    assert caplog.text.count("is nearly black to this model") == 1
