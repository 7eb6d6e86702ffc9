"""What a dual run says of itself in config.json, and what it draws, for square and oblong images."""

import json
from pathlib import Path

import pytest
import torch

from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.model import Translator
from ganshift.methods.dual.trainer import DualTrainer


def tiny_trainer(**given):
    overrides = PRESETS["tiny"] | {"data": Path("bundled:photo-sketch"), "out": Path("out")} | given
    return DualTrainer.from_config(DualConfig(**overrides))


@pytest.mark.parametrize(
    ("given", "size", "aspect"),
    [
        ({}, 32, "1:1"),
        ({"aspect": "2:2"}, 32, "2:2"),
        ({"aspect": "3:2"}, [32, 48], "3:2"),
        ({"aspect": "0.8"}, [40, 32], "0.8"),
    ],
)
def test_the_description_survives_json_and_builds_the_networks(given, size, aspect):
    """Runs resume if it equals what config.json holds; squares are named by one number, as ever."""
    description = tiny_trainer(**given).description
    assert json.loads(json.dumps(description)) == description
    assert description["size"] == description["gen_ab"]["size"] == description["gen_ba"]["size"] == size
    assert description["training"]["aspect"] == aspect
    height, width = (size, size) if isinstance(size, int) else size
    translator = Translator(description["gen_ab"], description["gen_ba"])
    assert translator.translate(torch.zeros(1, 3, height, width)).shape == (1, 1, height, width)


def test_sheets_show_oblong_images():
    """Six rows of three images, each with a margin of two pixels."""
    grids = tiny_trainer(aspect="2:3").sample_grids()
    assert [grids[name].shape for name in ("a-b-a", "b-a-b")] == [(6 * (48 + 2) + 2, 3 * (32 + 2) + 2, 3)] * 2
