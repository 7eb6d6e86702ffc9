"""Runs of ganshift 0.1.0 (tests/old_runs) open, resume with the same images and draws, generate and translate."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.testing import assert_close

from ganshift import Generator, Translator
from ganshift.cli import main
from ganshift.inference.generator import ImageGenerator
from ganshift.inference.translator import ImageTranslator
from ganshift.tools.serve.shelf import open_runs
from ganshift.training.trainer import order_to_json

OLD_RUNS = Path(__file__).parents[1] / "old_runs"
COMMANDS = {
    "transfer": (
        *("transfer", "--preset", "tiny", "--data", "bundled:digits-5-9", "--conditioning", "acgan"),
        *("--augment", "color,translation", "--images", "96", "--log-every", "8", "--keep-checkpoints", "1"),
        *("--evaluate-every", "32", "--evaluate-images", "16", "--sample-every", "1000", "--tracker", "none"),
    ),
    "dual": (
        *("dual", "--preset", "tiny", "--data", "bundled:photo-sketch", "--images", "16", "--critic-steps", "2"),
        *("--generator-width", "2", "--critic-width", "2", "--log-every", "2", "--keep-checkpoints", "1"),
        *("--checkpoint-every", "100", "--sample-every", "1000", "--tracker", "none"),
    ),
}
"""How the runs were made, but for --out."""


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def copy_of(method, folder):
    return Path(shutil.copytree(OLD_RUNS / method, folder / method))


@pytest.mark.parametrize("method", COMMANDS)
def test_an_old_run_resumes_as_the_old_version_would_have(method, tmp_path):
    """The loss terms follow the images and draws, so equal terms mean equal images and draws; equal to rounding."""
    run, finished = copy_of(method, tmp_path), OLD_RUNS / f"{method}-finished"
    assert main([*COMMANDS[method], "--out", str(run)]) == 0
    resumed, expected = lines(run / "log.jsonl"), lines(finished / "log.jsonl")
    assert [line["images"] for line in resumed] == [line["images"] for line in expected]
    assert order_to_json(run) == {}, "it goes on with its order"
    for ours, theirs in zip(resumed, expected, strict=True):
        assert_close(ours["terms"], theirs["terms"], rtol=2e-3, atol=2e-4)
    # The biases in front of batch norms have gradients of rounding noise, along which Adam makes steps of full size.
    dead = ("conv1.bias", "conv2.bias", "shortcut.bias") if method == "transfer" else ()
    ours, theirs = (
        {name: value for name, value in load_file(folder / "model.safetensors").items() if not name.endswith(dead)}
        for folder in (run, finished)
    )
    assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    if method == "transfer":
        ours, theirs = (lines(folder / "evaluations.jsonl") for folder in (run, finished))
        for our, their in zip(ours, theirs, strict=True):
            assert our["score"]["value"] == pytest.approx(their["score"]["value"], rel=1e-2)


@pytest.mark.parametrize("method", COMMANDS)
def test_an_old_run_keeps_its_order_of_large_sets(method, tmp_path):
    assert order_to_json(tmp_path / "new") == {"order_of_large": "computed"}
    run = copy_of(method, tmp_path)
    assert order_to_json(run) == {}
    (run / "config.json").write_text(json.dumps({"order_of_large": "computed"}))
    assert order_to_json(run) == {"order_of_large": "computed"}


@pytest.mark.parametrize("method", COMMANDS)
def test_an_old_run_resumes_exactly_from_there_on(method, tmp_path):
    """Taken up once more from a checkpoint on the way, the rest of the run is the same to the last bit."""
    run = copy_of(method, tmp_path)
    command = [*COMMANDS[method], "--out", str(run), "--keep-checkpoints", "2", "--checkpoint-every", "4"]
    assert main(command) == 0
    _, last = sorted((run / "checkpoints").iterdir())
    whole = torch.load(last, weights_only=True)["state"]
    last.unlink()
    assert main(command) == 0
    assert_close(torch.load(last, weights_only=True)["state"], whole, rtol=0, atol=0)


def test_old_runs_are_served():
    shelf = open_runs([OLD_RUNS / "transfer", OLD_RUNS / "dual", "digits32", "photo-sketch"], "cpu")
    assert shelf.names(ImageGenerator) == ["transfer", "digits32"]
    assert shelf.names(ImageTranslator) == ["dual", "photo-sketch"]


def test_an_old_generator_draws():
    model = Generator.from_pretrained(OLD_RUNS / "transfer", "cpu")
    assert model.classes == ("5", "6", "7", "8", "9")
    assert [picture.size for picture in model.sample(3, label="7")] == [(32, 32)] * 3


def test_an_old_translator_translates():
    model = Translator.from_pretrained(OLD_RUNS / "dual", "cpu")
    assert model(Image.new("RGB", (48, 40), "red"), to="b").size == (48, 40)
