"""State dicts of CycleGAN, pix2pix and CUT (`*_net_G*.pth`, `*_net_D*.pth`) as networks of ours.

Which network it is, its widths, norms and blocks are read off names and shapes. Names stay but for batch norms, whose
weight is our gain. Files of torch 0.3 keep running statistics of instance norms, which nothing reads: they are dropped.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ...errors import UserError
from ...training.weights import build_on_paper
from ..importing import check_names
from .architectures import CRITICS, GENERATORS

WRAPPED = "module."
"""In front of names where a network was saved inside `nn.DataParallel`."""
COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class PublishedNetwork:
    """A network of a state dict."""

    kind: str
    """Its name in `GENERATORS` or `CRITICS`."""
    arguments: dict[str, Any]
    """Of its constructor."""
    network: nn.Module
    num_tensors: int
    """Of the file, without those that are dropped."""

    @property
    def is_critic(self) -> bool:
        """Whether it judges."""
        return self.kind in CRITICS

    def in_words(self) -> str:
        """What it is, in a line."""
        count = f"{sum(tensor.numel() for tensor in self.network.state_dict().values()):,}"
        channels = self.arguments.get("channels")
        passed = "{in_channels} channels to {out_channels}".format_map(self.arguments) if channels is None else channels
        told = {name: value for name, value in self.arguments.items() if "channels" not in name and value is not False}
        rest = ", ".join(f"{name.replace('_', ' ')} {value}".removesuffix(" True") for name, value in told.items())
        what = f"{self.kind} critic, channels {passed}" if self.is_critic else f"{self.kind} generator, {passed}"
        return f"{what}: {rest}; {count} numbers in {self.num_tensors} tensors"


def weights_in(content: Any) -> dict[str, Tensor]:
    """The tensors of a state dict by the names of the network; none if it is something else."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return {}
    if not all(isinstance(value, Tensor) for value in content.values()):
        return {}
    wrapped = all(name.startswith(WRAPPED) for name in content)
    return {name.removeprefix(WRAPPED) if wrapped else name: value for name, value in content.items()}


def kind_of(weights: Mapping[str, Tensor]) -> str | None:
    """Which network these names are of."""
    if "model.model.0.weight" in weights:
        return "pix2pix"
    if "model.1.weight" in weights and "model.0.weight" not in weights:
        return "resnet"
    if "model.0.weight" in weights and _kernels(weights):
        return "patch"
    return "pixel" if "net.0.weight" in weights else None


def read_network(content: Any) -> PublishedNetwork:
    """The network of a state dict, with its weights; a `UserError` that lists what is missing or left over."""
    given = _without_unread(weights_in(content))
    kind = kind_of(given)
    assert kind is not None, "it has been recognised"
    arguments = _ARGUMENTS[kind](given)
    new = {**GENERATORS, **CRITICS}[kind]
    network = build_on_paper(lambda: new(**arguments), "it", f"a {kind} network")
    names = {ours: re.sub("gain$", "weight", ours) for ours in network.state_dict()}
    check_names(names.values(), given)
    for ours, expected in network.state_dict().items():
        _check(names[ours], given[names[ours]], expected)
    weights = {ours: given[name].float().contiguous() for ours, name in names.items()}
    network.load_state_dict(weights, assign=True)
    return PublishedNetwork(kind, arguments, network, len(given))


def _without_unread(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All but counters, and but running statistics where no norm has a weight: then they are of instance norms."""
    has_batch_norms = any(name.endswith(".weight") and value.dim() == 1 for name, value in weights.items())
    unread = (COUNTER,) if has_batch_norms else (COUNTER, "running_mean", "running_var")
    return {name: value for name, value in weights.items() if not name.endswith(unread)}


def _check(name: str, value: Tensor, expected: Tensor) -> None:
    """Raise a `UserError` unless a tensor has the shape expected and finite numbers."""
    if value.shape != expected.shape:
        raise UserError(
            f"its {name} has the shape {list(value.shape)}; beside its other tensors it would be {list(expected.shape)}"
        )
    if not value.is_floating_point() or not value.float().isfinite().all():
        raise UserError(f"its {name} has values that are not finite numbers")


def _kernels(weights: Mapping[str, Tensor]) -> list[tuple[int, Tensor]]:
    """The convolutions `model.N.weight` by their numbers, in order."""
    found = [(re.fullmatch(r"model\.(\d{1,4})\.weight", name), value) for name, value in weights.items()]
    return sorted((int(match[1]), value) for match, value in found if match and value.dim() == 4)


def _norm(weights: Mapping[str, Tensor], norm: str, conv: str) -> str:
    """The kind of norm, from its place and that of a convolution in front of one: only batch norms have weights."""
    if f"{norm}.weight" in weights:
        return "batch"
    return "instance" if f"{conv}.bias" in weights else "none"


def _resnet(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    numbers = {int(match[1]) for name in weights if (match := re.match(r"model\.(\d{1,4})\.conv_block\.", name))}
    filters = [value.shape[-1] for name, value in weights.items() if name.endswith(".filt")]
    width, in_channels = weights["model.1.weight"].shape[:2]
    return {
        "in_channels": in_channels,
        "out_channels": _kernels(weights)[-1][1].shape[0],
        "width": width,
        "blocks": len(numbers),
        "norm": _norm(weights, "model.2", "model.1"),
        "dropout": any(re.search(r"conv_block\.6\.weight$", name) and v.dim() == 4 for name, v in weights.items()),
        "blur_down": 3 in filters,
        "blur_up": 4 in filters,
    }


def _pix2pix(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    levels, inside = 1, "model.model.1"
    while f"{inside}.model.1.weight" in weights:
        levels, inside = levels + 1, f"{inside}.model.3"
    width, in_channels = weights["model.model.0.weight"].shape[:2]
    return {
        "in_channels": in_channels,
        "out_channels": weights["model.model.3.weight"].shape[1],
        "width": width,
        "levels": levels,
        "norm": _norm(weights, "model.model.1.model.2", "model.model.0"),
    }


def _patch(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    kernels = _kernels(weights)
    (_, first), (second, _) = kernels[:2]
    return {
        "channels": first.shape[1],
        "width": first.shape[0],
        "layers": len(kernels) - 2,
        "norm": _norm(weights, f"model.{second + 1}", f"model.{second}"),
        "blur": any(name.endswith(".filt") for name in weights),
    }


def _pixel(weights: Mapping[str, Tensor]) -> dict[str, Any]:
    width, channels = weights["net.0.weight"].shape[:2]
    return {"channels": channels, "width": width, "norm": _norm(weights, "net.3", "net.2")}


_ARGUMENTS = {"resnet": _resnet, "pix2pix": _pix2pix, "patch": _patch, "pixel": _pixel}
