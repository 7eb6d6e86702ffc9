"""Training in lower precision follows training in float32, and its translations are as sharp."""

from pathlib import Path

import pytest
import torch

from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.trainer import DualTrainer
from ganshift.training import precision as precisions
from ganshift.training.loop import arithmetic

SEEDS, STEPS, WINDOW, SHOWN = 3, 200, 50, 20


def high_frequencies(images):
    """Energy of the differences of neighbouring pixels, which blur takes away."""
    return sum(images.diff(dim=dim).square().mean().item() for dim in (2, 3))


def trained(precision, **more):
    """Means of the round trips over the last steps, and the sharpness of translations after them."""
    settings = {**PRESETS["tiny"], "generator_width": 8, "critic_width": 8, "learning_rate": 3e-4, "weight_a": 100.0}
    config = DualConfig(
        **{**settings, "weight_b": 100.0, "images": 10**6, "batch": 2, "flip": False, "ema_images": 100, **more},
        data=Path("bundled:photo-sketch"),
        out=Path("unused"),
        precision=precision,
        device="cpu",
    )
    trainer = DualTrainer.from_config(config)
    batches = trainer.batches(0)
    terms = []
    with arithmetic(trainer):
        for _ in range(STEPS):
            found = trainer.iteration(next(batches))
            terms.append([found[f"{domain}/reconstruction"].item() for domain in "ab"])
        shown = [next(batches) for _ in range(SHOWN)]
    average = trainer.ema.average
    sharpness = 0.0
    with torch.no_grad():
        for domain, name in (("a", "gen_ab"), ("b", "gen_ba")):
            images = torch.cat([batch[domain].images for batch in shown]) / 127.5 - 1
            sharpness += high_frequencies(average.get_submodule(name)(images))
    return torch.tensor(terms), sharpness


def trained_by_seed(precision):
    """Terms [seeds, steps, 2] and sharpness [seeds]."""
    terms, sharpness = zip(*(trained(precision, seed=seed) for seed in range(SEEDS)), strict=True)
    return torch.stack(terms), torch.tensor(sharpness)


@pytest.fixture(autouse=True)
def imitated(monkeypatch):
    """Let a processor imitate what it lacks: the same rounding, in more time."""
    monkeypatch.setattr(precisions, "computes", lambda device, precision: True)


@pytest.fixture(scope="module")
def exact():
    return trained_by_seed("fp32")


@pytest.mark.ring_two
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_follows_float32(exact, precision):
    """Means over seeds: rounding alone leads a run elsewhere, to other sharpness by up to a fifth either way."""
    terms, sharpness = trained_by_seed(precision)
    windows, expected = (losses.unflatten(1, (-1, WINDOW)).mean(dim=(0, 2)) for losses in (terms, exact[0]))
    assert not torch.equal(terms, exact[0])
    torch.testing.assert_close(windows, expected, rtol=0.1, atol=0)
    assert (sharpness / exact[1]).mean() > 0.9  # not blurred
