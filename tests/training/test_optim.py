import numpy as np
import pytest
import torch
from torch import nn

from ganshift.errors import UserError
from ganshift.nn.matmul import product
from ganshift.training.optim import CACHED_NUMBERS, NonFiniteLoss, TensorFlowRMSprop, descend, frozen, gradient_norm


def by_hand(start, gradients, lr, decay, eps):
    """TensorFlow 1's update in numpy, in float64."""
    p, ms = start.astype(np.float64), np.ones(start.shape)
    for g in gradients:
        ms = decay * ms + (1 - decay) * g.astype(np.float64) ** 2
        p = p - lr * g / np.sqrt(ms + eps)
    return p


@pytest.mark.parametrize(("lr", "decay", "eps"), [(5e-5, 0.9, 1e-10), (0.1, 0.5, 1e-2)])
def test_rmsprop_against_numpy(lr, decay, eps):
    random = np.random.default_rng(0)
    starts = [random.standard_normal(shape).astype(np.float32) for shape in ((3, 2), (5,), ())]
    gradients = [[10 * random.standard_normal(s.shape).astype(np.float32) for s in starts] for _ in range(6)]
    parameters = [nn.Parameter(torch.tensor(start)) for start in starts]
    optimizer = TensorFlowRMSprop(parameters, lr=lr, decay=decay, eps=eps)
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = torch.tensor(gradient)
        optimizer.step()
    for i, parameter in enumerate(parameters):
        expected = by_hand(starts[i], [step[i] for step in gradients], lr, decay, eps)
        torch.testing.assert_close(parameter.detach().double(), torch.tensor(expected), rtol=1e-6, atol=1e-6)


def test_rmsprop_starts_like_gradient_descent():
    """The slot starts at 1: a gradient of 1e-3 moves by about lr 1e-3, where a slot of 0 would give lr sqrt(10)."""
    parameter = nn.Parameter(torch.zeros(1))
    parameter.grad = torch.full((1,), 1e-3)
    TensorFlowRMSprop([parameter], lr=1.0).step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([-1e-3 / 0.9**0.5]))


def test_rmsprop_moves_large_and_strided_parameters():
    """More numbers than one pass takes, and a parameter that is not contiguous, move like any other."""
    torch.manual_seed(0)
    large = nn.Parameter(torch.randn(2, CACHED_NUMBERS // 2 + 3))
    strided = nn.Parameter(torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last))
    starts = [parameter.detach().clone() for parameter in (large, strided)]
    for parameter in (large, strided):
        parameter.grad = torch.randn(parameter.shape)
    TensorFlowRMSprop([large, strided], lr=0.1).step()
    for parameter, start in zip((large, strided), starts, strict=True):
        expected = by_hand(start.numpy(), [parameter.grad.numpy()], 0.1, 0.9, 1e-10)
        torch.testing.assert_close(parameter.detach().double(), torch.tensor(expected), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("with_rest", [False, True])
def test_rmsprop_moves_by_factors(with_rest):
    """More rows than one piece has, and factors of two backward passes; with a gradient besides, too."""
    torch.manual_seed(0)
    columns = 3 * 3 * 5
    parameter = nn.Parameter(torch.randn(CACHED_NUMBERS // columns + 7, 5, 3, 3))
    start = parameter.detach().clone()
    pairs = [(torch.randn(n, len(parameter)), torch.randn(n, columns)) for n in (2, 1, 4)]
    gradient = sum(left.t() @ right for left, right in pairs).view_as(parameter)
    if with_rest:
        parameter.grad = torch.randn_like(parameter)
        gradient = gradient + parameter.grad
    TensorFlowRMSprop([parameter], lr=0.1).step(factors=[{parameter: pairs[:2]}, {parameter: pairs[2:]}])
    expected = by_hand(start.numpy(), [gradient.numpy()], 0.1, 0.9, 1e-10)
    torch.testing.assert_close(parameter.detach().double(), torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_rest", [False, True])
def test_the_norm_of_gradients_counts_factors(with_rest):
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(6, 4, 2)), nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(5))]
    optimizer = torch.optim.SGD(parameters)
    assert gradient_norm(optimizer) is None
    pairs = [(torch.randn(n, 6), torch.randn(n, 8)) for n in (2, 1, 4)]
    whole = sum(left.t() @ right for left, right in pairs).flatten()
    parameters[1].grad = torch.randn(3)
    if with_rest:
        parameters[0].grad = torch.randn(6, 4, 2)
        whole = whole + parameters[0].grad.flatten()
    expected = torch.cat([whole, parameters[1].grad]).norm()
    found = gradient_norm(optimizer, [{parameters[0]: pairs[:2]}, {parameters[0]: pairs[2:]}])
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("parts", [1, 2])
def test_descend_by_factors_is_descend_by_gradients(parts):
    torch.manual_seed(0)
    start, rows = torch.randn(6, 8), torch.randn(2, 1, 6)
    moved = []
    for optimizer, rate in ((TensorFlowRMSprop, 0.1), (torch.optim.SGD, 0.1)):
        parameter = nn.Parameter(start.clone())
        terms = [{f"{i}": product(rows[i], parameter).sum()} for i in range(2)]
        descend(optimizer([parameter], lr=rate), *(terms if parts == 2 else [terms[0] | terms[1]]))
        moved.append(parameter.detach() - start)
    slope = -moved[1] / 0.1
    torch.testing.assert_close(moved[0], -0.1 * slope / (0.9 + 0.1 * slope**2 + 1e-10).sqrt(), rtol=1e-4, atol=1e-5)


def test_rmsprop_leaves_parameters_without_gradient():
    still, moving = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    moving.grad = torch.ones(2)
    optimizer = TensorFlowRMSprop([still, moving])
    optimizer.step()
    assert still.eq(1).all()
    assert moving.lt(1).all()
    assert still not in optimizer.state


def test_rmsprop_state_round_trip():
    torch.manual_seed(0)
    start, gradients = torch.randn(4), torch.randn(6, 4)

    def run(parameter, optimizer, steps):
        for gradient in steps:
            parameter.grad = gradient.clone()
            optimizer.step()

    straight = nn.Parameter(start.clone())
    run(straight, TensorFlowRMSprop([straight], lr=0.1), gradients)

    first = nn.Parameter(start.clone())
    saved = TensorFlowRMSprop([first], lr=0.1)
    run(first, saved, gradients[:3])
    second = nn.Parameter(first.detach().clone())
    loaded = TensorFlowRMSprop([second], lr=7.0)
    loaded.load_state_dict(saved.state_dict())
    run(second, loaded, gradients[3:])
    assert loaded.param_groups[0]["lr"] == 0.1
    assert torch.equal(straight, second)


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"decay": 1.0}, {"eps": 0.0}])
def test_rmsprop_refuses(wrong):
    with pytest.raises(UserError, match="RMSprop needs"):
        TensorFlowRMSprop([nn.Parameter(torch.ones(1))], **wrong)


def test_descend_steps_down_the_sum():
    parameter = nn.Parameter(torch.tensor(3.0))
    parameter.grad = torch.tensor(100.0)  # left over, to be dropped
    terms = descend(torch.optim.SGD([parameter], lr=0.1), {"square": parameter**2, "twice": 2 * parameter})
    torch.testing.assert_close(parameter.detach(), torch.tensor(3 - 0.1 * (2 * 3 + 2)))
    assert parameter.grad is None
    assert {name: term.item() for name, term in terms.items()} == {"square": 9.0, "twice": 6.0}
    assert not any(term.requires_grad for term in terms.values())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_descend_raises_before_the_update(bad):
    parameter = nn.Parameter(torch.tensor(3.0))
    optimizer = TensorFlowRMSprop([parameter], lr=0.1)
    with pytest.raises(NonFiniteLoss, match="penalty is") as caught:
        descend(optimizer, {"fine": parameter**2, "penalty": parameter * bad})
    assert "fine is" not in str(caught.value)
    assert isinstance(caught.value, UserError)
    assert parameter.item() == 3.0
    assert parameter.grad is None
    assert not optimizer.state


def test_descend_names_an_overflowing_sum():
    parameter = nn.Parameter(torch.tensor(3e38))
    with pytest.raises(NonFiniteLoss, match="overflows"):
        descend(torch.optim.SGD([parameter], lr=0.1), {"one": parameter * 1, "two": parameter * 1})


def test_frozen_restores_what_was_there():
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)
    with frozen(module):
        assert not module.weight.requires_grad
    assert module.weight.requires_grad
    with pytest.raises(UserError, match="from within"), frozen(module):
        raise UserError("from within")
    assert module.weight.requires_grad
    assert not module.bias.requires_grad
