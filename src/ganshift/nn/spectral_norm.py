"""Layers whose kernels are divided by their spectral norm (Miyato et al. 2018, arXiv 1802.05957).

PyTorch estimates that norm anew whenever a kernel is asked for. Here it stands still between two calls of
`renormalise`, so that a batch in parts has the scores of the whole.
"""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm


def add_spectral_norms(network: nn.Module) -> None:
    """Divide the kernels of all convolutions and linear layers by their spectral norms, in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # of where the estimates begin
        for layer in list(network.modules()):
            if isinstance(layer, nn.Conv2d | nn.Linear):
                spectral_norm(layer)
    for norm in _norms(network):
        norm.eval()


@torch.no_grad()
def renormalise(network: nn.Module) -> None:
    """One power iteration for each norm, as each update of a critic wants it (their algorithm 1)."""
    for norm in _norms(network):
        norm.train()
        norm()
        norm.eval()


def plain_weights(network: nn.Module) -> dict[str, Tensor]:
    """The weights of the same network of ordinary layers, whose kernels are divided already."""
    weights = {name: value for name, value in network.state_dict().items() if ".parametrizations." not in name}
    for name, layer in network.named_modules():
        if parametrize.is_parametrized(layer, "weight"):
            weights[f"{name}.weight"] = layer.weight.detach()
    return weights


def _norms(network: nn.Module) -> list[parametrize.ParametrizationList]:
    return [layer for layer in network.modules() if isinstance(layer, parametrize.ParametrizationList)]
