"""Our networks and steps give the numbers of the published TensorFlow code (tests/golden/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ganshift.methods.dual.algorithm import DualGAN
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.tensorflow import from_tensorflow
from ganshift.methods.dual.trainer import new_optimizer
from ganshift.tensors import from_uint8
from ganshift.training.draws import Draws
from ganshift.training.grad_accumulation import Updates
from ganshift.training.update import PlainUpdate

FILES = sorted((Path(__file__).parents[2] / "golden").glob("dualgan_*.npz"))

HEADS = {"globalgan": "global", "patchgan": "patch"}


class Golden:
    """One file of published numbers, and the run that should give them."""

    def __init__(self, path):
        self.arrays = dict(np.load(path))
        self.settings = settings = json.loads(str(self.arrays["settings"]))
        self.lr = settings["lr"]
        self.published = from_tensorflow(self.variables("weight"))
        self.a, self.b = (from_uint8(self.images(f"real_{domain}_uint8")) for domain in "AB")
        self.mixes = [
            torch.from_numpy(self.arrays[name]).flatten() if name in self.arrays else None
            for name in ("epsilon_A", "epsilon_B")
        ]
        self.config = DualConfig(
            data=Path("data"),
            out=Path("out"),
            iterations=1,
            size=settings["size"],
            generator_width=settings["gcn"],
            critic_width=settings["dcn"],
            batch=settings["batch"],
            loss=settings["gan"],
            critic=HEADS[settings["disc"]],
            reconstruction=settings["metric"].lower(),
            weight_a=settings["lambda_A"],
            weight_b=settings["lambda_B"],
            penalty=settings["gp_weight"],
            # The published code clips in an operation of its own, which was not run for these numbers.
            clip=1e9 if settings["gan"] == "wgan" else 0.01,
            learning_rate=self.lr,
            as_published=True,
        )

    def variables(self, prefix):
        return {name.split(":", 1)[1]: a for name, a in self.arrays.items() if name.startswith(f"{prefix}:")}

    def images(self, name):
        return torch.from_numpy(self.arrays[name]).permute(0, 3, 1, 2)

    def number(self, name):
        return torch.from_numpy(self.arrays[name])

    def algorithm(self):
        networks = self.published.build()
        generators, critics = (
            torch.nn.ModuleDict({name: net for name, net in networks.items() if name.startswith(part)})
            for part in ("gen", "critic")
        )
        return DualGAN(generators, critics, self.config)

    def moved(self, algorithm, stage):
        """Pairs of our and the published updates, in learning rates; without biases in front of norms (all noise)."""
        updated = from_tensorflow(self.variables("weight") | self.variables(stage)).state_dicts
        for network, weights in updated.items():
            ours = {**algorithm.generators, **algorithm.critics}[network].state_dict()
            start = self.published.state_dicts[network]
            for name in weights:
                if name.endswith("conv.bias") and name.replace("conv", "norm") in weights:
                    continue
                yield f"{network}.{name}", (ours[name] - start[name]) / self.lr, (weights[name] - start[name]) / self.lr


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def golden(request):
    return Golden(request.param)


def close(ours, published, rtol=1e-5, atol=1e-5):
    torch.testing.assert_close(torch.as_tensor(ours), torch.as_tensor(published), rtol=rtol, atol=atol)


class Recorded(Draws):
    """The published code's draws, one after the other."""

    def __init__(self, numbers):
        self.numbers = iter(numbers)

    def uniform(self, batch, *shape):
        return next(self.numbers)


@torch.no_grad()
def translations(golden, algorithm):
    return algorithm.translate(golden.a, golden.b)


def scalars(golden, algorithm):
    """The published losses, recomputed: of the generators, of the critics, and the two round trips."""
    config, fakes = golden.config, translations(golden, algorithm)
    with torch.no_grad():
        terms = algorithm.generator_loss(golden.a, golden.b, *fakes)
    d_loss = sum(algorithm.critic_loss(golden.a, golden.b, *fakes, *golden.mixes).values()).detach()
    ag = terms["gen_ab/adversarial"] + terms["b/reconstruction"]
    bg = terms["gen_ba/adversarial"] + terms["a/reconstruction"]
    return {
        "A_loss": terms["a/reconstruction"] / config.weight_a,
        "B_loss": terms["b/reconstruction"] / config.weight_b,
        "Ag_loss": ag,
        "Bg_loss": bg,
        "g_loss": ag + bg,
        "d_loss": d_loss,
    }


def test_there_are_golden_files():
    assert len(FILES) == 3


@torch.no_grad()
def test_images_and_round_trips(golden):
    algorithm = golden.algorithm()
    fake_a, fake_b = algorithm.translate(golden.a, golden.b)
    back_a, back_b = algorithm.translate(fake_a, fake_b)
    ours = {"A2B": fake_b, "B2A": fake_a, "A2B2A": back_a, "B2A2B": back_b}
    for name, images in ours.items():
        close(images[:, :, ::4, ::4], golden.images(f"out_stride4:{name}"), rtol=0, atol=1e-4)


@torch.no_grad()
def test_logits(golden):
    algorithm = golden.algorithm()
    fake_a, fake_b = algorithm.translate(golden.a, golden.b)
    critic_a, critic_b = (algorithm.critics[f"critic_{domain}"] for domain in "ab")
    ours = {
        "Ad_logits_real": critic_b(golden.b),
        "Ad_logits_fake": critic_b(fake_b),
        "Bd_logits_real": critic_a(golden.a),
        "Bd_logits_fake": critic_a(fake_a),
    }
    for name, logits in ours.items():
        published = golden.number(f"out:{name}")
        published = published.squeeze(1) if published.ndim == 2 else published.permute(0, 3, 1, 2)
        close(logits, published, rtol=1e-4, atol=1e-4)


def test_losses(golden):
    for name, loss in scalars(golden, golden.algorithm()).items():
        close(loss, golden.number(f"out:{name}"))


@pytest.mark.parametrize("kind", [PlainUpdate, Updates])
def test_iteration(golden, kind):
    """One whole iteration, looked at after each of its updates; by the plain update and by that of training."""
    algorithm, stages = golden.algorithm(), ["d", "g"]
    inner = kind(
        {networks: new_optimizer(golden.config, networks) for networks in (algorithm.generators, algorithm.critics)}
    )

    def update(network, loss, *inputs):
        terms = inner(network, loss, *inputs)
        if not stages:  # the classic game has a second update of the generators, whose numbers were not recorded
            return terms
        stage = stages.pop(0)
        expected, rtol = {"d": ("out:d_loss", 1e-5), "g": ("after_d_step:g_loss", 1e-4)}[stage]
        close(sum(terms.values()), golden.number(expected), rtol=rtol)
        _check_updates(golden, algorithm, f"{stage}_step_weight")
        found = scalars(golden, algorithm)
        # An update can differ by a few learning rates where a gradient is tiny, which moves the losses after it.
        for name in ("g_loss", "d_loss", *(("A_loss", "B_loss") if stage == "g" else ())):
            close(found[name], golden.number(f"after_{stage}_step:{name}"), rtol=1e-4, atol=1e-4)
        return terms

    algorithm.iteration([(golden.a, golden.b)], update, Recorded(golden.mixes))
    assert stages == []


def _check_updates(golden, algorithm, stage):
    """By the median error; the updates of the first steps are about one learning rate times the gradient."""
    pairs = [
        pair for pair in golden.moved(algorithm, stage) if pair[0].startswith("critic" if stage[0] == "d" else "gen")
    ]
    errors = torch.cat([(ours - published).abs().flatten() for _, ours, published in pairs])
    sizes = torch.cat([published.abs().flatten() for _, _, published in pairs])
    assert sizes.median() > 0.01  # they moved
    assert errors.median() < 0.01
