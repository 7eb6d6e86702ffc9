"""The training of the shipped extractor resumes exactly, and what it ships is what it trained."""

import shutil

import pytest
import torch

from benchmarks.train_extractor import accuracy, fold, train
from ganshift.tensors import from_uint8
from ganshift.training.weights import save_weights


def coloured_squares(count):
    """Ten classes that colours tell apart."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 10
    colours = torch.randint(256, (10, 3, 1, 1), generator=draw)
    noise = torch.randint(-20, 21, (count, 3, 32, 32), generator=draw)
    return (colours[labels] + noise).clamp(0, 255).byte(), labels


@pytest.mark.ring_two
def test_resumed_training_equals_straight_training_and_learns(tmp_path):
    images, labels = coloured_squares(1000)
    straight = train(images, labels, tmp_path / "straight", epochs=3, seed=1)
    shutil.copytree(tmp_path / "straight", tmp_path / "resumed")
    (tmp_path / "resumed" / f"{3000:012d}.pt").unlink()
    resumed = train(images, labels, tmp_path / "resumed", epochs=3, seed=1).state_dict()
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed[name]), name
    shipped = fold(straight)
    with torch.no_grad():
        features = straight.eval().features(from_uint8(images[:50]))
        torch.testing.assert_close(shipped.float().features(from_uint8(images[:50])), features, rtol=0.02, atol=0.02)
    save_weights(tmp_path / "cifar.safetensors", shipped.half())
    assert accuracy(tmp_path / "cifar.safetensors", images, labels) > 0.6  # a guess is right in a tenth
