"""Evaluation of runs, from Python and by the command: cards, torch-fidelity's numbers, errors."""

import json
import re
import shutil
import subprocess
import sys
from math import inf, isnan
from pathlib import Path

import numpy as np
import pytest
import torch
from metrics.stand_in import write_random_inception
from PIL import Image
from safetensors.torch import save_file

import ganshift
from ganshift import Generator, Translator, UserError
from ganshift.cli import main
from ganshift.data.images import to_picture
from ganshift.inference.generator_scores import truncate_to_uint8
from ganshift.inference.latents import draw_latents
from ganshift.inference.translator_scores import _pixel_record
from ganshift.metrics.extractors import RESIZE_RULES
from ganshift.metrics.measuring import against
from ganshift.metrics.score_record import load_record
from ganshift.tools.evaluate import evaluate

ABOUT = {"seed": None, "model_hash": "", "versions": {}}
SHARED = {"width": 4, "levels": 5, "size": 32, "dropout": 0.0, "as_published": False}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def digits_run(tmp_path):
    """The bundled source, a gray generator of 32 pixels, as a run."""
    return Path(shutil.copytree(Path(ganshift.__file__).parent / "sources" / "digits32", tmp_path / "digits"))


@pytest.fixture
def published_run(tmp_path):
    """An untrained colour generator, trained as published if its config is to be believed."""
    run = tmp_path / "published"
    run.mkdir()
    network = {"size": 32, "width": 4, "channels": 3, "num_classes": 0, "norm": True}
    torch.manual_seed(0)
    model = Generator(network)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    config = {"method": "transfer", "generator": network, "classes": [], "training": {"as_published": True}}
    (run / "config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), run / "model.safetensors")
    return run


@pytest.fixture
def dual_run(tmp_path):
    """An untrained translator from colour to gray."""
    run = tmp_path / "dual"
    run.mkdir()
    there, back = ({"in_channels": i, "out_channels": o, **SHARED} for i, o in ((3, 1), (1, 3)))
    torch.manual_seed(0)
    model = Translator(there, back)
    (run / "config.json").write_text(json.dumps({"method": "dual", "gen_ab": there, "gen_ba": back}))
    save_file(model.state_dict(), run / "model.safetensors")
    return run


def write_images(folder, images, start=0):
    folder.mkdir(parents=True, exist_ok=True)
    for index, image in enumerate(images, start):
        to_picture(image).save(folder / f"{index:03d}.png")
    return folder


def noise(count, seed, channels=3, size=32):
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (count, channels, 4, 4), dtype=np.uint8)
    return coarse.repeat(size // 4, 2).repeat(size // 4, 3)


def by_name(records):
    return {record.name: record for record in records}


def test_generator_cards(digits_run, tmp_path):
    records = evaluate(digits_run, "bundled:digits", num_images=60)
    found = by_name(records)
    assert list(found) == ["IS[cifar]", "FID[cifar]", "KID[cifar]", "precision[cifar]", "recall[cifar]", "colour"]
    files = sorted((digits_run / "cards").iterdir())
    assert sorted((load_record(path) for path in files), key=repr) == sorted(records, key=repr)
    fid, score = found["FID[cifar]"], found["IS[cifar]"]
    assert (fid.num_generated, fid.num_reference, fid.reference_split) == (60, 1797, "train")
    assert (score.num_reference, score.reference_hash) == (0, None)
    assert fid.quantisation == "rounded to 256 levels"
    assert fid.resize_rule == RESIZE_RULES["cifar"]
    assert {"ganshift", "torch", "torch-fidelity", "torchmetrics"} <= set(fid.versions)
    assert found["KID[cifar]"].protocol.endswith("100 subsets of 30")
    again = by_name(evaluate(digits_run, "bundled:digits", num_images=60, batch=13))
    for name, record in found.items():
        assert again[name].value == pytest.approx(record.value, rel=1e-4)
    other = by_name(evaluate(digits_run, "bundled:digits", num_images=60, seed=1, metrics=("fid",)))
    assert other["FID[cifar]"].value != fid.value


@pytest.mark.ring_two
def test_inception_equals_torch_fidelity(published_run, tmp_path):
    """The same images as PNG files, the same file of weights, torch-fidelity's own loading and its own loop."""
    weights = write_random_inception(tmp_path / "inception.pth")
    real = write_images(tmp_path / "real", noise(12, 1))
    model = Generator.from_pretrained(published_run, "cpu")
    latents = draw_latents(12, 0)
    images = [model.generate(part, batch_statistics=True) for part in latents.split(5)]
    fake = write_images(tmp_path / "fake", truncate_to_uint8(torch.cat(images)).numpy())
    command = [str(Path(sys.executable).with_name("fidelity")), "--cpu", "--json", "--silent", "--no-cache"]
    command += ["--isc", "--fid", "--kid", "--prc", "--no-samples-shuffle", "--save-cpu-ram"]
    command += ["--feature-extractor", "inception-v3-compat", "--feature-extractor-weights-path", str(weights)]
    command += ["--kid-subset-size", "6", "--kid-subsets", "10", "--input1", str(fake), "--input2", str(real)]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = json.loads(found.stdout)
    how = {"num_images": 12, "kid_subset_size": 6, "kid_subsets": 10, "batch": 5}
    found = by_name(evaluate(published_run, real, extractor="inception", extractor_weights=weights, **how))
    for name, theirs in (
        ("IS", "inception_score_mean"),
        ("FID", "frechet_inception_distance"),
        ("KID", "kernel_inception_distance_mean"),
        ("precision", "precision"),
        ("recall", "recall"),
    ):
        assert found[f"{name}[inception]"].value == pytest.approx(expected[theirs], rel=1e-4, abs=1e-4), name
    record = found["FID[inception]"]
    assert record.quantisation == "truncated to 256 levels"
    assert record.protocol.endswith("normalised by batches of 5")
    assert record.resize_rule == RESIZE_RULES["inception"]


def test_truncation_of_the_published_codes():
    levels = torch.tensor([-1.0, 0.0, 0.9999, 1.0, -1.5, 1.5]).reshape(1, 1, 1, -1)
    assert truncate_to_uint8(levels).flatten().tolist() == [0, 127, 255, 255, 0, 255]


def test_translator_cards(dual_run, tmp_path):
    for split, count in (("train", 3), ("val", 8)):
        write_images(tmp_path / "data" / split / "A", noise(count, 1))
        write_images(tmp_path / "data" / split / "B", noise(count, 2, channels=1), start=2)
    found = by_name(evaluate(dual_run, tmp_path / "data"))
    ways = [
        [
            f"FID[cifar] {a}-{b}",
            f"KID[cifar] {a}-{b}",
            f"precision[cifar] {a}-{b}",
            f"recall[cifar] {a}-{b}",
            f"colour {a}-{b}",
            f"L1 {a}-{b}-{a}",
            f"L1 {a}-{b}",
            f"PSNR {a}-{b}",
            f"SSIM {a}-{b}",
        ]
        for a, b in ("ab", "ba")
    ]
    assert list(found) == ways[0] + ways[1]
    model = Translator.from_pretrained(dual_run, "cpu")
    images = torch.from_numpy(noise(8, 1)) / 127.5 - 1
    there = model.translate(images, "b")
    trip = (model.translate(there, "a") - images).abs().mean((1, 2, 3))
    record = found["L1 a-b-a"]
    assert record.value == pytest.approx(trip.mean().item(), abs=1e-5)
    assert record.spread == pytest.approx(trip.std(correction=0).item(), abs=1e-5)
    assert (record.extractor, record.seed, record.reference_split, record.num_generated) == (None, None, "val", 8)
    truth = torch.from_numpy(noise(8, 2, channels=1)) / 127.5 - 1  # B starts at name 002, so 6 have a partner
    stored = ((there + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1
    assert found["L1 a-b"].num_generated == 6
    assert found["L1 a-b"].value == pytest.approx((stored[2:] - truth[:6]).abs().mean().item(), abs=1e-5)
    squared = ((stored[2:] - truth[:6]) / 2).square().mean((1, 2, 3))
    assert found["PSNR a-b"].value == pytest.approx((-10 * squared.log10()).mean().item(), abs=1e-3)
    assert -1 < found["SSIM a-b"].value < 1


def test_unpaired_translator_has_no_pairs(dual_run, tmp_path):
    write_images(tmp_path / "data" / "A", noise(6, 1))
    write_images(tmp_path / "data" / "B", noise(6, 2, channels=1))  # the same names, but nothing says they are pairs
    found = by_name(evaluate(dual_run, tmp_path / "data", metrics=("kid",)))
    assert list(found) == ["KID[cifar] a-b", "L1 a-b-a", "KID[cifar] b-a", "L1 b-a-b"]
    assert found["L1 a-b-a"].reference_split == "train"
    places = {"a": tmp_path / "data" / "A", "b": tmp_path / "data" / "B"}
    apart = by_name(evaluate(dual_run, **places, metrics=("kid",), out=tmp_path / "apart"))
    assert {name: record.to_json() for name, record in apart.items()} == {
        name: record.to_json() for name, record in found.items()
    }
    for given in ({"a": places["a"]}, {"reference": tmp_path / "data", **places}, {"b": places["b"], "reference": "x"}):
        with pytest.raises(UserError, match="give --reference, or both --a and --b"):
            evaluate(dual_run, **given)


def test_a_translator_has_no_settings_of_generators(dual_run, tmp_path, capsys):
    write_images(tmp_path / "data" / "A", noise(6, 1))
    write_images(tmp_path / "data" / "B", noise(6, 2, channels=1))
    arguments = ["evaluate", str(dual_run), "--reference", str(tmp_path / "data"), "--metrics", "kid,colour"]
    for option, value in (("num_images", "3"), ("split", "test"), ("labels", "uniform")):
        assert main([*arguments, f"--{option}", value]) == 2
        assert f"{option} is for generators" in capsys.readouterr().err
    for given in (["--metrics", "copying"], ["--held-out", str(tmp_path / "data")]):
        assert main([*arguments, *given]) == 2
        assert "only generators are checked for copying" in capsys.readouterr().err
    assert not (dual_run / "cards").exists()
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "protocol of L1 a-b-a, L1 b-a-b: round trip, levels from -1 to 1\n" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "…" not in out  # the means and spreads of colour are wrapped, so that no column is cut
    assert re.search(r"^│ colour a-b +│ .* │ 6 +│ 6 \w+ +│$", out, re.MULTILINE)


def test_the_card_of_equal_images():
    about = {"quantisation": "none", **against(None, "val"), **ABOUT}
    record = _pixel_record("PSNR a-b", "true pairs", [inf, inf], **about)
    assert (record.value, isnan(record.spread)) == (inf, True)


def test_commands(digits_run, tmp_path, capsys):
    other = Path(shutil.copytree(digits_run, tmp_path / "other"))
    for run in (digits_run, other):
        arguments = ["evaluate", str(run), "--reference", "bundled:digits", "-n", "40", "--metrics", "fid, kid"]
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert re.search(r"^│ FID\[cifar\] │ \S+ ± \S+ +│ 40 +│ 1,797 train │$", captured.out, re.MULTILINE)
        assert "protocol of FID[cifar]: jackknife of 10 groups\n" in captured.out
        assert max(map(len, captured.out.splitlines())) <= 80
        assert "seed: 0" in captured.out
        assert "prefer KID" in captured.err
    assert main(["compare", str(digits_run), str(other)]) == 0
    assert "no clear difference" in capsys.readouterr().out
    assert main(["compare", "--json", str(digits_run), str(other)]) == 0
    assert [row["score"] for row in json.loads(capsys.readouterr().out)] == ["FID[cifar]", "KID[cifar]"]
    shutil.rmtree(other / "cards")
    assert main([*arguments[:1], str(other), *arguments[2:], "--seed", "1"]) == 0
    capsys.readouterr()
    assert main(["compare", str(digits_run), str(other)]) == 2
    assert "seed: 0 / 1" in capsys.readouterr().err


def test_what_to_do_next_can_be_typed(tmp_path, capsys):
    """Cards of a bundled model lie where --out said, and only there are they found."""
    scores = tmp_path / "scores"
    bundled = ["evaluate", "digits32", "--reference", "bundled:digits", "-n", "10", "--metrics", "is"]
    assert main([*bundled, "--out", str(scores)]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"Next: ganshift compare {scores} OTHER-RUN"
    assert main(["compare", str(scores), str(scores)]) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"reference": None}, "give --reference, or --metrics is"),
        ({"num_images": 9, "metrics": ("is",)}, "is needs at least 10 generated images"),
        ({"num_images": 20, "kid_subset_size": 30}, "kid subset size must be from 2 to 20"),
        ({"num_images": 0}, "at least 1, got 0"),
        ({"extractor_weights": Path("none.pth")}, "none.pth"),
        ({"extractor_weights": Path(__file__)}, "take another copy"),
        ({"split": "test"}, "no test split"),
        ({"reference": Path("nowhere")}, "nowhere"),
    ],
)
def test_what_cannot_be_measured(settings, message, digits_run):
    with pytest.raises(UserError, match=message):
        evaluate(digits_run, **{"reference": "bundled:digits", "num_images": 20} | settings)
    assert not (digits_run / "cards").exists()


def test_bad_places(digits_run, dual_run, tmp_path, capsys):
    with pytest.raises(UserError, match="there is no run folder"):
        evaluate(tmp_path / "none", "bundled:digits")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is empty"):
        evaluate(digits_run, tmp_path / "empty")
    with pytest.raises(UserError, match="is not a run folder"):
        evaluate(tmp_path / "empty", "bundled:digits")
    with pytest.raises(UserError, match="two domains"):
        evaluate(dual_run)
    with pytest.raises(UserError, match="--a and --b are for translators"):
        evaluate(digits_run, a="x", b="y")
    assert main(["evaluate", str(digits_run), "--metrics", "fid,fod"]) == 2
    assert "there is no metric 'fod'; did you mean fid?" in capsys.readouterr().err
    assert main(["evaluate", str(digits_run), "--metrics", "is", "--held-out", str(tmp_path / "empty")]) == 2
    assert "--held-out is for the copying check" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "none"), str(digits_run)]) == 2
    assert "there is no card or run folder" in capsys.readouterr().err


def test_far_more_images_than_to_compare_with_are_pointed_at(digits_run, tmp_path, capsys):
    write_images(tmp_path / "few", noise(4, seed=0, channels=1))
    few = ["evaluate", str(digits_run), "--reference", str(tmp_path / "few"), "--metrics", "kid"]
    few += ["--kid-subsets", "2", "--kid-subset-size", "2"]
    assert main([*few, "-n", "80"]) == 0
    assert "is quicker" not in capsys.readouterr().err
    assert main([*few, "-n", "81"]) == 0
    assert "drawing 81 images to compare with 4: -n 80 is quicker" in capsys.readouterr().err


def test_gray_and_transparent_references(digits_run, tmp_path):
    """Inception and the shipped network take three channels; what is gray or transparent is shown in them."""
    Image.effect_noise((32, 32), 50).save(write_images(tmp_path / "gray", noise(5, 1, channels=1)) / "more.png")
    (record,) = evaluate(digits_run, tmp_path / "gray", num_images=6, metrics=("kid",))
    assert record.num_reference == 6
