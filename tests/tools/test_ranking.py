"""Sources in the order that they suit images: real sources, real trials, and the record of how far to trust them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.source_criteria import CRITERIA, picks
from ganshift.cli import main
from ganshift.errors import UserError
from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import train
from ganshift.tools.sources import RankedSource, rank_sources, reason, reliability, trial_folder

DATA = "bundled:digits-5-9"
SMALL = {"trial_images": 64, "num_images": 40, "preset": "tiny"}
NEAR = RankedSource(
    source="near", size=32, channels=3, kid=1.0, kid_error=0.1, num_trained=500, num_classes=5, diversity=0.5
)
DENSE = replace(NEAR, source="dense", kid=2.0, num_classes=1)
DIVERSE = replace(NEAR, source="diverse", kid=3.0, diversity=0.9)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """A source that has hardly learned anything, of faces."""
    out = tmp_path_factory.mktemp("untrained") / "faces"
    train(TransferConfig(**PRESETS["tiny"] | {"images": 16}, data=Path("bundled:faces"), out=out))
    return out


@pytest.fixture(scope="module")
def trials(untrained, tmp_path_factory):
    """Two sources and one that is none, tried on digits."""
    out = tmp_path_factory.mktemp("trials")
    return out, rank_sources(DATA, [str(untrained), "digits32", "nowhere"], out=out, **SMALL)


def test_a_line_through_the_trial():
    tried = replace(NEAR, trial=((1_000, 0.9), (2_000, 0.6), (3_000, 0.7), (4_000, 0.4)))
    assert tried.slope == pytest.approx(-0.14)  # by hand: sum of (x - mean)(y - mean) is -0.7, of (x - mean)^2 is 5
    assert tried.after_trial == pytest.approx(0.65 - 0.14 * 1.5)
    assert replace(NEAR, trial=((1_000, 0.9),)).after_trial == 0.9
    assert (NEAR.slope, NEAR.after_trial, NEAR.rank_by) == (None, None, 1.0)


def test_each_criterion_has_its_pick():
    sources = [NEAR, DENSE, DIVERSE]
    assert picks(sources) == {"distance": NEAR, "density": DENSE, "diversity": DIVERSE}
    assert (NEAR.density, DENSE.density) == (100, 500)
    tried = [replace(source, trial=((10, value),)) for source, value in zip(sources, (3.0, 2.0, 1.0), strict=True)]
    assert picks(tried)["trial"] == tried[2]


def test_reasons():
    assert reason([NEAR]) == "near has the lowest KID before training: 1.000; there is nothing to compare it with"
    assert reason([NEAR, DENSE]).endswith("1.000, against 2.000 of dense")
    won, lost = replace(DENSE, trial=((10, 0.5),)), replace(NEAR, trial=((10, 0.7),))
    assert reason([won, lost]).endswith(
        "KID after 10 images shown: 0.500, against 0.700 of near. near is nearer before training, but the trial went "
        "better with dense"
    )
    assert reason([lost, won]).endswith("and is the nearest before training too")


def test_sources_are_ranked_by_their_trials(trials, untrained):
    out, (ranked, refused) = trials
    assert [source.source for source in ranked] == ["digits32", str(untrained)]
    assert [*refused] == ["nowhere"]
    assert "there is no run folder 'nowhere'" in refused["nowhere"]
    digits, faces = ranked
    assert digits.kid < faces.kid
    assert [shown for shown, _ in digits.trial] == [16, 32, 48, 64]
    assert (digits.size, digits.channels) == (32, 1)
    assert digits.num_trained > 500
    assert digits.diversity > faces.diversity
    assert (trial_folder(out, "digits32") / "model.safetensors").is_file()


def test_gray_sources_are_not_ranked_beside_colour_ones_for_colour_images(tmp_path):
    """Seen with photographs of facades: turned gray, all distances are smaller, and the digits had won."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / f"{number}.png")
    options = {"out": tmp_path / "trials", **SMALL, "trial_images": 0}
    ranked, refused = rank_sources(tmp_path, ["digits32", "cifar10-small"], **options)
    assert [source.source for source in ranked] == ["cifar10-small"]
    assert [*refused] == ["digits32"]
    assert "in gray" in refused["digits32"]
    alone, _ = rank_sources(tmp_path, ["digits32"], **options)
    assert [source.source for source in alone] == ["digits32"]
    gray, refused = rank_sources(DATA, ["digits32", "cifar10-small"], **options)
    assert [source.source for source in gray] == ["digits32"]
    assert "has 1 channels, 3 are asked for" in refused["cifar10-small"]  # bundled digits cannot be made colour


def test_the_same_call_trains_nothing_again(trials, untrained):
    out, (ranked, _) = trials
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoints/*")}
    again, _ = rank_sources(DATA, [str(untrained), "digits32"], out=out, **SMALL)
    assert again == ranked
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoints/*")} == before


def test_folders_of_trials_differ(tmp_path):
    folders = {
        trial_folder(tmp_path, name) for name in ("runs/a/best", "runs/b/best", "owner/model", "../model", "digits32")
    }
    assert len(folders) == 5
    assert {folder.parent for folder in folders} == {tmp_path}


def test_command(trials, untrained, capsys):
    out, _ = trials
    options = ["--data", DATA, "--trial-images", "64", "-n", "40", "--preset", "tiny", "--out", str(out)]
    assert main(["sources", "digits32", str(untrained), *options]) == 0
    shown = capsys.readouterr()
    assert "digits32" in shown.out
    assert "after trial" in shown.out
    said = " ".join(shown.err.split())
    assert "digits32 has the lowest KID after 64 images shown" in said
    assert "How far to trust this: in" in said
    assert f"Next: ganshift transfer --data {DATA} --source digits32" in said
    assert main(["sources", "digits32", "--trial-images", "0", "--json", *options[:2], *options[4:]]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ranked"][0]["trial"] == []
    assert set(found) == {"ranked", "refused", "reason", "reliability"}


def test_nothing_to_rank(tmp_path, capsys):
    assert main(["sources", "nowhere", "--data", DATA, "--out", str(tmp_path)]) == 2
    assert "none of the sources can be used" in capsys.readouterr().err
    assert main(["sources", "--data", str(tmp_path / "nothing"), "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")  # not said of every source
    with pytest.raises(UserError, match="there is no preset 'smal'"):
        rank_sources(DATA, preset="smal", out=tmp_path)


def test_what_is_said_of_reliability_was_measured():
    """The counts that are printed are those of the rows beside them."""
    found = reliability()
    rows = found["rows"]
    assert found["cases"] == len(rows) >= 4
    assert all(len(row["final"]) == found["sources"] for row in rows)
    for row in rows:
        assert row["best"] == min(row["final"], key=row["final"].get)
    right = {name: sum(row["picked"][name] == row["best"] for row in rows) for name in CRITERIA}
    assert found["right"] == right
