"""Small checkpoints as other tools write them: pickled modules with our weights under their names."""

import io
import pickle
import sys
from types import ModuleType

import torch
from torch import nn

from ganshift.methods.transfer import importing_r3gan, importing_stylegan2


class Persistent:
    """An object that pickles call by StyleGAN2-ADA's own function, with the text of a program, as its modules do."""

    def __init__(self, module):
        children = {name: Persistent(child) for name, child in module._modules.items()}
        self.meta = {
            "type": "class",
            "version": 6,
            "module_src": "raise SystemExit('this must not run')",
            "class_name": "Layer",
            "state": {**module.__dict__, "_modules": children},
        }

    def __reduce__(self):
        package = ModuleType("torch_utils.persistence")
        package._reconstruct_persistent_obj = reconstruct
        sys.modules |= {"torch_utils": ModuleType("torch_utils"), "torch_utils.persistence": package}
        return reconstruct, (self.meta,)


def reconstruct(meta):
    """Only its name is pickled."""


reconstruct.__module__, reconstruct.__qualname__ = "torch_utils.persistence", "_reconstruct_persistent_obj"


def module_of(tensors, settings=None):
    """A module whose state dict these tensors are, with settings of layers as attributes: pickles call it a Module."""
    root = nn.Module()

    def layer_of(name):
        layer = root
        for part in name.split(".")[:-1]:
            if part not in layer._modules:
                layer.add_module(part, nn.Module())
            layer = layer._modules[part]
        return layer

    for name, tensor in tensors.items():
        layer_of(name).register_buffer(name.split(".")[-1], tensor)
    for name, value in (settings or {}).items():
        setattr(layer_of(name), name.split(".")[-1], value)
    return root


def as_r3gan(network):
    """A network of ours under the names of R3GAN."""
    weights = {importing_r3gan._their_name(name): value for name, value in network.state_dict().items()}
    if network.embedding:
        weights["Model.EmbeddingLayer.weight"] = weights["Model.EmbeddingLayer.weight"].t().contiguous()
    return module_of(weights)


def as_stylegan2(network, clamp, size=None, **settings):
    """A network of ours under the names of StyleGAN2-ADA, whose linear layers and critic's convs scale by a half.

    `size` is of a critic's images.
    """
    scaled = {name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)}
    weights = {}
    for name, value in network.state_dict().items():
        theirs = importing_stylegan2._in_critic(size, name) if size else importing_stylegan2._in_generator(name)
        layer, kind = name.rpartition(".")[::2]
        if name == "mapping.embedding.weight":
            weights[theirs] = (value - 0.25).t().contiguous()
            weights["mapping.embed.bias"] = torch.full_like(value[0], 0.25)
        elif layer in scaled and kind == "weight":
            weights[theirs], settings[f"{theirs}_gain"] = value * 2, 0.5
        else:
            weights[theirs] = value
        if name.endswith("conv1.bias"):
            settings[f"{theirs.rpartition('.')[0]}.conv_clamp"] = clamp
    return Persistent(module_of(weights, settings))


def pickled(**networks):
    """A snapshot of these, such as G_ema and D."""
    file = io.BytesIO()
    pickle.dump({**networks, "cur_nimg": 1000, "training_set_kwargs": {"resolution": 32}}, file, protocol=4)
    return file.getvalue()
