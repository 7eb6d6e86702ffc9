"""Published TensorFlow checkpoints of both methods, turned into run folders. The only room that needs TensorFlow.

Nothing is guessed: method, variant, widths, classes and norms are read off the variables, and whatever is missing or
left over is listed in an error. Training does not go on from here: the state of the optimisers is left out.
"""

import glob
import hashlib
import logging
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from ..errors import UserError, first_line
from ..files import read_text
from ..methods.dual import tensorflow as dual_names
from ..methods.dual.model import Translator
from ..methods.dual.networks import Critic
from ..methods.transfer import tensorflow as transfer_names
from ..methods.transfer.networks import LATENT_DIM, ResNetCritic, ResNetGenerator
from ..methods.transfer.source import GENERATOR_PREFIX
from ..nn.norm import BatchNorm
from ..training import run_folder
from ..training.device import choose_device
from ..training.log import ProgressLine
from ..training.weights import copy_weights, save_weights

OPTIMIZER_STATE = re.compile(r"/(Adam|RMSProp)(_\d+)?$|(^|/)(beta[12]_power|global_step)(_\d+)?$")
"""Variables that only the training of the published code needs."""
PART_OF_CHECKPOINT = re.compile(r"(?<=.)\.(index|meta|data-\d{5}-of-\d{5})$")
"""What TensorFlow adds to a checkpoint's name for each of its files."""
TRANSFER_NAME = re.compile(r"(^|/)(Generator|Discriminator)\.[^/]*$")
DUAL_NAME = re.compile(r"^[AB]_[gd]_")
STATISTICS_BATCHES = 64
"""Batches of generated images that the running statistics are averaged over."""
STATISTICS_BATCH = 64
HASH_BYTES = 2**20
"""Of a checkpoint, hashed at once."""
NAMES_SHOWN = 10
"""Names in an error about a checkpoint that is of neither method."""

Result = TypeVar("Result")

logger = logging.getLogger("ganshift")


def read_checkpoint(prefix: Path) -> dict[str, np.ndarray]:
    """All variables of a checkpoint by name, but for those of the optimisers.

    `prefix` is the checkpoint's name without the ending of a file, one of its files, or a folder that names or holds
    one checkpoint.
    """
    prefix = find_checkpoint(prefix)
    # TensorFlow reads these when it is imported, and would talk of processors and libraries that do no work here.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    try:
        import tensorflow as tf
    except ImportError as error:
        raise UserError(
            f"reading a TensorFlow checkpoint needs TensorFlow: pip install 'ganshift[tensorflow]' ({error})"
        ) from error
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        names = sorted(name for name in shapes if not OPTIMIZER_STATE.search(name))
        claimed = sum(math.prod(shapes[name]) * types[name].size for name in names)
        if claimed > sum(path.stat().st_size for path in _data_files(prefix)):
            raise ValueError("its variables are larger than its files")
        return {name: np.asarray(reader.get_tensor(name)) for name in names}
    except (tf.errors.OpError, RuntimeError, ValueError, IndexError, OSError) as error:
        raise UserError(f"checkpoint {prefix} is damaged or cut short: {first_line(error)}") from None


def find_checkpoint(checkpoint: Path) -> Path:
    """The checkpoint's name without the ending of a file; a `UserError` unless its files are all there."""
    if checkpoint.is_dir():
        prefix = _only_checkpoint(checkpoint)
    else:
        prefix = checkpoint.with_name(PART_OF_CHECKPOINT.sub("", checkpoint.name))
    if not _index(prefix).is_file():
        raise UserError(f"there is no TensorFlow checkpoint {checkpoint}: {_index(prefix)} is missing")
    parts = _data_files(prefix)
    if not parts or not all(part.is_file() for part in parts) or len(parts) != int(parts[0].name[-5:]):
        raise UserError(f"checkpoint {prefix} is not whole: of its .data files {len(parts)} are there")
    return prefix


def import_tf(
    checkpoint: Path, out: Path, classes: Sequence[str] | None = None, keep_channel_order: bool = False
) -> list[str]:
    """Write the run folder of a published checkpoint and return lines that say what was found.

    `classes` names the classes in the order of the published labels; without it they are called by their numbers.
    The published DualGAN reads images as BGR: its networks are made to take and give RGB, unless
    `keep_channel_order`.
    """
    prefix = find_checkpoint(checkpoint)
    variables = read_checkpoint(prefix)
    is_transfer = any(TRANSFER_NAME.search(name) for name in variables)
    if is_transfer == any(DUAL_NAME.search(name) for name in variables):
        shown = ", ".join([*variables][:NAMES_SHOWN]) or "none"
        more = f" and {len(variables) - NAMES_SHOWN} more" if len(variables) > NAMES_SHOWN else ""
        raise UserError(
            f"checkpoint {prefix} is not one of the published transfer or DualGAN networks; "
            f"its variables: {shown}{more}"
        )
    provenance = {"checkpoint": prefix.name, "sha256": _hash(prefix), "variables": len(variables)}
    if is_transfer:
        if keep_channel_order:
            logger.warning("--keep-channel-order changes nothing here: transfer checkpoints are RGB")
        return _import_transfer(prefix, variables, provenance, out, classes)
    if classes is not None:
        raise UserError(f"checkpoint {prefix} is a DualGAN, which has no classes: leave --classes out")
    return _import_dual(prefix, variables, provenance, out, keep_channel_order)


@torch.no_grad()
def measure_running_statistics(generator: ResNetGenerator, seed: int = 0) -> None:
    """Give a generator that has none the running statistics of its batch norms, by generating images.

    The published code normalises by the batch at sampling time too and so keeps no statistics that could be imported.
    Without any, an image could only be drawn in the company of others and would depend on them. Here seeded latents,
    with labels drawn uniformly when there are classes, pass through the generator batch by batch, and each norm
    averages its batches' means and variances with equal weights (momentum 1/k at the k-th batch). Gains, biases and
    kernels stay: with batch statistics the outputs are still exactly the published ones.
    """
    norms = [module for module in generator.modules() if isinstance(module, BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    device = next(generator.parameters()).device
    draws = torch.Generator().manual_seed(seed)
    was_training = generator.training
    generator.train()
    with ProgressLine("measuring running statistics", STATISTICS_BATCHES * STATISTICS_BATCH) as progress:
        for batch in range(1, STATISTICS_BATCHES + 1):
            for norm in norms:
                norm.momentum = 1 / batch
            latents = torch.randn(STATISTICS_BATCH, LATENT_DIM, generator=draws).to(device)
            labels = None
            if generator.num_classes:
                labels = torch.randint(generator.num_classes, (STATISTICS_BATCH,), generator=draws).to(device)
            generator(latents, labels)
            progress.update(batch * STATISTICS_BATCH)
    generator.train(was_training)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _import_transfer(
    prefix: Path,
    variables: Mapping[str, np.ndarray],
    provenance: Mapping[str, Any],
    out: Path,
    classes: Sequence[str] | None,
) -> list[str]:
    _refuse_same_last_parts(variables)  # the names' other parts are dropped by the mapping
    found = _mapped(prefix, lambda: transfer_names.from_tensorflow(variables))
    for part, arguments in (("Generator", found.generator_arguments), ("Discriminator", found.critic_arguments)):
        if arguments["width"] < 1:
            raise UserError(
                f"checkpoint {prefix} has variables of shapes that no published network has: {part}.Input.*"
            )
    names = _class_names(classes, found.generator_arguments["num_classes"])
    generator = _mapped(prefix, lambda: ResNetGenerator(**found.generator_arguments))
    critic = _mapped(prefix, lambda: ResNetCritic(**found.critic_arguments))
    statistics = dict(generator.named_buffers())
    _copy(generator, {**statistics, **found.generator}, prefix)
    _copy(critic, found.critic, prefix)
    config = {
        "method": "transfer",
        "generator": found.generator_arguments,
        "critic": found.critic_arguments,
        "classes": names,
        "imported": provenance,
        "versions": run_folder.versions(),
    }
    with run_folder.held(out):
        run_folder.claim(out, config)  # before the slow part, so that a folder in use is refused at once
        measure_running_statistics(generator.to(choose_device("auto")))
        _save(out / run_folder.MODEL, generator, GENERATOR_PREFIX)
        _save(out / run_folder.CRITIC, critic)
    of_generator, of_critic = found.generator_arguments, found.critic_arguments
    conditioning = ("ACGAN" if of_critic["class_head"] else "conditional norms") if names else "unconditional"
    lines = [
        f"transfer checkpoint of the {of_generator['size']}-pixel variant, {conditioning}: "
        f"generator width {of_generator['width']}, norm {'on' if of_generator['norm'] else 'off'}; "
        f"critic width {of_critic['width']}, norm {'on' if of_critic['norm'] else 'off'}"
    ]
    if names:
        lines.append(f"classes: {', '.join(names)}")
    if statistics:
        count = STATISTICS_BATCHES * STATISTICS_BATCH
        lines.append(
            f"running statistics, which the published code has none of, measured on {count:,} generated images"
        )
    return lines


def _import_dual(
    prefix: Path,
    variables: Mapping[str, np.ndarray],
    provenance: Mapping[str, Any],
    out: Path,
    keep_channel_order: bool,
) -> list[str]:
    found = _mapped(prefix, lambda: dual_names.from_tensorflow(variables, swap_red_and_blue=not keep_channel_order))
    # With a patch critic the training size is unknown; nothing depends on it in a published network.
    size = found.size or 2**found.levels
    shared = {
        "width": found.generator_width,
        "levels": found.levels,
        "size": size,
        "dropout": 0.0,
        "as_published": True,
    }
    gen_ab = {"in_channels": found.channels_a, "out_channels": found.channels_b, **shared}
    gen_ba = {"in_channels": found.channels_b, "out_channels": found.channels_a, **shared}
    translator = _mapped(prefix, lambda: Translator(gen_ab, gen_ba))
    _copy(translator.gen_ab, found.state_dicts["gen_ab"], prefix)
    _copy(translator.gen_ba, found.state_dicts["gen_ba"], prefix)
    for name, channels in (("critic_a", found.channels_a), ("critic_b", found.channels_b)):
        new_critic = partial(Critic, channels, found.critic_width, size, found.head, as_published=True)
        _copy(_mapped(prefix, new_critic), found.state_dicts[name], prefix)  # a check only: no command reads critics

    config = {
        "method": "dual",
        "gen_ab": gen_ab,
        "gen_ba": gen_ba,
        "size": found.size,
        "imported": {**provenance, "channel_order": "as published" if keep_channel_order else "RGB"},
        "versions": run_folder.versions(),
    }
    with run_folder.held(out):
        run_folder.claim(out, config)
        _save(out / run_folder.MODEL, translator)
    return [
        f"DualGAN checkpoint with {found.head} critics: {found.channels_a} channels to {found.channels_b}, "
        f"generator width {found.generator_width}, {found.levels} levels, critic width {found.critic_width}",
        "channels in the published order (BGR)" if keep_channel_order else "channels swapped from published BGR to RGB",
        "both generators kept; the critics fit and are left out, as no command reads them",
    ]


def _class_names(classes: Sequence[str] | None, num_classes: int) -> list[str]:
    """The names given, once they have been found to fit, else numbers."""
    if classes is None:
        return [str(number) for number in range(num_classes)]
    if not num_classes:
        raise UserError("this checkpoint is unconditional: leave --classes out")
    if len(classes) != num_classes or len(set(classes)) != num_classes or not all(classes):
        raise UserError(f"--classes needs {num_classes} different names, got {', '.join(map(repr, classes))}")
    return list(classes)


def _refuse_same_last_parts(names: Mapping[str, Any]) -> None:
    last = [name.rsplit("/", 1)[-1] for name in names]
    twice = [name for name, part in zip(names, last, strict=True) if last.count(part) > 1]
    if twice:
        raise UserError(f"it is unclear which of these variables to take: {', '.join(twice)}")


def _mapped(prefix: Path, build: Callable[[], Result]) -> Result:
    """What `build` makes of the variables; shapes that no network has become a `UserError`."""
    try:
        return build()
    except UserError as error:
        raise UserError(f"checkpoint {prefix}: {error}") from None
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, ZeroDivisionError) as error:
        raise UserError(
            f"checkpoint {prefix} has variables of shapes that no published network has: {first_line(error)}"
        ) from None


def _copy(network: nn.Module, weights: Mapping[str, torch.Tensor], prefix: Path) -> None:
    copy_weights(network, weights, f"checkpoint {prefix}", "no published network has these shapes together")


def _save(path: Path, network: nn.Module, prefix: str = "") -> None:
    try:
        save_weights(path, network, prefix)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def _only_checkpoint(folder: Path) -> Path:
    """The checkpoint that the folder's state file names, else the only one in it."""
    there = sorted(path.with_suffix("") for path in folder.glob("*.index"))
    state = folder / "checkpoint"
    named = None
    if state.is_file():
        named = re.match(r'model_checkpoint_path: "(.+)"', read_text(state))
    if named:
        # By its last part, because the state file may name a folder of the machine that it was trained on.
        return folder / Path(named[1]).name
    if len(there) != 1:
        listed = f": name one of {', '.join(str(path) for path in there)}" if there else ""
        raise UserError(f"there are {len(there)} TensorFlow checkpoints in {folder}{listed}")
    return there[0]


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _data_files(prefix: Path) -> list[Path]:
    digits = "[0-9]" * 5
    return sorted(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-{digits}-of-{digits}"))


def _hash(prefix: Path) -> str:
    """SHA-256 of the data file, or of all of them in order."""
    digest = hashlib.sha256()
    for path in _data_files(prefix):
        with path.open("rb") as file:
            while block := file.read(HASH_BYTES):
                digest.update(block)
    return digest.hexdigest()
