"""The command line: one function a command, each importing what it needs when it runs."""

import difflib
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from . import __version__
from .cli_data import doctor
from .cli_metrics import bench, compare, evaluate
from .cli_study import study
from .errors import UserError
from .runtime.config import BUDGET_FIELDS, RunConfig

if TYPE_CHECKING:
    from .runtime.job import Outcome

Config = TypeVar("Config", bound=RunConfig)

USER_ERROR = 2
"""Exit code when what was given cannot work; a stop by a signal exits with 128 + its number."""

OVERVIEW = """\
usage: ganshift COMMAND [OPTIONS]      ganshift COMMAND --help

ganshift moves GANs and images between domains.

  demo        train both methods on bundled images in minutes, and write a report
  doctor      look at images before training: what is wrong, what to run, how long
  transfer    teach a pretrained generator a folder of images
  dual        learn to translate between two unpaired folders of images
  generate    draw images from a transfer run
  translate   translate images with a dual run
  evaluate    measure a run against real images
  compare     show what two measured runs differ by
  study       train and measure a grid of runs, and lay the scores side by side
  import-tf   turn a published TensorFlow checkpoint into a run
  bench       measure what everything costs on this machine

  ganshift doctor my-images/
  ganshift transfer --data my-images/ --preset small --out runs/mine
  ganshift generate runs/mine -n 64 -o sheet.png
  ganshift dual --a photos/ --b drawings/ --preset small --out runs/drawings
  ganshift translate runs/drawings holiday.jpg clip.mp4 'more/*.png' --to b -o drawn/
  ganshift import-tf published/wgan-gp.model --out runs/published
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] in ("-h", "--help"):
        sys.stdout.write(OVERVIEW)
        return 0
    if given[0] == "--version":
        sys.stdout.write(f"ganshift {__version__}\n")
        return 0
    from .runtime.distributed import SaidByFirst, leave_to_first
    from .runtime.log import say, say_one_line, show_warnings

    show_warnings()
    try:
        command = _command(given[0])
        if command not in TOGETHER and not leave_to_first():
            return 0
        return command(given[1:])
    except SaidByFirst:
        return USER_ERROR
    except UserError as error:
        say_one_line(f"error: {error}")
        return USER_ERROR
    except OSError as error:  # a name too long, a folder that may not be looked into: what no room minds by itself
        if error.filename is None:
            raise
        say_one_line(f"error: {error.filename}: {error.strerror}")
        return USER_ERROR
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # impatience while leaving must not end in a traceback
        say("stopped")
        return 130


def _command(name: str) -> Callable[[Sequence[str]], int]:
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"commands are {', '.join(COMMANDS)}"
        raise UserError(f"there is no command {name!r}; {hint}")
    return COMMANDS[name]


def transfer(arguments: Sequence[str]) -> int:
    """Parse and run `ganshift transfer`."""
    from .transfer.config import PRESETS, TransferConfig

    config, dry_run = parse_run(TransferConfig, PRESETS, "few-shot", arguments)
    if dry_run:
        return _show(config)
    from .transfer.train import train

    return _finish(train(config), f"ganshift generate {config.out} -n 64 -o {config.out}/sheet.png")


def dual(arguments: Sequence[str]) -> int:
    """Parse and run `ganshift dual`."""
    from .dual.config import PRESETS, DualConfig

    config, dry_run = parse_run(DualConfig, PRESETS, "sketch-photo", arguments)
    if dry_run:
        return _show(config)
    from .dual.train import train

    return _finish(train(config), f"ganshift translate {config.out} IMAGES... --to b -o translated/")


def generate(arguments: Sequence[str]) -> int:
    """Draw images from a transfer run."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Generate:
        """Draw images from a transfer run."""

        run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """Run folder of ganshift transfer."""
        num_images: Annotated[int | None, tyro.conf.arg(name="num-images", aliases=["-n"])] = None
        """How many images (64 if left out), strips with --interpolate (8), images a class with --class-grid (8)."""
        label: str | None = None
        """Class to draw, by name or number; all in turn if left out."""
        seed: int = 0
        """The same seed gives the same images."""
        truncation: float | None = None
        """Redraw latent numbers that are further from 0, in standard deviations, for more typical and more similar
        images: 2 changes little, 0.5 much. Nothing is redrawn if left out."""
        interpolate: Annotated[int | None, tyro.conf.arg(metavar="STEPS")] = None
        """Draw strips of STEPS images instead, each changing from one image of the seed into the next: smooth strips
        speak against a generator that only repeats images it was shown."""
        class_grid: tyro.conf.FlagCreatePairsOff[bool] = False
        """Draw one row a class instead, from the same latents: a column shows what the class alone changes."""
        published_sheet: tyro.conf.FlagCreatePairsOff[bool] = False
        """Draw the 10 x 10 sheet of the published codes instead: classes in turn, normalised by the batch of 100."""
        batch_statistics: bool = False
        """Normalise by the batch, as the published codes do, instead of by running statistics. An image then depends
        on up to 63 others drawn with it, so -n changes it too."""
        out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
        """A name that ends in .png for one sheet; else a folder for one file an image, or a strip."""
        device: str = "auto"
        """Where to compute."""

    options = tyro.cli(Generate, prog="ganshift generate", args=arguments)
    _refuse_conflicts(options)
    from .models import Generator
    from .output import write_pictures, write_rows, write_strips

    model = Generator.from_pretrained(options.run, options.device)
    seed, label, out, number = options.seed, options.label, options.out, options.num_images
    few, many = (8, 64) if number is None else (number, number)
    how: dict[str, Any] = {"batch_statistics": options.batch_statistics, "truncation": options.truncation}
    if options.interpolate is not None:
        paths = write_strips(model.interpolate(options.interpolate, few, label, seed, **how), out)
    elif options.class_grid:
        paths = write_rows(model.class_grid(few, seed, **how), out)
    elif options.published_sheet:
        paths = write_rows(model.published_sheet(seed), out)
    else:
        paths = write_pictures(model.sample(many, label, seed, **how), out)
    return _say_written(paths, out)


def _refuse_conflicts(options: Any) -> None:
    """Raise if options of `generate` ask for different things, before anything slow."""
    sheets = {
        "--interpolate": options.interpolate is not None,
        "--class-grid": options.class_grid,
        "--published-sheet": options.published_sheet,
    }
    chosen = [name for name, given in sheets.items() if given]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)} are different sheets: choose one, or run the command once for each")
    if options.class_grid and options.label is not None:
        raise UserError(
            "--class-grid draws every class: leave out --label, or leave out --class-grid to draw one class"
        )
    fixed = {"--num-images": options.num_images, "--label": options.label, "--truncation": options.truncation}
    given = [name for name, value in fixed.items() if value is not None]
    if options.published_sheet and given:
        raise UserError(f"--published-sheet is fixed but for --seed: leave out {' and '.join(given)}")


def translate(arguments: Sequence[str]) -> int:
    """Translate images with a dual run."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Translate:
        """Translate images with a dual run, each at its own size, with its own transparency and bit depth."""

        run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """Run folder of ganshift dual."""
        images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGES...")]
        """Images, animations, videos, and folders, zips and globs of them."""
        to: Literal["a", "b", "both"] = "b"
        """Domain to translate to. With both, IMAGES is one folder or zip with two domains, as for training: its
        validation images, or else all, go both ways."""
        roundtrip: tyro.conf.FlagCreatePairsOff[bool] = False
        """Write each image, its translation and the way back, in folders A, A2B, A2B2A and B, B2A, B2A2B."""
        training_size: tyro.conf.FlagCreatePairsOff[bool] = False
        """Crop and scale images as in training first: a model trained on small images knows no large ones."""
        out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
        """Folder for the translations, which keep the names of their images."""
        device: str = "auto"
        """Where to compute."""

    options = tyro.cli(Translate, prog="ganshift translate", args=arguments)
    if options.to == "both" and len(options.images) != 1:
        raise UserError(f"--to both takes one folder or zip with two domains, got {len(options.images)} names")
    from .models import Translator
    from .translation import translate_domains, translate_files

    model = Translator.from_pretrained(options.run, options.device)
    how = {"roundtrip": options.roundtrip, "training_size": options.training_size}
    if options.to == "both":
        paths = translate_domains(model, options.images[0], options.out, **how)
    else:
        paths = translate_files(model, options.images, options.to, options.out, **how)
    return _say_written(paths, options.out)


def demo(arguments: Sequence[str]) -> int:
    """Train both methods on bundled images and write a report."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Demo:
        """Train both methods on bundled images in minutes, and write one page that shows what they learned.

        The same command run again goes on where it was interrupted.
        """

        out: Path = Path("runs/demo")
        """Folder for three runs and report.html."""
        quick: bool = False
        """A minute or so instead of several: everything is shown, little is learned."""
        seed: int = 0
        """Seed of all runs."""

    options = tyro.cli(Demo, prog="ganshift demo", args=arguments)
    from .demo import run_demo

    return _finish(run_demo(options.out, options.quick, options.seed), f"open {options.out}/report.html in a browser")


def import_tf(arguments: Sequence[str]) -> int:
    """Turn a published TensorFlow checkpoint into a run."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class ImportTf:
        """Turn a published TensorFlow checkpoint of either method into a run.

        What it holds is read off its variables. Needs pip install 'ganshift[tensorflow]'.
        """

        checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CKPT")]
        """Name of the checkpoint without the endings of its files, or its .index file, or its folder."""
        out: Path
        """Run folder to write, for ganshift generate, translate and transfer --source."""
        classes: str | None = None
        """Names of the classes in the order of their labels, with commas between; numbers if left out."""
        keep_channel_order: tyro.conf.FlagCreatePairsOff[bool] = False
        """Leave a DualGAN with blue first, as published, instead of making it take and give RGB."""

    options = tyro.cli(ImportTf, prog="ganshift import-tf", args=arguments)
    from .import_tf import import_tf as import_checkpoint
    from .runtime.log import say

    classes = None if options.classes is None else [name.strip() for name in options.classes.split(",")]
    for line in import_checkpoint(options.checkpoint, options.out, classes, options.keep_channel_order):
        say(line)
    say(f"wrote {options.out}")
    return 0


def parse_run(
    config_class: type[Config], presets: dict[str, dict[str, Any]], default_preset: str, arguments: Sequence[str]
) -> tuple[Config, bool]:
    """Settings of a run from a preset and the command line, and whether only to show them.

    A budget on the command line replaces the preset's, whichever of the three ways it is given in.
    """
    import tyro

    chosen, budget_given = _scan(arguments, default_preset, presets)
    overrides = {name: value for name, value in presets[chosen].items() if not (budget_given and name in BUDGET_FIELDS)}
    types = {field.name: field.type for field in fields(config_class)}
    # tyro shows a field's default in the help, so that of a preset has to be the default of a class. Its checks wait
    # for the real class, whose errors are one line.
    settings = make_dataclass(
        config_class.__name__,
        [(name, types[name], value) for name, value in overrides.items()],
        bases=(config_class,),
        frozen=True,
        kw_only=True,
        namespace={"__post_init__": lambda self: None, "__doc__": config_class.__doc__},
    )

    @dataclass(frozen=True, kw_only=True)
    class Choices:
        """Where the settings start from, and whether to run."""

        preset: Literal[tuple(presets)] = chosen  # type: ignore[valid-type]
        """Settings to start from; the other options change them."""
        dry_run: tyro.conf.FlagCreatePairsOff[bool] = False
        """Print the resolved settings and stop."""

    def parse(
        start: tyro.conf.OmitArgPrefixes[Choices],
        run: tyro.conf.OmitArgPrefixes[settings],  # type: ignore[valid-type]
    ) -> tuple[Any, bool]:
        return run, start.dry_run

    command = config_class.__name__.removesuffix("Config").lower()
    parsed, dry_run = tyro.cli(parse, prog=f"ganshift {command}", description=config_class.__doc__, args=arguments)
    return config_class(**{field.name: getattr(parsed, field.name) for field in fields(config_class)}), dry_run


def _scan(arguments: Sequence[str], default_preset: str, presets: dict[str, Any]) -> tuple[str, bool]:
    """The preset asked for, and whether a budget is among the options; both must be known before parsing."""
    preset, budget_given = default_preset, False
    for name, value in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, attached = name.partition("=")
        if name == "--preset":
            preset = attached if equals else value
        budget_given |= name.removeprefix("--") in BUDGET_FIELDS
    return (preset if preset in presets else default_preset), budget_given


def _show(config: RunConfig) -> int:
    import json

    sys.stdout.write(json.dumps(config.to_json(), indent=2) + "\n")
    return 0


def _finish(outcome: "Outcome", next_step: str) -> int:
    from .runtime.log import say

    if outcome.stopped_by:
        return 128 + outcome.stopped_by
    say(f"done in {outcome.seconds / 60:.1f} min. Next: {next_step}")
    return 0


def _say_written(paths: Sequence[Path], out: Path) -> int:
    from .runtime.log import say

    say(f"wrote {paths[0]}" if len(paths) == 1 else f"wrote {len(paths)} images to {out}")
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "demo": demo,
    "doctor": doctor,
    "transfer": transfer,
    "dual": dual,
    "generate": generate,
    "translate": translate,
    "evaluate": evaluate,
    "compare": compare,
    "study": study,
    "import-tf": import_tf,
    "bench": bench,
}
TOGETHER = (transfer, dual, study)
"""What several processes do together when a launcher starts them; of every other command the first does all."""
