"""Runs of files with more than 8 bits a value: the range is found once, kept, and given back in units."""

import json

import numpy as np
import pytest
import tifffile
import torch
from imagecodecs import png_encode

from ganshift import Translator
from ganshift.cli import main
from ganshift.data.value_range import ValueRange

TINY = ["dual", "--preset", "tiny", "--size", "32", "--images", "8", "--checkpoint-every", "4", "--evaluate-every", "0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Domain a: 12 bits in 16. Domain b: int16 from -1000 to 1000. Each with a corner in it that says its number."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "A").mkdir()
    (folder / "B").mkdir()
    y, x = np.mgrid[0:32, 0:32]
    for index in range(6):
        ramp = (np.hypot(x - 4 * index, y) / 45).clip(0, 1)
        (folder / "A" / f"{index}.png").write_bytes(png_encode((ramp * 4095).astype(np.uint16)))
        tifffile.imwrite(folder / "B" / f"{index}.tif", (ramp * 2000 - 1000).astype(np.int16))
    return folder


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "straight"
    assert main([*TINY, "--data", str(data), "--range-b", "hu:-1000,1000", "--out", str(out)]) == 0
    return out


def test_the_range_is_kept_and_said(data, run, tmp_path, capsys):
    config = json.loads((run / "config.json").read_text())
    assert config["value_ranges"]["b"] == {"low": -1000, "high": 1000, "type": "int16", "unit": "hu"}
    assert config["value_ranges"]["a"]["type"] == "uint16"
    assert 3500 < config["value_ranges"]["a"]["high"] <= 4095
    model = Translator.from_pretrained(run, "cpu")
    assert model.value_range("b") == ValueRange(-1000, 1000, "int16", "hu")
    card = str(model.generate_model_card())
    assert "Values of domain B: -1,000 to 1,000 hu (int16) are black to white." in card
    capsys.readouterr()
    assert main([*TINY, "--data", str(data), "--range-b", "hu:-1000,1000", "--out", str(tmp_path / "run")]) == 0
    first = capsys.readouterr().err
    assert "domain B: values of -1,000 to 1,000 hu (int16) are black to white (--range-b sets others)" in first


def test_a_resumed_run_keeps_its_range(data, run, tmp_path, capsys):
    """Its images are seen as before, bit for bit, and another range is another run."""
    command = [*TINY, "--data", str(data), "--range-b", "hu:-1000,1000", "--out", str(tmp_path / "resumed")]
    first = [part if part != "8" else "4" for part in command]
    assert main(first) == 0
    assert main(command) == 0
    ours, theirs = (
        torch.load(max((folder / "checkpoints").glob("*.pt")), weights_only=True)["state"]["generators"]
        for folder in (tmp_path / "resumed", run)
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert main([part if part != "hu:-1000,1000" else "hu:-500,500" for part in command]) == 2
    assert "range_b was 'hu:-1000,1000', is 'hu:-500,500'" in capsys.readouterr().err


def test_translations_are_in_units(data, run, tmp_path):
    assert main(["translate", str(run), str(data / "A"), "-o", str(tmp_path / "b")]) == 0
    there = tifffile.imread(tmp_path / "b" / "0.tif")
    assert (there.dtype, there.shape) == (np.int16, (32, 32))
    assert there.min() >= -1000
    assert there.max() <= 1000
    model = Translator.from_pretrained(run, "cpu")
    seen = model.load(data / "A" / "0.png").for_network(1)
    expected = model.translate(seen)[0, 0].numpy() * 1000
    assert np.abs(expected - there).max() <= 0.52
    assert main(["translate", str(run), str(tmp_path / "b"), "--to", "a", "-o", str(tmp_path / "a")]) == 0
    assert (
        main(["translate", str(run), str(tmp_path / "b"), "--to", "a", "-o", str(tmp_path / "a"), "--skip-existing"])
        == 0
    )
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [f"{index}.png" for index in range(6)]
    array = tifffile.imread(data / "B" / "0.tif")
    back = model(array, to="a")
    assert back.dtype == np.uint16
    assert back.max() <= 4095
    assert main(["translate", str(run), str(data / "A" / "0.png"), "-o", str(tmp_path / "no.png")]) == 2
    assert main(["translate", str(run), str(data / "A"), "-o", str(tmp_path / "trip"), "--roundtrip"]) == 0
    assert {path.relative_to(tmp_path / "trip").as_posix() for path in (tmp_path / "trip").rglob("0.*")} == {
        *("A/0.png", "A2B/0.tif", "A2B2A/0.png"),
    }


def test_generators_keep_a_range_too(data, tmp_path):
    command = [
        "transfer",
        "--preset",
        "tiny",
        "--data",
        str(data / "B"),
        "--images",
        "16",
        "--out",
        str(tmp_path / "run"),
    ]
    assert main(command) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["value_ranges"]["images"]["type"] == "int16"
    assert main(command) == 0


def test_runs_of_8_bits_have_none(tmp_path):
    assert (
        main(["transfer", "--preset", "tiny", "--data", "bundled:digits", "--images", "16", "--out", str(tmp_path)])
        == 0
    )
    config = json.loads((tmp_path / "config.json").read_text())
    assert "value_ranges" not in config
    assert config["training"]["range"] is None
