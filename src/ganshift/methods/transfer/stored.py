"""What importing the generators of other tools shares: a stored network to one of ours, and a file to a run."""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UserError, printable
from ...training.run_folder import CRITIC, MODEL
from ...training.torch_files import StoredNetwork
from ...training.weights import build_on_paper, copy_weights, save_weights
from ..importing import MISFIT, CheckpointFile, ImportedRun, ImportFormat, ImportOptions, Role, check_names
from .networks import ARCHITECTURES
from .source import GENERATOR_PREFIX

logger = logging.getLogger("ganshift")
NAMES = ("generator", "critic")
"""What is said of a file; the generator before it was averaged is like the averaged one."""
COLOURS, RGBA = (1, 3, 4), 4
"""Numbers of channels that pictures have."""


@dataclass(frozen=True)
class FoundNetwork:
    """A network of a file, with its weights, and the constructor arguments that were read off the file."""

    arguments: Mapping[str, Any]
    network: nn.Module


def found(
    make: Callable[..., nn.Module],
    arguments: Mapping[str, Any],
    stored: Mapping[str, Tensor],
    name_of: Callable[[str], str],
    *,
    known: re.Pattern[str],
    changed: Callable[[str, str], Tensor],
) -> FoundNetwork:
    """A network with the weights of a file, which calls a tensor of ours `name_of` it.

    `known` is found in the names of tensors that the network does not need. `changed` makes a weight of ours, given its
    name and theirs. A `UserError` lists the tensors that are missing or left over.
    """
    network = build_on_paper(lambda: make(**arguments), "it", "a network of its kind")
    names = {ours: name_of(ours) for ours in network.state_dict()}
    check_names(names.values(), {name for name in stored if not known.search(name)})
    weights: dict[str, Tensor] = {}
    for ours, theirs in names.items():
        weights[ours] = changed(ours, theirs).float().contiguous()
        if not weights[ours].isfinite().all():
            raise UserError(f"its {printable(theirs)} has values that are not finite")
    copy_weights(network, weights, "it", MISFIT, assign=True)
    return FoundNetwork(arguments, network)


def check_filter(name: str, kernel: Tensor) -> None:
    """Raise unless a constant of a file is the filter that `nn.resample` has: [1, 3, 3, 1] / 8 in both directions."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    if kernel.shape != (4, 4) or not torch.allclose(kernel.float(), row[:, None] * row, atol=1e-5):
        raise UserError(f"its {printable(name)} is not the filter [1, 3, 3, 1], the only one that is read")


def numbers_in(names: Collection[str], pattern: str) -> int:
    """How many numbers the pattern's group finds in the names; a `UserError` unless they count from 0."""
    numbers = {int(match[1]) for name in names if (match := re.match(pattern, name))}
    if numbers != set(range(len(numbers))):
        raise UserError(f"{MISFIT}: its layers are not numbered from 0 on")
    return len(numbers)


def of_snapshot(
    content: Mapping[str, Any],
    generator_of: Callable[[StoredNetwork], FoundNetwork],
    critic_of: Callable[[StoredNetwork], FoundNetwork],
) -> dict[str, FoundNetwork]:
    """The networks of a pickled snapshot, of which R3GAN's and StyleGAN2-ADA's have the same names."""
    makers = {"generator": ("G_ema", generator_of), "critic": ("D", critic_of), "raw_generator": ("G", generator_of)}
    return {
        ours: make(content[theirs])
        for ours, (theirs, make) in makers.items()
        if isinstance(content.get(theirs), StoredNetwork)
    }


def is_snapshot(file: CheckpointFile, tensor: re.Pattern[str]) -> bool:
    """Whether a file is a pickled snapshot with a network that has such a tensor."""
    stored = [file.content.get(name) for name in ("G_ema", "G", "D")] if file.container == "pickle" else []
    return any(isinstance(each, StoredNetwork) and any(map(tensor.match, each.weights)) for each in stored)


def renamed(name: str, changes: Iterable[tuple[str, str]]) -> str:
    """A name after changes, each a regular expression and what takes its place."""
    for pattern, new in changes:
        name = re.sub(pattern, new, name)
    return name


def generator_format(
    *,
    title: str,
    architecture: str,
    licence: str,
    recognises: Callable[[CheckpointFile], bool],
    networks: Callable[[Any], Mapping[str, FoundNetwork]],
    has_opacity: bool = False,
) -> ImportFormat:
    """A format of files that hold a generator, and perhaps its critic and the generator before it was averaged.

    `networks` finds them in the content of a file, as `generator`, `critic` and `raw_generator`. `has_opacity` says
    that the fourth of four channels always is opacity.
    """

    def run(files: Mapping[Role, CheckpointFile], options: ImportOptions) -> ImportedRun:
        inside = networks(files["file"].content)
        if "generator" not in inside:
            raise UserError(
                f"it holds no averaged generator ({', '.join(inside) or 'nothing'} alone), which is no run: give the "
                "file that has generator and critic together"
            )
        generator, critic = inside["generator"], inside.get("critic")
        _check_channels(generator.arguments["channels"], options.rgba, has_opacity)
        classes = class_names(options.classes, generator.arguments.get("num_classes", 0))

        def write(out: Path) -> None:
            save_weights(out / MODEL, generator.network, GENERATOR_PREFIX)
            if "critic" in kept:
                save_weights(out / CRITIC, kept["critic"].network)

        why_not = ARCHITECTURES[architecture].not_trained or ("" if critic else "it holds no critic")
        kept = {"generator": generator, **({"critic": critic} if critic and not why_not else {})}
        return ImportedRun(
            description={
                "architecture": architecture,
                **{name: dict(each.arguments) for name, each in kept.items()},
                "classes": classes,
            },
            provenance={"format": title},
            write=write,
            found=[
                *(f"{title} {name}: {_in_words(each.arguments)}" for name, each in inside.items() if name in NAMES),
                f"no further training: {why_not}" if why_not else "further training: ganshift transfer --source",
            ],
        )

    return ImportFormat(
        title=title,
        licence=licence,
        recognises=recognises,
        networks=lambda file: {name: each.network for name, each in networks(file.content).items()},
        run=run,
        takes=frozenset({"classes"} if has_opacity else {"classes", "rgba"}),
    )


def class_names(classes: Sequence[str] | None, num_classes: int) -> list[str]:
    """The names given, once they have been found to fit, else numbers."""
    if classes is None:
        return [str(number) for number in range(num_classes)]
    if not num_classes:
        raise UserError("this checkpoint is unconditional: leave --classes out")
    if len(classes) != num_classes or len(set(classes)) != num_classes or not all(classes):
        raise UserError(f"--classes needs {num_classes} different names, got {', '.join(map(repr, classes))}")
    return list(classes)


def _check_channels(count: int, rgba: bool, has_opacity: bool) -> None:
    """Raise unless images of so many channels are pictures, as far as is known."""
    if count not in COLOURS:
        raise UserError(f"its images have {count} channels, which are no pictures: use ganshift.import_checkpoint")
    if rgba and count != RGBA:
        logger.warning("--rgba changes nothing here: no pictures have four channels")
    if count == RGBA and not (rgba or has_opacity):
        raise UserError(
            "its images have 4 channels, and the file does not say what they are: give --rgba if they are red, green, "
            "blue and opacity, or use ganshift.import_checkpoint"
        )


def _in_words(arguments: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in arguments.items()
    )
