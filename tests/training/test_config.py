"""Settings from JSON and TOML: what a run wrote is what is read, and what cannot be is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from ganshift.errors import UserError
from ganshift.methods.registry import methods
from ganshift.training.config import overlaid, read_presets, settings_from

PRESETS = [(method, preset) for method in methods().values() for preset in method.presets]


@pytest.mark.parametrize(("method", "preset"), PRESETS, ids=[f"{method.name}-{preset}" for method, preset in PRESETS])
def test_settings_that_were_written_are_read(method, preset):
    config = method.configure({"preset": preset, "data": "images/"}, Path("runs/mine"))
    assert settings_from(method.config, config.to_json()) == config
    given = {name: value for name, value in config.to_json().items() if name != "out"}
    assert settings_from(method.config, given, out=Path("other")) == replace(config, out=Path("other"))


def test_a_preset_has_the_settings_of_the_one_it_is_like(tmp_path):
    (tmp_path / "presets.toml").write_text(
        '[long]\nwidth = 4\nepochs = 3.0\n[short]\nlike = "long"\nimages = 8\n[wide]\nlike = "short"\nwidth = 8\n'
    )
    presets = read_presets(tmp_path / "presets.toml")
    assert presets["long"] == {"width": 4, "epochs": 3.0}
    assert presets["short"] == {"width": 4, "images": 8}
    assert presets["wide"] == {"width": 8, "images": 8}


def test_a_budget_replaces_every_other():
    below = {"images": 5, "epochs": None, "seed": 1}
    assert overlaid(below, {"iterations": 3}) == {"iterations": 3, "seed": 1}
    assert overlaid(below, {"seed": 2}) == {"images": 5, "epochs": None, "seed": 2}
    assert overlaid(below, {}) == below


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "data is missing"),
        ({"out": "elsewhere"}, "no setting 'out'"),
        ({"data": 3}, "data must be of type Path, got 3"),
        ({"data": "x", "penalty": "much"}, "penalty must be of type float, got 'much'"),
        ({"data": "x", "penalty": float("nan")}, "penalty must be finite"),
        ({"data": "x", "batch": True}, "batch must be of type int, got True"),
        ({"data": "x", "batch": 2.0}, "batch must be of type int, got 2.0"),
        ({"data": "x", "batch": 65_537}, "batch must be at most 65,536, got 65537"),
        ({"data": "x", "batch": 0}, "batch must be at least 1, got 0"),
        ({"data": "x", "width": 5_000}, "width must be at most 4,096, got 5000"),
        ({"data": "x", "channels": 2}, "channels must be one of 1, 3, 4, got 2"),
        ({"data": "x", "channels": True}, "channels must be one of 1, 3, 4, got True"),
        ({"data": "x", "penalty": -1.0}, "penalty must be at least 0, got -1.0"),
        ({"data": "x", "epochs": 0.0}, "epochs must be more than 0, got 0.0"),
        ({"data": "x", "iterations": 10**13}, "iterations must be at most 1,000,000,000,000, got"),
    ],
)
def test_what_cannot_be_is_named(values, message):
    with pytest.raises(UserError, match=message):
        methods()["transfer"].configure({"preset": "tiny", **values}, Path("runs/mine"))
