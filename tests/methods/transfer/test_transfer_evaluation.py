"""Evaluation of a generator while it is trained."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from ganshift.methods.transfer.config import PRESETS, TransferConfig
from ganshift.methods.transfer.trainer import TransferTrainer

TINY = {**PRESETS["tiny"], "evaluate_every": 8, "evaluate_images": 40}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def trainer(tmp_path, **settings):
    config = TransferConfig(**{**TINY, "data": Path("bundled:digits"), "out": tmp_path / "run", **settings})
    return TransferTrainer.from_config(config)


def write_noise(folder, count):
    folder.mkdir(parents=True)
    for index in range(count):
        Image.effect_noise((32, 32), 40 + index).save(folder / f"{index}.png")


def test_a_generator_whose_images_are_all_the_same_has_no_diversity(tmp_path):
    """Weights are overwritten so that latents no longer matter."""
    found = trainer(tmp_path, ema_images=0)
    before = found.evaluate()
    assert before.diversity["generated"] > 0.1
    with torch.no_grad():
        found.algorithm.generator.start.weight.zero_()
    after = found.evaluate()
    assert after.diversity["generated"] < 1e-3
    assert after.records[0]["model_hash"] != before.records[0]["model_hash"]
    assert after.protocol == before.protocol


def test_networks_stay_in_their_mode_and_equal_models_score_equally(tmp_path):
    found = trainer(tmp_path)
    one, other = found.evaluate(), found.evaluate()
    assert one == other
    assert found.algorithm.generator.training
    assert found.algorithm.critic.training


@pytest.mark.parametrize(("count", "split", "num_reference"), [(50, "test", 50), (49, "train", 9)])
def test_held_out_images_are_compared_with_if_there_are_enough(tmp_path, count, split, num_reference):
    write_noise(tmp_path / "data" / "train", 9)
    write_noise(tmp_path / "data" / "test", count)
    record, *_ = trainer(tmp_path, data=tmp_path / "data").evaluate().records
    assert (record["reference_split"], record["num_reference"]) == (split, num_reference)


def test_too_few_images_switch_evaluation_off(tmp_path, caplog):
    write_noise(tmp_path / "data", 3)
    assert trainer(tmp_path, data=tmp_path / "data").evaluate is None
    assert "evaluation is off: 3 images are too few" in caplog.text
    assert trainer(tmp_path, evaluate_every=0).evaluate is None
