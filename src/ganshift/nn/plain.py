"""Networks in operators that every runtime knows, for export.

Layers of our own are made for training: custom functions with second derivatives, another routine for small maps. Such
a layer also gives a plain one with the same weights. Layers of torch are plain already.
"""

import copy
from typing import Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class Exportable(Protocol):
    """A layer that has to be replaced before its network is exported."""

    def plain(self) -> nn.Module:
        """A layer that takes and gives the same, of operators that every runtime knows, with the weights shared."""
        ...


def plain_copy(network: nn.Module) -> nn.Module:
    """The same network with plain layers; the weights are shared where they are the same.

    For PyTorch without Python there is `torch.export`:

    ```python
    network = plain_copy(Generator.from_pretrained("digits32").network).eval()
    program = torch.export.export(network, (torch.randn(4, 128),))
    torch.export.save(program, "digits.pt2")  # torch._inductor.aoti_compile_and_package makes a library of it
    ```
    """
    shared = {id(parameter): parameter for parameter in network.parameters()}
    return _replaced(copy.deepcopy(network, dict(shared)))


def _replaced(layer: nn.Module) -> nn.Module:
    if isinstance(layer, Exportable):
        return layer.plain()
    for name, child in layer.named_children():
        setattr(layer, name, _replaced(child))
    return layer
