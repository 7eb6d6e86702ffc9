"""Networks of CycleGAN, pix2pix and CUT as runs: one generator or two, and critics for further training."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from ...errors import UserError
from ...training.config import require
from ...training.run_folder import DOMAIN_CRITICS, MODEL
from ...training.weights import save_weights
from ..importing import CheckpointFile, ImportedRun, ImportFormat, ImportOptions, Role
from .model import CHANNELS, PUBLISHED_SIZE, Translator
from .state_dicts import PublishedNetwork, kind_of, read_network, weights_in

SMALL_LEVELS, SMALL_SIZE = 7, 128
"""Halvings of `unet_128`, and the side of the images that it is made for."""
RGBA = 4
logger = logging.getLogger("ganshift")


def networks_of_torch(file: CheckpointFile) -> Mapping[str, nn.Module]:
    """The one network of a state dict: `generator` or `critic`."""
    found = read_network(file.content)
    return {"critic" if found.is_critic else "generator": found.network}


def run_of_torch(files: Mapping[Role, CheckpointFile], options: ImportOptions) -> ImportedRun:
    """The run of a generator, with the networks of further files."""
    found = {role: _read(role, file) for role, file in files.items()}
    forth, back = found["file"], found.get("backward")
    critics = {str(role): each for role, each in found.items() if each.is_critic}
    channels = {"a": forth.arguments["in_channels"], "b": forth.arguments["out_channels"]}
    _check_channels(channels, options)
    if back:
        turned = (back.arguments.get("out_channels"), back.arguments.get("in_channels"))
        require(
            back.kind == forth.kind and turned == tuple(channels.values()),
            f"--backward must be a {forth.kind} generator from {channels['b']} channels to {channels['a']}: "
            f"it is a {back.in_words()}",
        )
    for name, critic in critics.items():
        judged = channels[name[-1]]
        require(
            critic.arguments["channels"] == judged,
            f"--critic-{name[-1]} must judge images of {judged} channels: it is a {critic.in_words()}",
        )
    has_batch_norms = any(each.arguments["norm"] == "batch" for each in (forth, back) if each)
    if options.image_statistics and not has_batch_norms:
        logger.warning("--image-statistics changes nothing here: no generator has batch norms")
    default = SMALL_SIZE if forth.arguments.get("levels") == SMALL_LEVELS else PUBLISHED_SIZE
    size = default if options.size is None else options.size
    back_arguments = back.arguments if back else None
    translator = Translator(forth.arguments, back_arguments, forth.kind, size, options.image_statistics)
    translator.gen_ab.load_state_dict(forth.network.state_dict())
    if back:
        translator.gen_ba.load_state_dict(back.network.state_dict())

    def write(out: Path) -> None:
        save_weights(out / MODEL, translator)
        if critics:
            save_weights(out / DOMAIN_CRITICS, nn.ModuleDict({name: each.network for name, each in critics.items()}))

    described = {name: {"kind": critic.kind, **critic.arguments} for name, critic in critics.items()}
    return ImportedRun(
        description={**translator.config, **described},
        provenance={"tool": FORMAT.title},
        write=write,
        found=[
            *(f"{role}: {each.in_words()}" for role, each in found.items()),
            *_remarks(has_batch_norms, options, size),
        ],
    )


def _read(role: Role, file: CheckpointFile) -> PublishedNetwork:
    """The network of a file, which must be what its role asks for."""
    found = read_network(file.content)
    what = found.in_words()
    if role == "file" and found.is_critic:
        raise UserError(
            f"it holds only a critic ({what}), which cannot translate: import the generator's file, and give this "
            "one with it as --critic-b, or as --critic-a if it judges the generator's input domain"
        )
    if role.startswith("critic"):
        option = f"--{role.replace('_', '-')}"
        require(found.is_critic, f"{option} must be a critic: {file.path} is a {what}")
        require(
            bool(found.network.per_image),
            f"{option} has batch norms, so it cannot judge each image alone, as training here needs: leave it out, and "
            "training starts with a new critic",
        )
    return found


def _check_channels(channels: Mapping[str, int], options: ImportOptions) -> None:
    """Raise unless it is known what the channels of pictures are."""
    if options.rgba and RGBA not in channels.values():
        logger.warning("--rgba changes nothing here: no pictures have four channels")
    for domain, count in channels.items():
        if count not in CHANNELS:
            raise UserError(
                f"images of {domain} have {count} channels: a run needs 1, 3 or 4; use its network with "
                "ganshift.import_checkpoint"
            )
        if count == RGBA and not options.rgba:
            raise UserError(
                f"images of {domain} have 4 channels, and the file does not say what they are: give --rgba if they are "
                "red, green, blue and opacity, or use its network with ganshift.import_checkpoint"
            )


def _remarks(has_batch_norms: bool, options: ImportOptions, size: int) -> list[str]:
    """What the file does not say, and how it is taken."""
    lines = []
    if has_batch_norms:
        lines.append(
            "batch norms take the statistics of each image"
            if options.image_statistics
            else "batch norms take the running statistics in the file; the old test script takes those of each image "
            "unless it is told --eval: --image-statistics does so"
        )
    if options.size is None:
        lines.append(f"the file does not say at which size it was trained: {size} pixels are taken, --size says others")
    return lines


def _recognises(file: CheckpointFile) -> bool:
    return file.container == "torch" and kind_of(weights_in(file.content)) is not None


FORMAT = ImportFormat(
    title="CycleGAN, pix2pix or CUT",
    licence="CycleGAN, pix2pix and CUT are under the BSD 2-clause licence, which asks nothing of the models that they "
    "train; the training images may have terms of their own.",
    recognises=_recognises,
    networks=networks_of_torch,
    run=run_of_torch,
    takes=frozenset({"backward", "critic_a", "critic_b", "image_statistics", "rgba", "size", "names"}),
)
