"""Published DualGAN checkpoints as runs: both generators, which take and give RGB."""

import re
from collections.abc import Mapping

from torch import nn

from ...errors import UserError
from ...training.run_folder import MODEL
from ...training.weights import save_weights
from ..importing import CheckpointFile, ImportedRun, ImportFormat, ImportOptions, Role
from . import importing_torch
from .model import Translator
from .tensorflow import GENERATORS, from_tensorflow

PUBLISHED_VARIABLE = re.compile(r"^[AB]_[gd]_")


def networks_of_tensorflow(file: CheckpointFile) -> Mapping[str, nn.Module]:
    """The four networks of a published DualGAN checkpoint, which take and give RGB."""
    return from_tensorflow(file.content, swap_red_and_blue=True).build()


def run_of_tensorflow(files: Mapping[Role, CheckpointFile], options: ImportOptions) -> ImportedRun:
    """The run of a published DualGAN checkpoint; it reads images as BGR, which is turned unless the order is kept."""
    if options.classes is not None:
        raise UserError("a DualGAN has no classes: leave --classes out")
    variables, keep_channel_order = files["file"].content, options.keep_channel_order
    found = from_tensorflow(variables, swap_red_and_blue=not keep_channel_order)
    networks = found.build()  # all four, as a check: no command reads the critics
    gen_ab, gen_ba, critic = (found.arguments[name] for name in ("gen_ab", "gen_ba", "critic_a"))
    translator = Translator(gen_ab, gen_ba)
    translator.load_state_dict(nn.ModuleDict({name: networks[name] for name in GENERATORS}).state_dict())
    return ImportedRun(
        description={"architecture": "unet", "gen_ab": gen_ab, "gen_ba": gen_ba, "size": found.size},
        provenance={"variables": len(variables), "channel_order": "as published" if keep_channel_order else "RGB"},
        write=lambda out: save_weights(out / MODEL, translator),
        found=[
            f"DualGAN checkpoint with {critic['head']} critics: {gen_ab['in_channels']} channels to "
            f"{gen_ab['out_channels']}, generator width {gen_ab['width']}, {gen_ab['levels']} levels, "
            f"critic width {critic['width']}",
            "channels in the published order (BGR)"
            if keep_channel_order
            else "channels swapped from published BGR to RGB",
            "both generators kept; the critics fit and are left out, as no command reads them",
        ],
    )


FORMATS = (
    ImportFormat(
        title="DualGAN",
        licence="The published DualGAN code states no licence: ask its authors before you hand such a model on.",
        recognises=lambda file: file.container == "tensorflow" and any(map(PUBLISHED_VARIABLE.search, file.content)),
        networks=networks_of_tensorflow,
        run=run_of_tensorflow,
        takes=frozenset({"classes", "keep_channel_order", "names"}),
    ),
    importing_torch.FORMAT,
)
"""Checkpoints of other tools that become runs of dual."""
