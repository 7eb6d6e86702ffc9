"""What is done with trained models: `ganshift generate`, `translate` and `import-tf`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from ..errors import UserError


def generate(arguments: Sequence[str]) -> int:
    """Draw images from a transfer run."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Generate:
        """Draw images from a transfer run."""

        run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """Run folder of ganshift transfer, the model.safetensors in one, a bundled model (digits32), or an owner/model
        of the Hugging Face hub."""
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
    from ..models import Generator
    from ..output import write_pictures, write_rows, write_strips

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
        """Run folder of ganshift dual, the model.safetensors in one, or an owner/model of the Hugging Face hub."""
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
    from ..models import Translator
    from ..translation import translate_domains, translate_files

    model = Translator.from_pretrained(options.run, options.device)
    how = {"roundtrip": options.roundtrip, "training_size": options.training_size}
    if options.to == "both":
        paths = translate_domains(model, options.images[0], options.out, **how)
    else:
        paths = translate_files(model, options.images, options.to, options.out, **how)
    return _say_written(paths, options.out)


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
    from ..import_tf import import_tf as import_checkpoint
    from ..runtime.log import say

    classes = None if options.classes is None else [name.strip() for name in options.classes.split(",")]
    for line in import_checkpoint(options.checkpoint, options.out, classes, options.keep_channel_order):
        say(line)
    say(f"wrote {options.out}")
    return 0


def _say_written(paths: Sequence[Path], out: Path) -> int:
    from ..runtime.log import say

    say(f"wrote {paths[0]}" if len(paths) == 1 else f"wrote {len(paths)} images to {out}")
    return 0
