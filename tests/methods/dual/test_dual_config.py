import logging
from pathlib import Path

import pytest

from ganshift.errors import UserError
from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.trainer import new_algorithm


def config_with(**overrides):
    given = {"data": Path("data"), "out": Path("out"), "images": 8, "size": 64} | overrides
    return DualConfig(**{name: value for name, value in given.items() if value is not None})


@pytest.mark.parametrize("name", PRESETS)
def test_presets_construct(name, caplog):
    config = DualConfig(**PRESETS[name], data=Path("data"), out=Path("out"))
    assert config.budget(2, 100) > 0
    assert not caplog.records
    if config.size <= 64:
        algorithm = new_algorithm(config, 3, 3)
        assert len(algorithm.generators["gen_ab"].down) == config.num_levels


def test_published_presets():
    for name in ("sketch-photo", "facades", "day-night"):
        config = DualConfig(**PRESETS[name], data=Path("data"), out=Path("out"))
        assert (config.size, config.weight_a, config.weight_b, config.epochs) == (256, 1000.0, 1000.0, 100.0)
        assert (config.learning_rate, config.penalty, config.batch, config.critic_steps) == (5e-5, 10.0, 1, 1)
        assert config.num_levels == 8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"data": None}, "give --data, or both --a and --b; given none of them"),
        ({"a": Path("a")}, "give --data, or both --a and --b; given --data and --a"),
        ({"data": None, "a": Path("a")}, "give --data, or both --a and --b; given --a"),
        ({"images": None}, "give one budget"),
        ({"size": 31}, "size must be at least 32"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"critic_steps": 0}, "critic_steps must be at least 1"),
        ({"weight_b": -1.0}, "weight_b must be at least 0"),
        ({"clip": 0.0}, "clip must be more than 0"),
        ({"learning_rate": 0.0}, "learning_rate must be more than 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1"),
        ({"dropout": 1.5, "as_published": True}, "probability of keeping"),
        ({"beta1": 1.0, "optimizer": "adam"}, "beta1 must be"),
        ({"levels": 9}, "levels must be at most 8"),
        ({"levels": 6, "as_published": True}, "levels must be 8"),
        ({"size": 96, "as_published": True}, "power of two"),
        ({"aspect": "2:1", "as_published": True}, "aspect must be 1:1 with as_published, got 2:1"),
        ({"aspect": "3x2"}, "aspect must be width to height, such as 3:2 or 1.5, .* got '3x2'"),
        ({"aspect": "384"}, "neither more than 16 times the other, got '384'"),
        ({"aspect": "1:17"}, "neither more than 16 times"),
        *(({"aspect": bad}, "aspect must be width to height") for bad in ("wide", "0:1", "1:0", "0", "", "3:", ":2")),
        *(({"aspect": bad}, "aspect must be width to height") for bad in ("-3:2", "3:2:1", "1e3", "nan", "inf", "٣:٢")),
    ],
)
def test_refusals(given, message):
    with pytest.raises(UserError, match=message):
        config_with(**given)


def test_two_folders():
    assert config_with(data=None, a=Path("a"), b=Path("b")).a == Path("a")


@pytest.mark.parametrize(
    ("given", "ignored"),
    [
        ({"clip": 0.1}, "clip"),
        ({"clip": 0.1, "loss": "wgan"}, None),
        ({"penalty": 1.0}, None),
        ({"penalty": 1.0, "loss": "classic"}, "penalty"),
        ({"critic_steps": 2, "loss": "classic"}, None),
        ({"receptive_field": 33}, "receptive_field"),
        ({"receptive_field": 33, "critic": "patch"}, None),
        ({"receptive_field": 34, "architecture": "resnet"}, None),
        ({"beta1": 0.9}, "beta1"),
        ({"beta1": 0.9, "optimizer": "adam"}, None),
    ],
)
def test_ignored_settings_warn(given, ignored, caplog):
    with caplog.at_level(logging.WARNING, "ganshift"):
        config_with(**given)
    assert [record.getMessage().split()[0] for record in caplog.records] == ([ignored] if ignored else [])


@pytest.mark.parametrize(("size", "levels"), [(32, 5), (64, 6), (65, 7), (100, 7), (256, 8), (1024, 8)])
def test_levels_bring_the_size_to_one_pixel(size, levels):
    assert config_with(size=size).num_levels == levels


@pytest.mark.parametrize(
    ("size", "aspect", "height_and_width"),
    [
        (64, "1:1", (64, 64)),
        (64, "3:2", (64, 96)),
        (64, "2:3", (96, 64)),
        (256, "16:9", (256, 455)),
        (256, "9:16", (455, 256)),
        (64, "1.5", (64, 96)),
        (64, "0.5", (128, 64)),
        (100, "2.35:1", (100, 235)),
        (64, " 4:4 ", (64, 64)),
        (64, "1.001", (64, 64)),
    ],
)
def test_size_is_the_shorter_side(size, aspect, height_and_width):
    config = config_with(size=size, aspect=aspect)
    assert config.image_size == height_and_width
    height, width = height_and_width
    assert config.size_in_json == (height if height == width else [height, width])


@pytest.mark.parametrize(
    ("size", "aspect", "levels"), [(64, "3:2", 7), (64, "1:4", 8), (32, "2:1", 6), (256, "3:2", 8)]
)
def test_levels_bring_the_longer_side_to_one_pixel(size, aspect, levels):
    assert config_with(size=size, aspect=aspect).num_levels == levels
    assert config_with(size=size, aspect=aspect, levels=3).num_levels == 3


def test_as_published():
    assert config_with(as_published=True).num_levels == 8
    assert not config_with(as_published=True).flips
    assert config_with().flips
    assert not config_with(flip=False).flips


def test_dropout_is_a_drop_probability_unless_as_published():
    assert config_with(dropout=0.2).drop_probability == 0.2
    assert config_with(dropout=0.2, as_published=True).drop_probability == 0.8
    assert config_with(dropout=0.0, as_published=True).drop_probability == 0.0
    assert config_with(dropout=1.0, as_published=True).drop_probability == 0.0


def test_classic_has_two_generator_steps():
    assert [config_with(loss=loss).generator_steps for loss in ("wgan-gp", "wgan", "classic")] == [1, 1, 2]
