from pathlib import Path

import pytest
import torch

from ganshift.methods.dual.algorithm import clip_weights
from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.trainer import new_algorithm, new_optimizer
from ganshift.training.draws import Draws
from ganshift.training.grad_accumulation import Updates
from ganshift.training.optim import NonFiniteLoss, TensorFlowRMSprop
from ganshift.training.update import PlainUpdate

NETWORKS = ("gen_ab", "gen_ba", "critic_a", "critic_b")
LOSSES = ("wgan-gp", "wgan", "classic", "least-squares")


def config_with(**overrides):
    return DualConfig(**(PRESETS["tiny"] | {"data": Path("data"), "out": Path("out")} | overrides))


def batch(n=2):
    """Gray images of domain a and coloured ones of domain b."""
    random = torch.Generator().manual_seed(1)
    coarse = [torch.rand(n, channels, 4, 4, generator=random) * 2 - 1 for channels in (1, 3)]
    a, b = (torch.nn.functional.interpolate(images, size=32, mode="bilinear") for images in coarse)
    return a, b


def fresh(config):
    torch.manual_seed(0)
    return new_algorithm(config, channels_a=1, channels_b=3)


def updates_of(algorithm):
    networks = (algorithm.generators, algorithm.critics)
    return Updates({moving: new_optimizer(algorithm.config, moving) for moving in networks})


def critic_step(algorithm, a, b, alpha_a=None, alpha_b=None, update=None):
    """The critics' update alone, with the clipping that follows it."""
    if algorithm.config.loss == "wgan-gp" and alpha_a is None:
        alpha_a, alpha_b = torch.rand(2, len(a))
    fakes = [fake.detach() for fake in algorithm.translate(a, b)]
    update = update or updates_of(algorithm)
    terms = update(algorithm.critics, algorithm.critic_loss, a, b, *fakes, alpha_a, alpha_b)
    if algorithm.config.loss == "wgan":
        clip_weights(algorithm.critics, algorithm.config.clip)
    return terms


def generator_step(algorithm, a, b, update=None):
    fakes = algorithm.translate(a, b)
    return (update or updates_of(algorithm))(algorithm.generators, algorithm.generator_loss, a, b, *fakes)


def networks_of(state):
    return {**state.generators, **state.critics}


def weights(state):
    return {name: [p.detach().clone() for p in network.parameters()] for name, network in networks_of(state).items()}


def changed(before, after):
    return {name for name in NETWORKS if not all(map(torch.equal, before[name], after[name]))}


@pytest.mark.parametrize("critic", ["global", "patch"])
@pytest.mark.parametrize("loss", LOSSES)
def test_which_networks_move(loss, critic):
    config = config_with(loss=loss, critic=critic)
    state, (a, b) = fresh(config), batch()
    start = weights(state)
    terms = critic_step(state, a, b)
    middle = weights(state)
    assert changed(start, middle) == {"critic_a", "critic_b"}
    penalties = {"critic_a/penalty", "critic_b/penalty"} if loss == "wgan-gp" else set()
    assert terms.keys() == {"critic_a/adversarial", "critic_b/adversarial"} | penalties

    terms = generator_step(state, a, b)
    assert changed(middle, weights(state)) == {"gen_ab", "gen_ba"}
    assert terms.keys() == {"gen_ab/adversarial", "gen_ba/adversarial", "a/reconstruction", "b/reconstruction"}
    for network in NETWORKS:
        assert all(p.requires_grad for p in networks_of(state)[network].parameters())


@pytest.mark.parametrize("loss", LOSSES)
def test_only_wgan_clips(loss):
    config = config_with(loss=loss)
    state, (a, b) = fresh(config), batch()
    critic_step(state, a, b)
    largest = max(p.abs().max().item() for p in state.critics.parameters())
    assert (largest <= 0.0100001) == (loss == "wgan")  # gains start near 1
    assert max(p.abs().max().item() for p in state.generators.parameters()) > 0.5


def test_clip_weights():
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-3.0, 0.5]]))
        layer.bias.fill_(2.0)
    clip_weights(layer, 1.0)
    assert layer.weight.tolist() == [[-1.0, 0.5]]
    assert layer.bias.tolist() == [1.0]


def test_given_alphas_decide_the_penalty():
    config, (a, b) = config_with(), batch()
    zero, one = torch.zeros(2), torch.ones(2)
    penalties = {}
    for name, mix_a, mix_b in (("first", zero, zero), ("again", zero, zero), ("a", one, zero), ("b", zero, one)):
        terms = critic_step(fresh(config), a, b, mix_a, mix_b)
        penalties[name] = [terms[f"critic_{domain}/penalty"].item() for domain in "ab"]
    assert penalties["first"] == penalties["again"]
    assert [x != y for x, y in zip(penalties["a"], penalties["first"], strict=True)] == [True, False]
    assert [x != y for x, y in zip(penalties["b"], penalties["first"], strict=True)] == [False, True]


def test_weights_of_the_terms():
    a, b = batch()
    terms = {}
    for weight in (500.0, 1000.0):
        config = config_with(weight_a=weight, weight_b=2 * weight, reconstruction="l2")
        terms[weight] = generator_step(fresh(config), a, b)
    for domain in "ab":
        name = f"{domain}/reconstruction"
        torch.testing.assert_close(terms[1000.0][name], 2 * terms[500.0][name])
    torch.testing.assert_close(terms[1000.0]["gen_ab/adversarial"], terms[500.0]["gen_ab/adversarial"])


def test_one_optimizer_for_both_critics_is_one_for_each():
    """The losses share no parameter, so that a step on the sum is a step on each."""
    config, (a, b) = config_with(), batch()
    alphas = torch.rand(2, 2)
    joint, apart = fresh(config), fresh(config)
    critic_step(joint, a, b, *alphas)
    for critic in apart.critics.values():
        optimizer = TensorFlowRMSprop(critic.parameters(), lr=config.learning_rate)
        before = weights(apart)
        critic_step(apart, a, b, *alphas, update=PlainUpdate({apart.critics: optimizer}))
        assert len(changed(before, weights(apart))) == 1
    for name in NETWORKS:
        for ours, expected in zip(weights(apart)[name], weights(joint)[name], strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("loss", LOSSES)
def test_an_iteration_is_its_steps(loss, dropout):
    """Sharing fakes between the last critic step and the first generator step changes no bit."""
    config = config_with(loss=loss, dropout=dropout, batch=2)
    pairs = [batch(), tuple(images.flip(3) for images in batch())]
    together, apart = fresh(config), fresh(config)
    torch.manual_seed(2)
    terms = together.iteration(pairs, updates_of(together), Draws(torch.device("cpu")))
    torch.manual_seed(2)
    expected, update = {}, updates_of(apart)
    for a, b in pairs:
        alphas = [torch.rand(2) for _ in "ab"] if loss == "wgan-gp" else [None, None]
        expected |= critic_step(apart, a, b, *alphas, update=update)
    for _ in range(config.generator_steps):
        expected |= generator_step(apart, *pairs[-1], update=update)
    assert terms == expected
    for name in NETWORKS:
        assert all(map(torch.equal, weights(together)[name], weights(apart)[name]))


@pytest.mark.parametrize("step", [critic_step, generator_step])
def test_a_step_that_is_not_finite_changes_nothing(step):
    state, (a, b) = fresh(config_with()), batch()
    before = weights(state)
    a[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteLoss, match="nothing was updated"):
        step(state, a, b)
    assert not changed(before, weights(state))
    assert all(p.requires_grad for p in state.critics.parameters())


def test_optimizers():
    networks = fresh(config_with()).generators
    assert isinstance(new_optimizer(config_with(), networks), TensorFlowRMSprop)
    adam = new_optimizer(config_with(optimizer="adam", beta1=0.3, learning_rate=1e-3), networks)
    assert adam.param_groups[0]["betas"] == (0.3, 0.999)
    assert adam.param_groups[0]["lr"] == 1e-3


def test_reconstruction_falls_when_trained():
    """The round trip of one fixed pair gets better within a few steps of a large rate."""
    state, (a, b) = fresh(config_with(optimizer="adam", learning_rate=5e-3)), batch()
    update, history = updates_of(state), []
    for _ in range(15):
        critic_step(state, a, b, update=update)
        terms = generator_step(state, a, b, update=update)
        history.append((terms["a/reconstruction"] + terms["b/reconstruction"]).item())
    assert history[-1] < 0.9 * history[0]


def test_penalty_is_float32_under_autocast():
    """The penalty and its second derivatives come out as without autocast, up to the fakes' own precision."""
    config, (a, b) = config_with(), batch()
    alphas = torch.zeros(2, 2)  # at the real images, which no precision touches
    full = critic_step(fresh(config), a, b, *alphas)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = critic_step(fresh(config), a, b, *alphas)
    for domain in "ab":
        torch.testing.assert_close(low[f"critic_{domain}/penalty"], full[f"critic_{domain}/penalty"], rtol=1e-6, atol=0)
    assert low["critic_a/adversarial"].dtype == torch.float32


class Scale(torch.nn.Module):
    """A generator that makes a part of the contrast of images, in gray."""

    def __init__(self, part, channels):
        super().__init__()
        self.part = torch.nn.Parameter(torch.tensor(part))
        self.channels, self.seen = channels, None

    def forward(self, images):
        self.seen = images
        return (self.part * images.mean(1, keepdim=True)).expand(-1, self.channels, -1, -1)


def test_identity_loss_of_known_generators():
    """Images of the target domain in the channels that a generator takes, and how far it moves them."""
    state = fresh(config_with(identity=0.5, weight_a=10.0, weight_b=20.0))
    state.generators["gen_ab"], state.generators["gen_ba"] = Scale(0.5, 3), Scale(0.75, 1)
    a = torch.full((2, 1, 4, 4), 0.8)
    b = torch.full((2, 3, 4, 4), -0.4)
    assert state.identity_loss("gen_ab", b, 1)["gen_ab/identity"].item() == pytest.approx(0.5 * 20 * 0.5 * 0.4)
    assert torch.equal(state.generators["gen_ab"].seen, torch.full((2, 1, 4, 4), -0.4))
    assert state.identity_loss("gen_ba", a, 3)["gen_ba/identity"].item() == pytest.approx(0.5 * 10 * 0.25 * 0.8)
    assert torch.equal(state.generators["gen_ba"].seen, torch.full((2, 3, 4, 4), 0.8))


def test_identity_loss_is_only_of_generators():
    state, (a, b) = fresh(config_with(identity=0.5)), batch()
    start = weights(state)
    terms = generator_step(state, a, b)
    assert {name for name in terms if name.endswith("identity")} == {"gen_ab/identity", "gen_ba/identity"}
    assert changed(start, weights(state)) == {"gen_ab", "gen_ba"}
    assert not fresh(config_with()).identity_loss("gen_ab", b, 1)
