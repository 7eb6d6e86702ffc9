"""The published TensorFlow code's numbers, reproduced from its weights and random draws."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ganshift.methods.transfer.algorithm import WGANGP
from ganshift.methods.transfer.config import TransferConfig
from ganshift.methods.transfer.networks import ResNetCritic, ResNetGenerator
from ganshift.methods.transfer.tensorflow import from_tensorflow
from ganshift.nn.norm import batch_statistics
from ganshift.tensors import dequantize, from_uint8
from ganshift.training.draws import Draws
from ganshift.training.grad_accumulation import Updates
from ganshift.training.update import PlainUpdate

GOLDEN = Path(__file__).parents[2] / "golden"
CASES = ("transfer32_acgan", "transfer32_unconditional", "transfer64_acgan", "transfer64_unconditional")


class Golden:
    """One file of golden numbers with the networks rebuilt from its weights."""

    def __init__(self, name):
        self.name = name
        self.arrays = dict(np.load(GOLDEN / f"{name}.npz"))
        self.settings = json.loads(str(self.arrays["settings"]))
        self.size = 32 if "32" in name else 64
        self.acgan = "unconditional" not in name
        imported = from_tensorflow(self.group("weight:"))
        self.generator = ResNetGenerator(**imported.generator_arguments)
        self.critic = ResNetCritic(**imported.critic_arguments)
        self.load(imported)
        real = self.arrays["real_uint8_flat_chw" if self.size == 32 else "real_uint8_chw"]
        self.stored = torch.from_numpy(real.astype(np.uint8)).view(-1, 3, self.size, self.size)
        self.real_labels = torch.from_numpy(self.arrays["labels"]).long()

    def load(self, imported):
        self.generator.load_state_dict(imported.generator, strict=False)
        self.critic.load_state_dict(imported.critic)

    def group(self, prefix):
        return {key.removeprefix(prefix): value for key, value in self.arrays.items() if key.startswith(prefix)}

    def random(self, number):
        (value,) = self.group(f"random:{number}:").values()
        return torch.from_numpy(value)

    def out(self, name):
        return torch.from_numpy(np.asarray(self.arrays[f"out:{name}"]))

    def labels_from(self, uniform):
        return (uniform * 10).long() if self.acgan else None

    def images(self, name):
        return self.out(name).view(-1, 3, self.size, self.size)

    @property
    def real(self):
        if self.size == 64:
            return from_uint8(self.stored)
        return dequantize(self.stored, 128 * self.random(1).view_as(self.stored))

    @property
    def labels(self):
        return self.real_labels if self.acgan else None

    @property
    def critic_draws(self):
        """Latents and labels of the fakes of the critic step."""
        if self.size == 32:
            return self.random(0), self.labels
        return self.random(1), self.labels_from(self.random(0))

    @property
    def generator_draws(self):
        """Latents and labels of the generator step."""
        if self.size == 32:
            return self.random(4), self.labels_from(self.random(3))
        return self.critic_draws

    @property
    def draws(self):
        """All draws of an iteration, in the order in which the algorithm asks for them."""
        (latents, fake_labels), (their_latents, their_labels) = self.critic_draws, self.generator_draws
        noise = [128 * self.random(1).view_as(self.stored)] if self.size == 32 else []
        alphas = self.random(2).flatten().chunk(self.mixtures)
        integers = [] if self.size == 32 else [fake_labels]
        return Recorded([latents, their_latents], [*noise, *alphas], [*integers, their_labels])

    @property
    def mixtures(self):
        return 2 if self.size == 32 else 1

    def algorithm(self):
        config = TransferConfig(
            data=Path("x"),
            out=Path("x"),
            images=1,
            size=self.size,
            batch=len(self.stored),
            generator_batch_multiple=len(self.generator_draws[0]) // len(self.stored),
            acgan_scale_generator=0.1 if self.size == 32 else 1.0,
            dequantize=self.size == 32,
            fake_labels="real" if self.size == 32 else "uniform",
        )
        num_classes = 10 if self.acgan else 0
        return WGANGP(self.generator, self.critic, config, num_classes=num_classes, mixtures=self.mixtures)

    def optimizers(self):
        rate = self.settings["lr"] * float(self.arrays.get("out:learning_rate_decay", 1.0))
        networks = (self.generator, self.critic)
        return {network: torch.optim.Adam(network.parameters(), lr=rate, betas=(0.0, 0.9)) for network in networks}


class Recorded(Draws):
    """The published code's draws, one after the other."""

    def __init__(self, normals, uniforms, integers):
        self.normals, self.uniforms, self.labels = iter(normals), iter(uniforms), iter(integers)

    def normal(self, batch, *shape):
        return next(self.normals)

    def uniform(self, batch, *shape):
        return next(self.uniforms)

    def integers(self, high, batch):
        return next(self.labels)


@pytest.fixture(params=CASES)
def golden(request):
    return Golden(request.param)


def test_images_and_scores(golden):
    latents, labels = golden.critic_draws
    with torch.no_grad():
        fake = golden.generator(latents, labels)
        assert_close(fake, golden.images("fake_for_critic" if golden.size == 32 else "fake"), rtol=0, atol=1e-4)
        real_scores, real_logits = golden.critic(golden.real)
        fake_scores, fake_logits = golden.critic(fake)
    if golden.size == 32:
        assert_close(golden.real, golden.images("real"), rtol=0, atol=1e-6)
        expected = golden.out("critic_scores").chunk(2)
    else:
        expected = (golden.out("score_real"), golden.out("score_fake"))
    assert_close((real_scores, fake_scores), tuple(expected), rtol=1e-5, atol=1e-5)
    if golden.acgan and golden.size == 32:
        assert_close(torch.cat([real_logits, fake_logits]), golden.out("class_logits"), rtol=1e-5, atol=1e-5)
    elif golden.acgan:
        assert_close(real_logits, golden.out("class_logits_real"), rtol=1e-5, atol=1e-5)
        assert_close(fake_logits, golden.out("class_logits_fake"), rtol=1e-5, atol=1e-5)
    else:
        assert real_logits is None


@pytest.mark.parametrize("golden", [name for name in CASES if "32" in name], indirect=True)
def test_fixed_sheet_of_the_32_pixel_code(golden):
    """Its hundred samples share one batch, whose statistics normalise them."""
    labels = torch.arange(10).repeat(10) if golden.acgan else None
    golden.generator.eval()
    with torch.no_grad(), batch_statistics(golden.generator):
        image_grid = golden.generator(torch.from_numpy(golden.arrays["fixed_noise"]), labels)
    assert_close(image_grid, golden.images("fixed_samples"), rtol=0, atol=1e-4)


@pytest.mark.parametrize("update", [PlainUpdate, Updates])
def test_losses_and_weights_after_one_iteration(golden, update):
    """By the plain update and by that of training. The recorded generator loss is that of the weights before."""
    algorithm = golden.algorithm()
    before = Golden(golden.name).algorithm().generator_loss(*golden.generator_draws)
    assert_close(sum(before.values()).detach(), golden.out("generator_loss"), rtol=1e-5, atol=0)

    batches = [(golden.stored, golden.labels)]
    terms = algorithm.iteration(batches, update(golden.optimizers()), golden.draws, critic_only=False)
    critic_terms = {name: term for name, term in terms.items() if name.startswith("critic")}
    assert_close(sum(critic_terms.values()), golden.out("critic_loss"), rtol=1e-5, atol=0)
    penalty = golden.out("gradient_penalty") * (1 if golden.size == 32 else 10)
    assert_close(terms["critic/penalty"], penalty, rtol=1e-5, atol=0)
    assert_moved(golden.critic, golden, "critic_step_weight:")
    assert_moved(golden.generator, golden, "generator_step_weight:")


def assert_moved(network, golden, prefix):
    """Weights agree where the published code's were recorded, to a small part of one Adam step.

    Left out are the biases of the generator's convs: whatever they add is constant over the image and reaches a batch
    norm, so that their gradient is 0 and Adam's step along it is rounding noise of full size.
    """
    weights = golden.group("weight:")
    recorded = {name: value for name, value in golden.group(prefix).items() if name in weights}
    assert recorded
    before, after = from_tensorflow(weights), from_tensorflow(weights | recorded)
    part = "critic" if "critic" in prefix else "generator"
    ours = dict(network.named_parameters())
    rate = golden.settings["lr"]
    checked = 0
    for name, expected in getattr(after, part).items():
        dead = (
            part == "generator"
            and name.startswith("blocks")
            and name.split(".")[2] in ("conv1", "conv2", "shortcut")
            and name.endswith("bias")
        )
        if not dead and not torch.equal(expected, getattr(before, part)[name]):
            off = (ours[name].detach() - expected).abs()
            assert off.median() < 0.01 * rate, name
            assert (off < 0.1 * rate).float().mean() > 0.98, name
            checked += 1
    assert checked >= 3
