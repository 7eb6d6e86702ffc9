"""The comparisons of recipes: every arm trains, and what they learned can be scored."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from benchmarks import dual_recipe, transfer_recipe
from benchmarks.equal_time import COSTS, OurTraining
from ganshift.methods.dual.config import PRESETS
from ganshift.methods.transfer.config import PRESETS as TRANSFER_PRESETS

OURS = transfer_recipe.SETS["500 automobiles"].cells()


@pytest.mark.ring_two
@pytest.mark.parametrize("arm", dual_recipe.ARMS)
def test_arms_of_dual(arm):
    trainer = dual_recipe.new_trainer(None, "photo-sketch", arm, 0)
    if dual_recipe.ARMS[arm].pretrained:
        dual_recipe.pretrain(trainer, 1)
    terms = OurTraining(trainer).advance(1)
    assert terms
    assert all(map(math.isfinite, terms.values()))


def test_presets_are_what_was_measured():
    arms = {"two critic steps": "small", "both": "small-few"}
    for arm, preset in arms.items():
        assert transfer_recipe.ARMS[arm].settings.items() <= TRANSFER_PRESETS[preset].items()
    assert dual_recipe.ARMS["identity, weight 10"].settings.items() <= PRESETS["small"].items()


def test_scores_of_dual():
    found = dual_recipe.scores(dual_recipe.new_trainer(None, "photo-sketch", "squares", 0), "photo-sketch")
    assert set(dual_recipe.COLUMNS) | set(dual_recipe.MORE) <= set(found)
    assert all(map(math.isfinite, found.values()))
    assert dual_recipe.gain(found, found) == 1
    better = {name: value / 2 for name, value in found.items()}
    assert dual_recipe.gain(better, found) == pytest.approx(2)


@pytest.fixture
def cells_of_transfer(tmp_path):
    """A folder of cells that needs no archive: 40 images are unpacked already."""
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        folder = tmp_path / "data" / "500-automobiles" / part
        folder.mkdir(parents=True)
        for number in range(20):
            Image.fromarray(draw.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{number}.png")
    return tmp_path


@pytest.mark.ring_two
@pytest.mark.parametrize("arm", sorted({arm for _, arm in OURS} - set(transfer_recipe.RIVALS)))
def test_arms_of_transfer(arm, cells_of_transfer):
    trainer = transfer_recipe.new_trainer(None, cells_of_transfer, "500 automobiles", "scratch", arm, 0)
    training = OurTraining(trainer)
    first = training.advance(1)
    assert first
    terms = first | training.advance(1)
    assert all(map(math.isfinite, terms.values()))


def test_a_cell_of_transfer_is_judged_and_shown(cells_of_transfer, monkeypatch):
    monkeypatch.setattr(transfer_recipe, "SCORED", 16)
    monkeypatch.setattr(transfer_recipe, "BUDGETS", transfer_recipe.BUDGETS | {32: (1.0, 2.0)})
    (cells_of_transfer / COSTS).write_text(json.dumps({"rows": [{"what": "both", "seconds": 1.0}]}))
    cell = "500-automobiles-scratch-both-0"
    about = transfer_recipe.train(None, cells_of_transfer, cell)
    assert [row["images"] for row in about["rows"]] == [16, 32]
    (cells_of_transfer / f"{cell}.json").write_text(json.dumps({"cell": cell, **about}))
    transfer_recipe.judge(cells_of_transfer, None)
    scores = json.loads(transfer_recipe.score_file(cells_of_transfer, cell, 2.0).read_text())
    assert "cifar" in scores
    assert "lite0" not in scores  # its features trained the cell
    assert "| 500 automobiles | scratch | 2 | both |" in transfer_recipe.table(cells_of_transfer)
    shown = transfer_recipe.sheets(cells_of_transfer, "500 automobiles")
    with Image.open(transfer_recipe.drawn_file(cells_of_transfer, cell, 1.0).with_suffix(".png")) as drawn:
        left, top = transfer_recipe.TITLE, transfer_recipe.TITLE // 2
        assert shown.crop((left, top, left + 32, top + 32)).tobytes() == drawn.crop((0, 0, 32, 32)).tobytes()
