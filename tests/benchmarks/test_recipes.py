"""The comparisons of recipes: every arm trains, and what they learned can be scored."""

import math

import pytest

from benchmarks import dual_recipe
from benchmarks.equal_time import OurTraining
from ganshift.methods.dual.config import PRESETS


@pytest.mark.ring_two
@pytest.mark.parametrize("arm", dual_recipe.ARMS)
def test_arms_of_dual(arm):
    trainer = dual_recipe.new_trainer(None, "photo-sketch", arm, 0)
    if dual_recipe.ARMS[arm].pretrained:
        dual_recipe.pretrain(trainer, 1)
    terms = OurTraining(trainer).advance(1)
    assert terms
    assert all(map(math.isfinite, terms.values()))


def test_the_preset_is_what_was_measured():
    assert dual_recipe.ARMS["identity, weight 10"].settings.items() <= PRESETS["small"].items()


def test_scores_of_dual():
    found = dual_recipe.scores(dual_recipe.new_trainer(None, "photo-sketch", "squares", 0), "photo-sketch")
    assert set(dual_recipe.COLUMNS) | set(dual_recipe.MORE) <= set(found)
    assert all(map(math.isfinite, found.values()))
    assert dual_recipe.gain(found, found) == 1
    better = {name: value / 2 for name, value in found.items()}
    assert dual_recipe.gain(better, found) == pytest.approx(2)
