"""What counts as a collapse, and what does not."""

from math import inf

import pytest
import torch

from ganshift.training.monitor.health import Finding, Health, gradient_norms
from ganshift.training.optim import TensorFlowRMSprop

GAP = "critic/distance"


def kinds(findings):
    return [finding.kind for finding in findings]


def lines(health, name, *values):
    """The kinds found on each line."""
    return [kinds(health.of_line({name: value}, [GAP])) for value in values]


def test_a_gap_must_surge_beyond_its_own_past():
    assert lines(Health(), GAP, 0.01, -0.2, -3.0, -5.0, -4.0, -49.0, -500.0) == [[], [], [], [], [], [], ["gap"]]


def test_the_first_lines_have_no_past():
    assert lines(Health(), GAP, 0.01, -1.0, -100.0, -10_000.0) == [[]] * 4


def test_what_is_wrong_is_no_past_to_be_compared_with():
    assert lines(Health(), GAP, *[1.0] * 5, 11.0, 11.0, 9.0) == [[]] * 5 + [["gap"], ["gap"], []]


def test_gradients_surge_or_are_still():
    assert lines(Health(), "gradient/generator", *[1.0] * 5, 99.0, 10_000.0, 1e-4) == [[]] * 6 + [
        ["gradient"],
        ["still"],
    ]
    assert lines(Health(), "gradient/critic", inf) == [["gradient"]]


def test_a_critic_that_gives_all_images_one_score():
    """Gradients of the generator in a run by the hinge loss on CIFAR-10, at equal learning rates of 0.001."""
    norms = 0.808, 0.756, 0.271, 0.219, 0.131, 0.159, 0.068, 0.0136, 0.00368, 0.00161, 0.000564
    assert lines(Health(), "gradient/generator", *norms) == [[]] * 10 + [["still"]]


def test_other_terms_may_do_as_they_like():
    assert lines(Health(), "generator/adversarial", *[1.0] * 5, 1e9) == [[]] * 6


def test_images_have_to_differ_before_they_can_become_alike():
    health = Health()
    found = [kinds(health.of_evaluation({"generated": value}, [])) for value in (0.1, 0.05, 0.8, 0.3, 0.19)]
    assert found == [[], [], [], [], ["alike"]]


def test_noise_differs_more_than_real_images_and_does_not_count_as_more():
    health = Health()
    assert not health.of_evaluation({"generated": 8.0}, [])
    assert not health.of_evaluation({"generated": 0.3}, [])


def test_what_has_to_last_is_counted_in_a_row():
    health, finding = Health(), Finding("unchanged", "no change", lasting=3)
    found = [kinds(health.of_evaluation({}, seen)) for seen in ([finding], [finding], [], *[[finding]] * 3)]
    assert found == [[], [], [], [], [], ["unchanged"]]


def test_what_stands_is_said_once_and_healthy_is_what_every_source_says():
    health, advice = Health(), {"gap": "Try less."}
    gap = Finding("gap", "the gap is large")
    ((_, message),) = health.assess(8, [gap], "log", advice, decides=False)
    assert message == "at 8 images: the gap is large. Try less."
    assert health.assess(16, [gap], "log", advice, decides=False) == []
    assert health.assess(16, [], "evaluation", advice, decides=True) == []
    assert health.healthy_at == 0
    health.assess(24, [], "log", advice, decides=False)
    assert health.healthy_at == 0
    health.assess(32, [], "evaluation", advice, decides=True)
    assert health.healthy_at == 32
    assert health.messages == [{"images": 8, "kind": "gap", "message": "the gap is large. Try less."}]


def test_a_restored_state_goes_on_alike():
    one, other = Health(), Health()
    lines(one, GAP, *[1.0] * 5)
    one.of_evaluation({"generated": 0.8}, [Finding("unchanged", "", lasting=2)])
    one.assess(8, [Finding("gap", "large")], "log", {}, decides=False)
    other.load_state_dict(one.state_dict())
    assert other.state_dict() == one.state_dict()
    assert lines(other, GAP, 20.0) == [["gap"]]
    assert kinds(other.of_evaluation({"generated": 0.1}, [Finding("unchanged", "", lasting=2)])) == [
        "unchanged",
        "alike",
    ]
    assert other.assess(16, [Finding("gap", "large")], "log", {}, decides=False) == []


@pytest.mark.parametrize("kind", [TensorFlowRMSprop, torch.optim.Adam])
def test_gradient_norms_are_those_of_the_last_step(kind):
    weights = [torch.zeros(3, requires_grad=True), torch.zeros(2, 2, requires_grad=True)]
    optimizer = kind(weights, lr=0.1)
    for size in (5.0, 2.0):
        with gradient_norms({"critic_optimizer": optimizer}) as found:
            weights[0].grad, weights[1].grad = torch.full((3,), size), torch.full((2, 2), -size)
            optimizer.step()
    torch.testing.assert_close(found, {"gradient/critic": torch.tensor(2.0 * 7**0.5)})
    optimizer.step()
    torch.testing.assert_close(found["gradient/critic"], torch.tensor(2.0 * 7**0.5))
