from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ganshift.methods.dual.algorithm import clip_weights, critic_step, generator_step, training_step
from ganshift.methods.dual.config import PRESETS, DualConfig
from ganshift.methods.dual.trainer import new_state
from ganshift.training.optim import NonFiniteLoss, TensorFlowRMSprop

NETWORKS = ("gen_ab", "gen_ba", "critic_a", "critic_b")
LOSSES = ("wgan-gp", "wgan", "classic")


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
    return new_state(config, channels_a=1, channels_b=3)


def weights(state):
    return {name: [p.detach().clone() for p in getattr(state, name).parameters()] for name in NETWORKS}


def changed(before, after):
    return {name for name in NETWORKS if not all(map(torch.equal, before[name], after[name]))}


@pytest.mark.parametrize("critic", ["global", "patch"])
@pytest.mark.parametrize("loss", LOSSES)
def test_which_networks_move(loss, critic):
    config = config_with(loss=loss, critic=critic)
    state, (a, b) = fresh(config), batch()
    start = weights(state)
    terms = critic_step(state, a, b, config)
    middle = weights(state)
    assert changed(start, middle) == {"critic_a", "critic_b"}
    penalties = {"critic_a/penalty", "critic_b/penalty"} if loss == "wgan-gp" else set()
    assert terms.keys() == {"critic_a/adversarial", "critic_b/adversarial"} | penalties

    terms = generator_step(state, a, b, config)
    assert changed(middle, weights(state)) == {"gen_ab", "gen_ba"}
    assert terms.keys() == {"gen_ab/adversarial", "gen_ba/adversarial", "a/reconstruction", "b/reconstruction"}
    for network in NETWORKS:
        assert all(p.requires_grad for p in getattr(state, network).parameters())


@pytest.mark.parametrize("loss", LOSSES)
def test_only_wgan_clips(loss):
    config = config_with(loss=loss)
    state, (a, b) = fresh(config), batch()
    critic_step(state, a, b, config)
    largest = max(p.abs().max().item() for c in (state.critic_a, state.critic_b) for p in c.parameters())
    assert (largest <= 0.0100001) == (loss == "wgan")  # gains start near 1
    assert max(p.abs().max().item() for p in state.gen_ab.parameters()) > 0.5


def test_clip_weights():
    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[-3.0, 0.5]]))
        layer.bias.fill_(2.0)
    clip_weights(layer, limit=1.0)
    assert layer.weight.tolist() == [[-1.0, 0.5]]
    assert layer.bias.tolist() == [1.0]


def test_given_mixtures_decide_the_penalty():
    config, (a, b) = config_with(), batch()
    zero, one = torch.zeros(2), torch.ones(2)
    penalties = {}
    for name, mix_a, mix_b in (("first", zero, zero), ("again", zero, zero), ("a", one, zero), ("b", zero, one)):
        terms = critic_step(fresh(config), a, b, config, mix_a, mix_b)
        penalties[name] = [terms[f"critic_{domain}/penalty"].item() for domain in "ab"]
    assert penalties["first"] == penalties["again"]
    assert [x != y for x, y in zip(penalties["a"], penalties["first"], strict=True)] == [True, False]
    assert [x != y for x, y in zip(penalties["b"], penalties["first"], strict=True)] == [False, True]


def test_weights_of_the_terms():
    a, b = batch()
    terms = {}
    for weight in (500.0, 1000.0):
        config = config_with(weight_a=weight, weight_b=2 * weight, reconstruction="l2")
        terms[weight] = generator_step(fresh(config), a, b, config)
    for domain in "ab":
        name = f"{domain}/reconstruction"
        torch.testing.assert_close(terms[1000.0][name], 2 * terms[500.0][name])
    torch.testing.assert_close(terms[1000.0]["gen_ab/adversarial"], terms[500.0]["gen_ab/adversarial"])


def test_one_optimizer_for_both_critics_is_one_for_each():
    """The losses share no parameter, so that a step on the sum is a step on each."""
    config, (a, b) = config_with(), batch()
    mixes = torch.rand(2, 2)
    joint, apart = fresh(config), fresh(config)
    critic_step(joint, a, b, config, *mixes)
    for critic in (apart.critic_a, apart.critic_b):
        alone = replace(apart, critic_optimizer=TensorFlowRMSprop(critic.parameters(), lr=config.learning_rate))
        before = weights(apart)
        critic_step(alone, a, b, config, *mixes)
        assert len(changed(before, weights(apart))) == 1
    for name in NETWORKS:
        for ours, expected in zip(weights(apart)[name], weights(joint)[name], strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=0)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("loss", LOSSES)
def test_an_iteration_is_its_steps(loss, dropout):
    """Sharing fakes between the last critic step and the first generator step changes no bit."""
    config = config_with(loss=loss, dropout=dropout)
    pairs = [batch(), tuple(images.flip(3) for images in batch())]
    together, apart = fresh(config), fresh(config)
    torch.manual_seed(2)
    terms = training_step(together, pairs, config)
    torch.manual_seed(2)
    expected = {}
    for a, b in pairs:
        expected |= critic_step(apart, a, b, config)
    for _ in range(config.generator_steps):
        expected |= generator_step(apart, *pairs[-1], config)
    assert terms == expected
    for name in NETWORKS:
        assert all(map(torch.equal, weights(together)[name], weights(apart)[name]))


@pytest.mark.parametrize("step", [critic_step, generator_step])
def test_a_step_that_is_not_finite_changes_nothing(step):
    config = config_with()
    state, (a, b) = fresh(config), batch()
    before = weights(state)
    a[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteLoss, match="nothing was updated"):
        step(state, a, b, config)
    assert not changed(before, weights(state))
    assert all(p.requires_grad for p in state.critic_a.parameters())


def test_optimizers():
    assert isinstance(fresh(config_with()).critic_optimizer, TensorFlowRMSprop)
    adam = fresh(config_with(optimizer="adam", beta1=0.3, learning_rate=1e-3)).generator_optimizer
    assert adam.param_groups[0]["betas"] == (0.3, 0.999)
    assert adam.param_groups[0]["lr"] == 1e-3


def test_reconstruction_falls_when_trained():
    """The round trip of one fixed pair gets better within a few steps of a large rate."""
    config = config_with(optimizer="adam", learning_rate=5e-3)
    state, (a, b) = fresh(config), batch()
    history = []
    for _ in range(15):
        critic_step(state, a, b, config)
        terms = generator_step(state, a, b, config)
        history.append((terms["a/reconstruction"] + terms["b/reconstruction"]).item())
    assert history[-1] < 0.9 * history[0]


def test_penalty_is_float32_under_autocast():
    """The penalty and its second derivatives come out as without autocast, up to the fakes' own precision."""
    config, (a, b) = config_with(), batch()
    mixes = torch.zeros(2, 2)  # at the real images, which no precision touches
    full = critic_step(fresh(config), a, b, config, *mixes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = critic_step(fresh(config), a, b, config, *mixes)
    for domain in "ab":
        torch.testing.assert_close(low[f"critic_{domain}/penalty"], full[f"critic_{domain}/penalty"], rtol=1e-6, atol=0)
    assert low["critic_a/adversarial"].dtype == torch.float32
