"""What is done with trained models: `ganshift generate`, `translate`, `export` and `import-tf`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..errors import UserError
from .options import read

if TYPE_CHECKING:
    from ..inference.generator import ImageGenerator

SOME_LEFT_OUT = 1
"""Exit code when some files, but not all, could not be translated."""


def generate(arguments: Sequence[str]) -> int:
    """Draw images from a transfer run."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Generate:
        """Draw images from a transfer run."""

        run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
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

    examples = """
        ganshift generate runs/mine -n 64 -o sheet.png
        ganshift generate runs/mine -n 1000 --seed 3 -o many/
        ganshift generate runs/mine --truncation 1.5 -o typical.png
        ganshift generate runs/mine --interpolate 10 -n 6 -o strips.png
        ganshift generate runs/classes --label rose -n 16 -o roses.png
        """
    options = read(Generate, "generate", arguments, examples)
    _refuse_conflicts(options)
    from ..training.log import loading

    with loading():
        from ..inference.picture_files import write_pictures, write_rows, write_strips
        from ..methods.registry import open_model

    model = open_model(options.run, options.device, "generator")
    seed, label, out, number = options.seed, options.label, options.out, options.num_images
    few, many = (8, 64) if number is None else (number, number)
    how: dict[str, Any] = {"batch_statistics": options.batch_statistics, "truncation": options.truncation}
    if options.interpolate is not None:
        with _counted(model, few * options.interpolate):
            strips = model.interpolate(options.interpolate, few, label, seed, **how)
        paths = write_strips(strips, out)
    elif options.class_grid:
        with _counted(model, few * len(model.classes)):
            rows = model.class_grid(few, seed, **how)
        paths = write_rows(rows, out)
    elif options.published_sheet:
        paths = write_rows(model.published_sheet(seed), out)
    else:
        with _counted(model, many):
            pictures = model.sample(many, label, seed, **how)
        paths = write_pictures(pictures, out)
    _say_written(paths, out, options.run, "IMAGES")
    return 0


@contextmanager
def _counted(model: "ImageGenerator", total: int) -> Iterator[None]:
    """Show how many images have been generated."""
    from ..training.log import ProgressLine

    with ProgressLine("generate", total) as progress:
        done = 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            progress.update(done)

        model.on_images = count
        try:
            yield
        finally:
            del model.on_images


def _refuse_conflicts(options: Any) -> None:
    """Raise if options of `generate` ask for different things, before anything slow."""
    grids = {
        "--interpolate": options.interpolate is not None,
        "--class-grid": options.class_grid,
        "--published-sheet": options.published_sheet,
    }
    chosen = [name for name, given in grids.items() if given]
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

        run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """Run folder of ganshift dual, the model.safetensors in one, a bundled model (photo-sketch), or an owner/model
        of the Hugging Face hub."""
        images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGES...")]
        """Images, animations, videos, and folders, zips and globs of them."""
        to: Literal["a", "b", "both"] = "b"
        """Domain to translate to. With both, IMAGES is one folder or zip with two domains, as for training: its
        validation images, or else all, go both ways."""
        roundtrip: tyro.conf.FlagCreatePairsOff[bool] = False
        """Write each image, its translation and the way back, in folders A, A2B, A2B2A and B, B2A, B2A2B."""
        training_size: tyro.conf.FlagCreatePairsOff[bool] = False
        """Crop and scale images as in training first: a model trained on small images knows no large ones."""
        skip_existing: tyro.conf.FlagCreatePairsOff[bool] = False
        """Leave alone what has its translation in --out already: this goes on after an interruption."""
        overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
        """Let a translation replace the file it was made from, where --out is the folder that is read. Nothing that is
        read is ever replaced otherwise."""
        out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
        """Folder for the translations, which keep the names of their images; or, for one, a name that ends in .png (or
        another picture's ending), .gif or .webp for an animation, .mp4 for a video."""
        device: str = "auto"
        """Where to compute."""

    examples = """
        ganshift translate runs/drawings holiday.jpg --to b -o drawn/
        ganshift translate runs/drawings holiday.jpg -o drawn.png
        ganshift translate runs/drawings photos/ -o drawn/ --skip-existing
        ganshift translate runs/drawings photos/ 'more/*.png' packed.zip clip.mp4 -o drawn/
        ganshift translate runs/drawings data/ --to both --roundtrip --training-size -o trips/
        """
    options = read(Translate, "translate", arguments, examples)
    from ..training.log import loading, say

    with loading():
        from ..data.folders import is_image
        from ..inference.translating import translate_domains, translate_files
        from ..methods.registry import open_model

    if options.to == "both" and (len(options.images) != 1 or is_image(options.images[0].name)):
        got = options.images[0] if len(options.images) == 1 else f"{len(options.images)} names"
        raise UserError(
            f"--to both takes one folder or zip with two domains, got {got}: of pictures say which domain, --to a or b"
        )
    model = open_model(options.run, options.device, "translator")
    how = {name: getattr(options, name) for name in ("roundtrip", "training_size", "skip_existing", "overwrite")}
    if options.to == "both":
        done = translate_domains(model, options.images[0], options.out, **how)
    else:
        done = translate_files(model, options.images, options.to, options.out, **how)
    if done.skipped:
        say(f"skipped {done.skipped:,} files whose translations are in {options.out}")
    _say_written(done.written, options.out, options.run, "DATA")
    return SOME_LEFT_OUT if done.left_out else 0


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

    examples = """
        ganshift import-tf published/wgan-gp.model --out runs/published
        ganshift import-tf published/wgan-gp.model --classes plane,car,bird --out runs/published
        ganshift import-tf published/DualNet.model-1002 --out runs/published
        """
    options = read(ImportTf, "import-tf", arguments, examples)
    from ..training.log import loading, say

    with loading():
        from ..tools.import_tf import import_tf as import_checkpoint
    classes = None if options.classes is None else [name.strip() for name in options.classes.split(",")]
    for line in import_checkpoint(options.checkpoint, options.out, classes, options.keep_channel_order):
        say(line)
    from ..methods.registry import method_in

    used = {"generator": "-o sheet.png", "translator": "IMAGES... -o translated/"}
    method = method_in(options.out)
    say(f"wrote {options.out}. Next: ganshift {method.verb} {options.out} {used[method.kind]}")
    return 0


def export(arguments: Sequence[str]) -> int:
    """Write a run's model for other programs."""
    import tyro

    @dataclass(frozen=True, kw_only=True)
    class Export:
        """Write a run's averaged model for other programs, checked against PyTorch before it is written."""

        run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
        """Run folder of ganshift transfer or dual, the model.safetensors in one, a bundled model (digits32), or an
        owner/model of the Hugging Face hub."""
        format: Literal["onnx", "safetensors", "html"] = "onnx"
        """What to write: models for onnxruntime, weights for from_pretrained, or one page that draws or translates in
        a browser. onnx and html need pip install 'ganshift[export]'."""
        opset: int | None = None
        """Version of the ONNX operators, from 18 to 23 (18 if left out)."""
        uint8: tyro.conf.FlagCreatePairsOff[bool] = False
        """Let models take and give images as uint8 [n, h, w, c], as files hold them, instead of float32 [n, c, h, w]
        in [-1, 1]."""
        half: tyro.conf.FlagCreatePairsOff[bool] = False
        """Store the weights of safetensors in half precision."""
        onnxruntime_web: Path | None = None
        """For html, the file that npm pack onnxruntime-web writes. npm fetches it, once, if this is left out."""
        out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
        """New folder for the files; RUN/export/FORMAT if left out. Bundled models and those of the hub need one."""

    examples = """
        ganshift export runs/mine
        ganshift export runs/drawings --uint8 -o for-the-app/
        ganshift export runs/mine --format safetensors --half
        ganshift export runs/mine --format html
        """
    options = read(Export, "export", arguments, examples)
    from ..training.log import loading, say

    with loading():
        from ..tools.export import ExportSettings
        from ..tools.export import export as export_run

    chosen = {name: value for name, value in vars(options).items() if name not in ("run", "out")}
    exported = export_run(options.run, options.out, ExportSettings(**chosen))
    for name, parity in exported.parities.items():
        say(f"{name}: at most {parity.max_abs_error:.2g} from the PyTorch model ({parity.unit})")
    *others, last = exported.paths
    for path in others:
        say(f"wrote {path}")
    use = "open index.html there in a browser" if options.format == "html" else "docs/export.md says how to load it"
    say(f"wrote {last}. Next: {use}")
    return 0


def _say_written(paths: Sequence[Path], out: Path, run: str, reference: str) -> None:
    from ..inference.names import lies_here
    from ..training.log import say

    written = f"wrote {paths[0]}" if len(paths) == 1 else f"wrote {len(paths)} images to {out}"
    place = "" if lies_here(run) else " --out scores/"
    say(f"{written}. Next: ganshift evaluate {run} --reference {reference}{place}")
