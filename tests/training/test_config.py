"""Settings from JSON and TOML: what a run wrote is what is read, and what cannot be is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from ganshift.errors import UserError
from ganshift.methods.registry import methods
from ganshift.training.config import overlaid, settings_from

PRESETS = [(method, preset) for method in methods().values() for preset in method.presets]


@pytest.mark.parametrize(("method", "preset"), PRESETS, ids=[f"{method.name}-{preset}" for method, preset in PRESETS])
def test_settings_that_were_written_are_read(method, preset):
    config = method.configure({"preset": preset, "data": "images/"}, Path("runs/mine"))
    assert settings_from(method.config, config.to_json()) == config
    given = {name: value for name, value in config.to_json().items() if name != "out"}
    assert settings_from(method.config, given, out=Path("other")) == replace(config, out=Path("other"))


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
    ],
)
def test_what_cannot_be_is_named(values, message):
    with pytest.raises(UserError, match=message):
        methods()["transfer"].configure({"preset": "tiny", **values}, Path("runs/mine"))
