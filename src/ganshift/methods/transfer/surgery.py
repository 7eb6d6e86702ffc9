"""Fitting a source's weights to a run's networks where their classes differ (Wang et al. 2018, sections 4.3 and 4.4).

Everything that knows no class is copied. A norm's gain and bias go from one class to another by the class's name.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor, nn

from ...nn.norm import Affine
from ...training.weights import check_shape


@dataclass(frozen=True)
class Fitted:
    """What became of one tensor."""

    network: str
    name: str
    shape: tuple[int, ...]
    how: str

    @property
    def layer(self) -> str:
        """The layer that the tensor belongs to, with what a spectral norm keeps of it."""
        layer, of_norm, _ = self.name.partition(".parametrizations.")
        return f"{self.network}.{layer if of_norm else self.name.rpartition('.')[0]}"


def transplant(
    network: nn.Module,
    source: Mapping[str, Tensor],
    *,
    label: str,
    where: str,
    classes: Sequence[str],
    source_classes: Sequence[str],
) -> list[Fitted]:
    """Give the network the source's weights, and return what became of every tensor.

    A norm without classes gives its gain and bias to every class; of a norm with classes, each class of the run takes
    those of the source's class of the same name, and classes that the source does not have take the mean over the
    source's; a network without classes takes that mean too. The rows of embeddings go the same ways. The class head is
    copied if the classes are the same in the same order, else it stays as it was initialised. `label` says in messages
    which network it is, `where` which source. Raises a `UserError` with both shapes if anything else differs.
    """
    own, head = network.state_dict(), f"{getattr(network, 'class_head', None)}."
    of_classes = _rows_of_classes(network)
    where, hint = f"source {where}", "leave size, channels, widths and norms to the source, or choose another one"
    for name in source:
        if name not in own and not name.startswith(head):
            check_shape(None, source[name], f"{label}.{name}", where, hint)
    fitted: list[Fitted] = []
    weights: dict[str, Tensor | None] = {}
    for name, ours in own.items():
        theirs = source.get(name)
        if name.startswith(head):
            same = theirs is not None and list(classes) == list(source_classes) and ours.shape == theirs.shape
            value, how = (theirs, "copied") if same else (ours, "initialised: the classes are others")
        elif theirs is not None and name in of_classes and 2 in (ours.dim(), theirs.dim()):
            value, how = _fit_classes(ours, theirs, classes, source_classes)
        else:
            value, how = theirs, "copied"
        check_shape(ours, value, f"{label}.{name}", where, hint)
        weights[name] = value
        fitted.append(Fitted(label, name, tuple(ours.shape), how))
    network.load_state_dict(weights)
    dropped = [name for name in source if name not in own]
    return fitted + [Fitted(label, name, tuple(source[name].shape), "dropped: no class head here") for name in dropped]


def initialised(network: nn.Module, label: str) -> list[Fitted]:
    """The rows of a network that starts fresh."""
    return [Fitted(label, name, tuple(value.shape), "initialised") for name, value in network.state_dict().items()]


def as_table(rows: Iterable[Fitted]) -> str:
    """One line a layer: its name, the shapes of its tensors, and what became of them."""
    lines = []
    for (layer, how), group in groupby(rows, key=lambda row: (row.layer, row.how)):
        shapes = ", ".join(f"{row.name.rpartition('.')[2]} {'x'.join(map(str, row.shape))}" for row in group)
        lines.append((layer, shapes, how))
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    return "".join(f"{layer:{widths[0]}}  {shapes:{widths[1]}}  {how}\n" for layer, shapes, how in lines)


def in_short(rows: Sequence[Fitted], where: str) -> str:
    """How many layers start as in the source `where`, and a table of what was not copied as it is."""
    others = [row for row in rows if row.how != "copied"]
    layers, changed = ({row.layer for row in found} for found in (rows, others))
    table = f", not these:\n{as_table(others)}" if others else "\n"
    return f"{len(layers - changed)} of {len(layers)} layers start as in {where}{table}"


def _rows_of_classes(network: nn.Module) -> set[str]:
    """Names of what has one row a class: gains and biases of norms, where these have classes, and embeddings."""
    layers = dict(network.named_modules())
    norms = {
        f"{name}.{kind}" for name, layer in layers.items() if isinstance(layer, Affine) for kind in ("gain", "bias")
    }
    return norms | {f"{name}.weight" for name, layer in layers.items() if isinstance(layer, nn.Embedding)}


def _fit_classes(
    ours: Tensor, theirs: Tensor, classes: Sequence[str], source_classes: Sequence[str]
) -> tuple[Tensor, str]:
    if theirs.dim() == 1:
        return theirs.expand(len(ours), -1).clone(), "copied to every class"
    mean = theirs.mean(dim=0)
    if ours.dim() == 1:
        return mean, f"mean over {len(theirs)} classes"
    if list(classes) == list(source_classes):
        return theirs, "copied"
    numbers = {name: number for number, name in enumerate(source_classes)}
    rows = [theirs[numbers[name]] if name in numbers else mean for name in classes]
    known = sum(name in numbers for name in classes)
    rest = f", the mean for the other {len(classes) - known}" if known < len(classes) else ""
    return torch.stack(rows), f"mapped by name for {known} of {len(classes)} classes{rest}"
