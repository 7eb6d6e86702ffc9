import numpy as np
import pytest
import torch
from torch import nn

from ganshift.errors import UserError
from ganshift.training.optim import TensorFlowRMSprop, frozen, gradient_norm


def by_hand(start, gradients, lr, decay, eps):
    """TensorFlow 1's update in numpy, in float64."""
    p, ms = start.astype(np.float64), np.ones(start.shape)
    for g in gradients:
        ms = decay * ms + (1 - decay) * g.astype(np.float64) ** 2
        p = p - lr * g / np.sqrt(ms + eps)
    return p


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("lr", "decay", "eps"), [(5e-5, 0.9, 1e-10), (0.1, 0.5, 1e-2)])
def test_rmsprop_against_numpy(lr, decay, eps, fused):
    random = np.random.default_rng(0)
    starts = [random.standard_normal(shape).astype(np.float32) for shape in ((3, 2), (5,), ())]
    gradients = [[10 * random.standard_normal(s.shape).astype(np.float32) for s in starts] for _ in range(6)]
    parameters = [nn.Parameter(torch.tensor(start)) for start in starts]
    optimizer = TensorFlowRMSprop(parameters, lr=lr, decay=decay, eps=eps, fused=fused)
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
    """Many numbers, and a parameter that is not contiguous, move like any other."""
    torch.manual_seed(0)
    large = nn.Parameter(torch.randn(2, 2**17 + 3))
    strided = nn.Parameter(torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last))
    starts = [parameter.detach().clone() for parameter in (large, strided)]
    for parameter in (large, strided):
        parameter.grad = torch.randn(parameter.shape)
    TensorFlowRMSprop([large, strided], lr=0.1).step()
    for parameter, start in zip((large, strided), starts, strict=True):
        expected = by_hand(start.numpy(), [parameter.grad.numpy()], 0.1, 0.9, 1e-10)
        torch.testing.assert_close(parameter.detach().double(), torch.tensor(expected), rtol=1e-6, atol=1e-6)


def test_rmsprop_reads_its_rate_and_stands_still_as_tensors_say():
    """As a CUDA graph needs it: neither is a number of Python."""
    parameter = nn.Parameter(torch.zeros(3))
    optimizer = TensorFlowRMSprop([parameter], lr=torch.tensor(1.0))
    parameter.grad = torch.full((3,), 1e-3)
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.full((3,), -1e-3 / 0.9**0.5))
    moved, slot = parameter.detach().clone(), optimizer.state[parameter]["mean_square"].clone()
    optimizer.found_inf = torch.ones(())
    parameter.grad = torch.full((3,), torch.nan)
    optimizer.step()
    assert torch.equal(parameter.detach(), moved)
    assert torch.equal(optimizer.state[parameter]["mean_square"], slot)


def test_the_norm_of_gradients():
    parameters = [nn.Parameter(torch.zeros(6, 4, 2)), nn.Parameter(torch.zeros(3)), nn.Parameter(torch.zeros(5))]
    optimizer = torch.optim.SGD(parameters)
    assert gradient_norm(optimizer) is None
    for parameter in parameters[:2]:
        parameter.grad = torch.randn(parameter.shape)
    expected = torch.cat([parameter.grad.flatten() for parameter in parameters[:2]]).norm()
    torch.testing.assert_close(gradient_norm(optimizer), expected)


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
