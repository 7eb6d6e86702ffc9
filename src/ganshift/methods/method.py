"""What a method is to the rest of ganshift: one record, which everything outside the method's folder asks."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..data.domain_names import in_files, stored_names
from ..errors import UserError, choose
from ..training.config import RunConfig, overlaid, settings_from
from .words import ReportWords

if TYPE_CHECKING:
    from ..data.folders import Split
    from ..inference.generator import ImageGenerator
    from ..inference.translator import ImageTranslator
    from ..training.trainer import Outcome, Trainer
    from .advice import Advice, PictureFacts
    from .importing import ImportFormat

VERBS = {"generator": "generate", "translator": "translate"}
"""Commands that use trained models, by kind."""


@dataclass(frozen=True, kw_only=True)
class Help:
    """What `ganshift METHOD --help` says beside the settings, whose own docstrings are their help."""

    examples: str
    """Command lines, shown below everything else."""
    presets: str
    """What the presets are for."""
    groups: Mapping[str, Sequence[str]]
    """Which of its own settings stand together, by the title of their group; those that no group names stand under
    "training". The first group is "main", and settings that all runs have are in groups of their own."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method by its name. Building a record imports no torch: what needs it is imported when it is asked for."""

    name: str
    """Its command, and what `config.json` calls it."""
    kind: Literal["generator", "translator"]
    """What it trains: `inference.generator.ImageGenerator` or `inference.translator.ImageTranslator`."""
    domains: Literal[1, 2]
    """How many sets of images it learns from."""
    summary: str
    """A line for the overview of commands."""
    config: type[RunConfig]
    """Its settings."""
    presets: Mapping[str, Mapping[str, Any]]
    """Overrides of the defaults by name; each sets a budget."""
    default_preset: str
    help: Help
    networks: Sequence[str]
    """The entries of `config.json` that describe its networks."""
    trainer: "Callable[[], type[Trainer]]"
    """Imports and returns the trainer's class."""
    model: "Callable[[], type[ImageGenerator] | type[ImageTranslator]]"
    """Imports and returns the class of the trained model."""
    words: ReportWords = field(default_factory=ReportWords)
    """What reports say of its runs."""
    advise: "Callable[[Sequence[PictureFacts], Mapping[str, Path], Path, bool], Advice] | None" = None
    """A run to start with, which `ganshift doctor` shows; it advises nothing where there is none.

    It is given the facts of the training images of each domain, the settings that say where these lie, a folder for
    the run, and whether there is an accelerator.
    """
    exports: Sequence[str] = ("onnx", "safetensors", "html")
    """Formats that its models can be exported to."""
    held_out_split: "Callable[[Any], Split]" = lambda config: "train"
    """From the settings of a run to the part of its data that its scores are measured on: "test" where enough images of
    that part were not trained on."""
    imports: "Callable[[], Sequence[ImportFormat]]" = tuple
    """Imports and returns the checkpoints of other tools that become its runs; none by default."""

    @property
    def verb(self) -> str:
        """The command that uses its models."""
        return VERBS[self.kind]

    @property
    def takes_source(self) -> bool:
        """Whether its runs can start from a trained generator, by their setting `source`."""
        return self.kind == "generator" and any(setting.name == "source" for setting in fields(self.config))

    def configure(self, settings: Mapping[str, Any], out: Path) -> RunConfig:
        """Settings of a run in `out`, from values as JSON and TOML have them, over those of the `preset` they name."""
        if "preset" not in settings:
            raise UserError('settings need a preset, such as preset = "small"')
        preset = self.presets[choose(settings["preset"], self.presets, f"preset of {self.name}")]
        given = {name: value for name, value in settings.items() if name != "preset"}
        return settings_from(self.config, overlaid(preset, given), out=out)

    def train(self, config: RunConfig) -> "Outcome":
        """Train, or go on with, a run of these settings."""
        from ..training.loop import fit

        return fit(self.trainer().from_config(config))

    def next_step(self, run: Path) -> str:
        """The command that uses what a run has learned."""
        if self.kind == "generator":
            return f"ganshift generate {shlex.quote(str(run))} -n 64 -o {shlex.quote(f'{run}/sheet.png')}"
        from ..training.run_folder import read_config

        to = in_files(stored_names(read_config(run))["b"])
        return f"ganshift translate {shlex.quote(str(run))} IMAGES... --to {to} -o translated/"
