"""Our networks and steps give the numbers of the published TensorFlow code (tests/golden/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ganshift.methods import losses
from ganshift.methods.dual.algorithm import DualState, critic_loss, critic_step, generator_loss, generator_step
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.dual.tensorflow import from_tensorflow
from ganshift.methods.dual.trainer import new_optimizer
from ganshift.tensors import from_uint8

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

    def state(self):
        networks = self.published.build()
        return DualState(
            **networks,
            generator_optimizer=new_optimizer(self.config, networks["gen_ab"], networks["gen_ba"]),
            critic_optimizer=new_optimizer(self.config, networks["critic_a"], networks["critic_b"]),
        )

    def moved(self, state, stage):
        """Pairs of our and the published updates, in learning rates; without biases in front of norms (all noise)."""
        updated = from_tensorflow(self.variables("weight") | self.variables(stage)).state_dicts
        for network, weights in updated.items():
            ours, start = getattr(state, network).state_dict(), self.published.state_dicts[network]
            for name in weights:
                if name.endswith("conv.bias") and name.replace("conv", "norm") in weights:
                    continue
                yield f"{network}.{name}", (ours[name] - start[name]) / self.lr, (weights[name] - start[name]) / self.lr


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def golden(request):
    return Golden(request.param)


def close(ours, published, rtol=1e-5, atol=1e-5):
    torch.testing.assert_close(torch.as_tensor(ours), torch.as_tensor(published), rtol=rtol, atol=atol)


def scalars(golden, state):
    """The published losses, recomputed: of the generators, of the critics, and the two round trips."""
    config = golden.config
    distance = losses.l1 if config.reconstruction == "l1" else losses.l2
    with torch.no_grad():
        fake_a, fake_b = state.gen_ba(golden.b), state.gen_ab(golden.a)
        loss_a, loss_b = distance(state.gen_ba(fake_b), golden.a), distance(state.gen_ab(fake_a), golden.b)
        ag = generator_loss(state.critic_b(fake_b), config) + config.weight_b * loss_b
        bg = generator_loss(state.critic_a(fake_a), config) + config.weight_a * loss_a
    d_loss = critic_loss(state.critic_a(golden.a), state.critic_a(fake_a), config)
    d_loss = d_loss + critic_loss(state.critic_b(golden.b), state.critic_b(fake_b), config)
    if config.loss == "wgan-gp":
        mix_a, mix_b = golden.mixes
        penalty_a = losses.gradient_penalty(state.critic_a, golden.a, fake_a, mix_a, 1e-8)
        penalty_b = losses.gradient_penalty(state.critic_b, golden.b, fake_b, mix_b, 1e-8)
        d_loss = d_loss + config.penalty * (penalty_a + penalty_b)
    found = {"A_loss": loss_a, "B_loss": loss_b, "Ag_loss": ag, "Bg_loss": bg, "g_loss": ag + bg, "d_loss": d_loss}
    return {name: loss.detach() for name, loss in found.items()}


def test_there_are_golden_files():
    assert len(FILES) == 3


@torch.no_grad()
def test_images_and_round_trips(golden):
    state = golden.state()
    fake_b, fake_a = state.gen_ab(golden.a), state.gen_ba(golden.b)
    ours = {"A2B": fake_b, "B2A": fake_a, "A2B2A": state.gen_ba(fake_b), "B2A2B": state.gen_ab(fake_a)}
    for name, images in ours.items():
        close(images[:, :, ::4, ::4], golden.images(f"out_stride4:{name}"), rtol=0, atol=1e-4)


@torch.no_grad()
def test_logits(golden):
    state = golden.state()
    fake_b, fake_a = state.gen_ab(golden.a), state.gen_ba(golden.b)
    ours = {
        "Ad_logits_real": state.critic_b(golden.b),
        "Ad_logits_fake": state.critic_b(fake_b),
        "Bd_logits_real": state.critic_a(golden.a),
        "Bd_logits_fake": state.critic_a(fake_a),
    }
    for name, logits in ours.items():
        published = golden.number(f"out:{name}")
        published = published.squeeze(1) if published.ndim == 2 else published.permute(0, 3, 1, 2)
        close(logits, published, rtol=1e-4, atol=1e-4)


def test_losses(golden):
    for name, loss in scalars(golden, golden.state()).items():
        close(loss, golden.number(f"out:{name}"))


def test_steps(golden):
    state = golden.state()
    terms = critic_step(state, golden.a, golden.b, golden.config, *golden.mixes)
    close(sum(terms.values()), golden.number("out:d_loss"))
    _check_updates(golden, state, "d_step_weight")
    found = scalars(golden, state)
    # An update can differ by a few learning rates where a gradient is tiny, which moves the losses after it.
    for name in ("g_loss", "d_loss"):
        close(found[name], golden.number(f"after_d_step:{name}"), rtol=1e-4, atol=1e-4)

    terms = generator_step(state, golden.a, golden.b, golden.config)
    close(sum(terms.values()), golden.number("after_d_step:g_loss"), rtol=1e-4)
    _check_updates(golden, state, "g_step_weight")
    found = scalars(golden, state)
    for name in ("g_loss", "d_loss", "A_loss", "B_loss"):
        close(found[name], golden.number(f"after_g_step:{name}"), rtol=1e-4, atol=1e-4)


def _check_updates(golden, state, stage):
    """By the median error; the updates of the first steps are about one learning rate times the gradient."""
    pairs = [pair for pair in golden.moved(state, stage) if pair[0].startswith("critic" if stage[0] == "d" else "gen")]
    errors = torch.cat([(ours - published).abs().flatten() for _, ours, published in pairs])
    sizes = torch.cat([published.abs().flatten() for _, _, published in pairs])
    assert sizes.median() > 0.01  # they moved
    assert errors.median() < 0.01
