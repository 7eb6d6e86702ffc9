"""Evaluation of a translator while it is trained."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ganshift.data.datasets import Domains, open_array
from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.evaluation import new_evaluation, unpaired_distance
from ganshift.training.ema import Ema

CONFIG = DualConfig(
    **PRESETS["tiny"] | {"data": Path("unused"), "out": Path("unused"), "evaluate_every": 4, "evaluate_images": 8}
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def noise(seed, count, low=0, high=256, channels=3):
    random = np.random.default_rng(seed)
    return open_array(random.integers(low, high, (count, channels, 32, 32), dtype=np.uint8))


class Negative(nn.Module):
    """Dark becomes light: its own way back, and far from the identity."""

    def forward(self, images):
        return -images


class Dimmed(nn.Module):
    """Nearly the identity."""

    def forward(self, images):
        return images * 0.99


NAMES = {"a": "night", "b": "day"}


def evaluate(domains, gen_ab, gen_ba, config=CONFIG):
    networks = Ema(nn.ModuleDict({"gen_ab": gen_ab, "gen_ba": gen_ba}), 0)
    return new_evaluation(config, domains, NAMES, networks, torch.device("cpu"))()


@pytest.fixture(scope="module")
def domains():
    """Dark images, and light ones."""
    return Domains(noise(1, 12, high=128), noise(2, 10, low=128))


@pytest.mark.parametrize("network", [nn.Identity, Dimmed])
def test_translations_that_are_their_images_are_found(domains, network):
    found = evaluate(domains, network(), network())
    assert [finding.kind for finding in found.findings] == ["unchanged", "unchanged"]
    assert "translations night to day hardly differ from their images: by 0.0" in found.findings[0].seen
    assert "images of night and day by" in found.findings[0].seen
    assert found.signs["change/a-b"] < 0.02
    assert found.signs["trip/a-b"] < 0.02


def test_translations_with_the_same_round_trip_are_none(domains):
    found = evaluate(domains, Negative(), Negative())
    assert found.findings == []
    assert found.signs["trip/a-b"] == 0
    assert found.signs["change/a-b"] == pytest.approx(1.0, abs=0.05)
    same = evaluate(domains, nn.Identity(), nn.Identity())
    assert found.value < same.value


def test_distance_of_the_domains(domains):
    assert unpaired_distance(domains.train_a, domains.train_b) == pytest.approx(1.0, abs=0.05)


def test_score_is_the_mean_of_both_ways_of_some_images(domains):
    found = evaluate(domains, Negative(), nn.Identity(), replace(CONFIG, evaluate_images=6))
    kids = [record for record in found.records if record["metric"].startswith("KID")]
    assert [record["num_generated"] for record in kids] == [6, 6]
    assert [record["num_reference"] for record in kids] == [10, 12]
    assert found.value == pytest.approx(sum(record["value"] for record in kids) / 2)
    assert found.error == pytest.approx(sum(record["spread"] ** 2 for record in kids) ** 0.5 / 2)


def test_validation_images_are_compared_with_if_there_are_enough(domains):
    for count, split in ((50, "val"), (49, "train")):
        both = replace(domains, val_a=noise(3, count, high=128), val_b=noise(4, 60, low=128))
        found = evaluate(both, nn.Identity(), nn.Identity())
        assert {record["reference_split"] for record in found.records} == {split}
