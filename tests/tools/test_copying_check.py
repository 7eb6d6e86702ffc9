"""The check for copies on whole runs: alarms, fair generators, missing images, what is written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ganshift
from ganshift import Generator, UserError
from ganshift.cli import main
from ganshift.data.datasets import draw_subset
from ganshift.data.open import open_images
from ganshift.metrics.copying import PAIRS, VERDICT, load_verdict
from ganshift.tools.evaluate.copying import SHOWN, check_copying

COUNT = 120


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_samples(model, folder, seed):
    folder.mkdir(parents=True)
    for number, picture in enumerate(model.sample(COUNT, seed=seed)):
        picture.save(folder / f"{number:03d}.png")
    return folder


@pytest.fixture
def run(tmp_path):
    """The bundled digits, said to be trained on images that it made itself from seed 1; others lie beside as test."""
    run = Path(shutil.copytree(Path(ganshift.__file__).parent / "sources" / "digits32", tmp_path / "run"))
    model = Generator.from_pretrained(run, "cpu")
    write_samples(model, tmp_path / "data" / "train", seed=1)
    write_samples(model, tmp_path / "data" / "test", seed=2)
    config = json.loads((run / "config.json").read_text())
    images = open_images(tmp_path / "data", 32, 1, 1e9)
    config["data"] = {"images": len(images), "content": images.content_hash}
    config["training"]["data"] = str(tmp_path / "data")
    (run / "config.json").write_text(json.dumps(config))
    return run


def test_copies_raise_the_alarm_and_are_shown_beside_their_originals(run):
    verdict = check_copying(run, seed=1, num_images=COUNT, device="cpu")
    assert verdict.alarm
    assert verdict.median_distance < 1e-3 < verdict.median_held_out_distance
    for pair in verdict.pairs:
        assert pair["training"] == f"{pair['generated']:03d}.png"
        assert pair["distance"] < 1e-3
    assert verdict.in_words().startswith("it seems to copy")
    above, below = np.split(np.asarray(Image.open(run / PAIRS))[2:], 2)
    assert np.array_equal(above[:32], below[:32])
    assert above.shape[1] == SHOWN * 34 + 2


def test_images_of_other_latents_raise_none(run):
    verdict = check_copying(run, seed=3, num_images=COUNT, device="cpu")
    assert verdict.alarm is False
    assert (verdict.num_generated, verdict.num_training, verdict.num_held_out) == (COUNT, COUNT, COUNT)
    assert verdict.in_words().startswith("no sign of copying")
    assert json.loads((run / VERDICT).read_text())["alarm"] is False


def test_without_held_out_images_there_is_no_verdict_but_a_picture(run, tmp_path):
    shutil.move(tmp_path / "data" / "test", tmp_path / "others")
    alone = check_copying(run, seed=1, num_images=COUNT, device="cpu")
    assert (alone.alarm, alone.num_held_out) == (None, 0)
    assert "--held-out" in alone.in_words()
    assert (run / PAIRS).exists()
    assert check_copying(run, held_out=tmp_path / "others", seed=1, num_images=COUNT, device="cpu").alarm
    with pytest.raises(UserError, match="holds the training images"):
        check_copying(run, held_out=tmp_path / "data", seed=1, num_images=COUNT, device="cpu")


def test_what_a_subset_left_out_is_held_out(run, tmp_path):
    shutil.rmtree(tmp_path / "data" / "test")
    config = json.loads((run / "config.json").read_text())
    drawn = draw_subset(open_images(tmp_path / "data", 32, 1, 1e9), 80, 5)
    config["data"] = {"images": 80, "content": drawn.content_hash}
    config["training"] |= {"subset": 80, "subset_seed": 5}
    (run / "config.json").write_text(json.dumps(config))
    verdict = check_copying(run, seed=1, num_images=COUNT, device="cpu")
    assert (verdict.num_training, verdict.num_held_out) == (80, COUNT - 80)
    assert verdict.pairs[0]["training"] in drawn.names


def test_training_images_are_known_by_their_content(run, tmp_path):
    moved = Path(shutil.move(tmp_path / "data", tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="cannot be checked without the training images"):
        check_copying(run, num_images=COUNT, device="cpu")
    assert check_copying(run, moved, seed=1, num_images=COUNT, device="cpu").alarm
    with pytest.raises(UserError, match="holds other images than"):
        check_copying(run, moved / "test", num_images=COUNT, device="cpu")
    others = Path(shutil.copytree(moved / "test", tmp_path / "data"))
    with pytest.raises(UserError, match=r"training images: \S+ holds other images than \S+ was trained on$"):
        check_copying(run, others, num_images=COUNT, device="cpu")


def test_the_command_says_the_verdict_or_why_there_is_none(run, tmp_path, capfd):
    arguments = ["evaluate", str(run), "--reference", str(tmp_path / "data"), "-n", str(COUNT), "--device", "cpu"]
    assert main([*arguments, "--metrics", "copying", "--seed", "1"]) == 0
    said = capfd.readouterr().err
    assert "it seems to copy" in said
    assert "ganshift compare" not in said  # there are no cards
    assert not (run / "cards").exists()
    assert main([*arguments, "--metrics", "copying", "-n", "0"]) == 2
    assert "must be at least 1, got 0" in capfd.readouterr().err
    assert main(["evaluate", str(run), "--metrics", "is", "-n", "20", "--device", "cpu"]) == 0
    assert "cop" not in capfd.readouterr().err
    shutil.move(tmp_path / "data", tmp_path / "elsewhere")
    assert main(["evaluate", str(run), "--metrics", "copying", "--device", "cpu"]) == 2
    assert "cannot be checked" in capfd.readouterr().err


def test_the_verdict_is_read_back_and_a_damaged_one_named(run):
    assert load_verdict(run) is None
    verdict = check_copying(run, seed=1, num_images=COUNT, device="cpu")
    assert load_verdict(run).in_words() == verdict.in_words()
    wrong = json.dumps({**vars(verdict), "median_distance": "far"})
    for content in ("{", "[]", '{"alarm": true}', "[" * 200_000, wrong):
        (run / VERDICT).write_text(content)
        with pytest.raises(UserError, match="cannot read"):
            load_verdict(run)


@pytest.mark.parametrize("anything", [None, 3, "x", [], {}, {"data": 3}, {"data": "/dev/zero", "subset": "many"}])
def test_descriptions_with_anything_where_the_training_images_should_be(run, anything):
    """Every part of a description that is looked at may be missing or of another type."""
    config = json.loads((run / "config.json").read_text())
    for part in ("training", "data"):
        (run / "config.json").write_text(json.dumps({**config, part: anything}))
        with pytest.raises(UserError, match=r"copying cannot be checked without|does not say which images"):
            check_copying(run, num_images=8, device="cpu")


def test_what_is_found_of_a_model_that_ships_goes_elsewhere(tmp_path, capfd):
    command = ["evaluate", "digits32", "--reference", "bundled:digits-0-4", "-n", "64", "--metrics", "kid,copying"]
    assert main([*command, "--device", "cpu"]) == 2
    assert "which is not a folder of yours: give --out" in capfd.readouterr().err
    assert main([*command, "--device", "cpu", "--out", str(tmp_path / "found")]) == 0
    assert {path.name for path in (tmp_path / "found").iterdir()} == {"cards", VERDICT, PAIRS}
    assert str(tmp_path / "found" / PAIRS) in capfd.readouterr().err


def test_a_translator_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"method": "dual"}))
    with pytest.raises(UserError, match="holds a dual run, not a generator"):
        check_copying(tmp_path)
