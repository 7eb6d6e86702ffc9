"""How much of an image each score of a critic sees, and what runs say of it and refuse."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from ganshift.errors import UserError
from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.networks import Critic
from ganshift.methods.dual.patch_critic import PatchCritic, PixelCritic, layers_for
from ganshift.methods.dual.trainer import DualTrainer, train
from ganshift.nn.norm import InstanceNorm


def trainer(**given):
    settings = PRESETS["tiny"] | {"data": Path("bundled:photo-sketch"), "out": Path("out"), "size": 64} | given
    return DualTrainer.from_config(DualConfig(**settings))


def without_norms(network):
    """The same without norms, through which every score depends on the whole image."""
    for module in network.modules():
        for name, layer in module.named_children():
            if isinstance(layer, InstanceNorm):
                setattr(module, name, nn.Identity())
    return network


@pytest.mark.parametrize(
    ("critic", "field"),
    [
        (Critic(1, 1, 256, "patch"), 129),
        (Critic(1, 1, 256, "patch", receptive_field=9), 9),
        (Critic(1, 1, 256, "patch", receptive_field=33), 33),
        (Critic(1, 1, 256, "patch", receptive_field=64), 33),
        (Critic(1, 1, 256, "patch", receptive_field=65), 65),
        (PatchCritic(1, 1, 1, "none"), 16),
        (PatchCritic(1, 1, 2, "none"), 34),
        (PatchCritic(1, 1, 3, "none"), 70),
        (PatchCritic(1, 1, 3, "none", blur=True), 84),
        (PixelCritic(1, 1, "none"), 1),
    ],
)
def test_a_score_sees_as_many_pixels_as_it_says(critic, field):
    images = torch.randn(1, 1, 256, 256, requires_grad=True)
    scores = without_norms(critic)(images)
    height, width = scores.shape[2:]
    (gradient,) = torch.autograd.grad(scores[0, 0, height // 2, width // 2], images)
    rows, columns = (gradient[0, 0].abs().sum(dim).nonzero() for dim in (1, 0))
    seen = [int(found.max() - found.min()) + 1 for found in (rows, columns)]
    assert seen == [critic.receptive_field] * 2 == [field] * 2


def test_a_global_head_sees_everything():
    assert Critic(3, 2, 64).receptive_field is None


@pytest.mark.parametrize(("field", "layers"), [(16, 1), (33, 1), (34, 2), (69, 2), (70, 3)])
def test_halvings_for_a_field(field, layers):
    assert layers_for(field) == layers


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "each critic gives an image one score\n"),
        ({"critic": "patch", "receptive_field": 33}, "8 x 8 scores, each of a patch of 33 x 33 pixels"),
        ({"critic": "patch", "receptive_field": 33, "aspect": "3:2"}, "8 x 12 scores, each of a patch of 33"),
        ({"critic": "patch", "as_published": True}, "1 x 1 scores, each of a patch of 129 x 129 pixels"),
        ({"architecture": "resnet", "receptive_field": 34}, "14 x 14 scores, each of a patch of 34 x 34"),
    ],
)
def test_runs_say_what_their_critics_see(given, said, capsys):
    trainer(**given)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"critic": "patch"}, 129),
        ({"critic": "patch", "receptive_field": 65}, 65),
        ({"architecture": "resnet"}, 70),
        ({"architecture": "pix2pix"}, 70),
    ],
)
def test_patches_as_large_as_images_are_refused(given, seen):
    with pytest.raises(UserError, match=f"sees {seen} pixels on a side, and images have 64: .*--receptive-field.* 33"):
        trainer(**given)


def test_a_field_below_that_of_one_halving_is_refused():
    with pytest.raises(UserError, match="receptive_field must be at least 9, got 8"):
        trainer(critic="patch", receptive_field=8)
    with pytest.raises(UserError, match="receptive_field must be at least 16 of this architecture, got 9"):
        trainer(architecture="resnet", receptive_field=9)


def test_a_run_of_before_goes_on(tmp_path, monkeypatch):
    """Earlier versions refused nothing: what such a run began is ended."""
    settings = PRESETS["tiny"] | {"data": Path("bundled:photo-sketch"), "critic": "patch"}
    with monkeypatch.context() as earlier:
        earlier.setattr("ganshift.methods.dual.trainer.check_field", lambda *of: None)
        train(DualConfig(**settings | {"out": tmp_path / "run", "images": 4}))
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    for name in ("run", "again"):
        assert train(DualConfig(**settings | {"out": tmp_path / name, "images": 8})).images == 8
