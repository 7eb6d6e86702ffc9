"""What is done with trained models: `ganshift generate`, `translate`, `export` and `import`."""

import shlex
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from ..errors import UserError
from .options import Device, Maybe, Out, command

SOME_LEFT_OUT = 1
"""Exit code when some files, but not all, could not be translated."""


@command
def generate(
    run: Positional[str],
    *,
    num_images: Annotated[Maybe[int], arg(aliases=["-n"])] = None,
    label: Maybe[str] = None,
    seed: int = 0,
    truncation: Maybe[float] = None,
    interpolate: Annotated[Maybe[int], arg(metavar="STEPS")] = None,
    class_grid: bool = False,
    published_sheet: bool = False,
    batch_statistics: bool = False,
    out: Out,
    device: Device = "auto",
) -> int:
    """Draw images from a transfer run.

    Args:
        run: Run folder of ganshift transfer, the model.safetensors in one, a bundled model (digits32), or an
            owner/model of the Hugging Face hub.
        num_images: How many images (default 64), strips with --interpolate (default 8), or images per class with
            --class-grid (default 8).
        label: Class to draw, by name or number. Default: all in turn.
        seed: The same seed gives the same images.
        truncation: Redraw latent values further from 0 than this, in standard deviations. Images become more typical
            and less varied: 2 changes little, 0.5 much. Default: no truncation.
        interpolate: Draw strips of STEPS images instead, each from one image to the next. If strips change smoothly,
            the generator does not just repeat training images.
        class_grid: Draw one row per class instead, from the same latents: a column shows what the class changes.
        published_sheet: Draw the 10 x 10 sheet of the published codes instead: classes in turn, normalised by the batch
            of 100.
        batch_statistics: Normalise by the batch, as the published codes do, instead of by running statistics. Each
            image then depends on up to 63 others drawn with it, so -n changes it too.
        out: A name that ends in .png for one sheet; otherwise a folder, with one file per image or strip.

    Examples:
        ganshift generate runs/mine -n 64 -o sheet.png
        ganshift generate runs/mine -n 1000 --seed 3 -o many/
        ganshift generate runs/mine --truncation 1.5 -o typical.png
        ganshift generate runs/mine --interpolate 10 -n 6 -o strips.png
        ganshift generate runs/classes --label rose -n 16 -o roses.png
    """
    sheets = {"--interpolate": interpolate, "--class-grid": class_grid, "--published-sheet": published_sheet}
    if len(chosen := [name for name, given in sheets.items() if given not in (None, False)]) > 1:
        raise UserError(f"{' and '.join(chosen)} are different sheets: choose one, or run the command once for each")
    if class_grid and label is not None:
        raise UserError(
            "--class-grid draws every class: leave out --label, or leave out --class-grid to draw one class"
        )
    drawn = {"--num-images": num_images, "--label": label, "--truncation": truncation}
    if published_sheet and (given := [name for name, value in drawn.items() if value is not None]):
        raise UserError(f"--published-sheet takes only --seed: leave out {' and '.join(given)}")
    from ..training.log import ProgressLine, loading

    with loading():
        from ..inference.picture_files import write_pictures, write_rows
        from ..methods.registry import open_model

    model = open_model(run, device, "generator")
    few, many = (8, 64) if num_images is None else (num_images, num_images)
    how: dict[str, Any] = {"batch_statistics": batch_statistics, "truncation": truncation}
    draw: Callable[[], object]
    if interpolate is not None:
        total, draw = few * interpolate, partial(model.interpolate, interpolate, few, label, seed, **how)
    elif class_grid:
        total, draw = few * len(model.classes), partial(model.class_grid, few, seed, **how)
    elif published_sheet:
        total, draw = 100, partial(model.published_sheet, seed)
    else:
        total, draw = many, partial(model.sample, many, label, seed, **how)
    with ProgressLine("generate", total) as progress:
        model.on_images = progress.update
        pictures: Any = draw()
    paths = write_rows(pictures, out, strips=interpolate is not None) if chosen else write_pictures(pictures, out)
    _say_written(paths, out, run, "IMAGES")
    return 0


@command
def translate(
    run: Positional[str],
    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGES...", help_behavior_hint="(required)")],
    *,
    to: Annotated[str, arg(metavar="DOMAIN|both")] = "b",
    roundtrip: bool = False,
    training_size: bool = False,
    skip_existing: bool = False,
    overwrite: bool = False,
    out: Out,
    device: Device = "auto",
) -> int:
    """Translate images with a dual run, each at its own size, with its own transparency and bit depth.

    Args:
        run: Run folder of ganshift dual, the model.safetensors in one, a bundled model (photo-sketch), or an
            owner/model of the Hugging Face hub.
        images: Images, animations, videos, and folders, zips and globs of them.
        to: Domain to translate to: a, b, or its name (dual --names). With both, IMAGES is one folder or zip with two
            domains, as for training: its validation images, or all if it has none, are translated both ways.
        roundtrip: Also write the image and the way back, in folders A, A2B, A2B2A and B, B2A, B2A2B, or with the names
            of the domains in place of A and B.
        training_size: Crop and scale images as in training first. A model trained on small images knows no large ones.
        skip_existing: Skip images whose translation is in --out already, to continue after an interruption.
        overwrite: Let a translation replace its input, if --out is the input's folder. Without it no input is replaced.
        out: Folder for the translations, which keep the names of their images. For one image also a file name: .png (or
            another picture's ending), .gif or .webp for an animation, .mp4 for a video.

    Examples:
        ganshift translate runs/drawings holiday.jpg --to drawings -o drawn/
        ganshift translate runs/drawings holiday.jpg -o drawn.png
        ganshift translate runs/drawings photos/ -o drawn/ --skip-existing
        ganshift translate runs/drawings photos/ 'more/*.png' packed.zip clip.mp4 -o drawn/
        ganshift translate runs/drawings data/ --to both --roundtrip --training-size -o trips/
    """
    from ..training.log import loading, say

    with loading():
        from ..inference.translating import translate_files
        from ..methods.registry import open_model

    model = open_model(run, device, "translator")
    try:
        done = translate_files(
            model,
            images,
            to,
            out,
            roundtrip=roundtrip,
            training_size=training_size,
            skip_existing=skip_existing,
            overwrite=overwrite,
        )
    except KeyboardInterrupt:
        say("The same command with --skip-existing continues from here")
        raise
    if done.skipped:
        say(f"skipped {done.skipped:,} files whose translations are in {out}")
    _say_written(done.written, out, run, "DATA")
    return SOME_LEFT_OUT if done.left_out else 0


@command
def import_run(
    checkpoint: Annotated[Positional[Path], arg(metavar="FILE")],
    *,
    out: Path,
    backward: Maybe[Path] = None,
    critic_a: Maybe[Path] = None,
    critic_b: Maybe[Path] = None,
    classes: Maybe[str] = None,
    keep_channel_order: bool = False,
    image_statistics: bool = False,
    rgba: bool = False,
    size: Maybe[int] = None,
    names: Maybe[str] = None,
) -> int:
    """Turn a checkpoint of another tool into a run. No code in it is run.

    The file shows which tool wrote it and which networks it has; docs/import.md lists the tools. TensorFlow checkpoints
    need pip install 'ganshift[tensorflow]'.

    Args:
        checkpoint: The file. For a TensorFlow checkpoint its name without the endings of its files, its .index file, or
            its folder. For a translator the network from a to b.
        out: Run folder to write, for every command that takes a run.
        backward: For a translator the file of the network from b to a. Without it the run translates one way.
        critic_a: For a translator the file of the critic of domain a, for further training.
        critic_b: The same for domain b.
        classes: Names of the classes in the order of their labels, joined by commas. Default: numbers.
        keep_channel_order: Keep a DualGAN's channel order, blue first as published, instead of converting it to RGB.
        image_statistics: Let batch norms of CycleGAN, pix2pix and CUT use the statistics of each image, like their
            test script without --eval, instead of the running statistics in the file.
        rgba: Take the network's four channels for red, green, blue and opacity; its file does not say what they are.
        size: Side in pixels of a translator's training images, which its file does not say. Default: 256, as in the old
            tools; 128 for unet_128.
        names: Names of a translator's domains, such as horse,zebra. Default: A and B.

    Examples:
        ganshift import horse2zebra/latest_net_G_A.pth --out runs/zebras
        ganshift import latest_net_G_A.pth --backward latest_net_G_B.pth --out runs/zebras
        ganshift import published/wgan-gp.model --classes plane,car,bird --out runs/published
        ganshift import published/DualNet.model-1002 --out runs/published
    """
    from ..training.log import loading, say

    with loading():
        from ..methods.importing import ImportOptions, Role
        from ..tools import importing

    options = ImportOptions(
        classes=None if classes is None else [name.strip() for name in classes.split(",")],
        keep_channel_order=keep_channel_order,
        image_statistics=image_statistics,
        rgba=rgba,
        size=size,
        names=names,
    )
    named: dict[Role, Path | None] = {"backward": backward, "critic_a": critic_a, "critic_b": critic_b}
    further = {role: path for role, path in named.items() if path is not None}
    for line in importing.import_run(checkpoint, out, options, further):
        say(line)
    from ..methods.registry import method_in

    used = {"generator": "-o sheet.png", "translator": "IMAGES... -o translated/"}
    method = method_in(out)
    say(f"wrote {out}. Next: ganshift {method.verb} {shlex.quote(str(out))} {used[method.kind]}")
    return 0


@command
def export(
    run: Positional[str],
    *,
    format: Literal["onnx", "safetensors", "html", "space"] = "onnx",
    uint8: bool = False,
    half: bool = False,
    size: Annotated[Maybe[str], arg(metavar="SIDE|HEIGHTxWIDTH")] = None,
    onnxruntime_web: Maybe[Path] = None,
    out: Annotated[Maybe[Path], arg(aliases=["-o"])] = None,
) -> int:
    """Write a run's averaged model for other programs, checked against PyTorch before it is written.

    Args:
        run: Run folder of ganshift transfer or dual, the model.safetensors in one, a bundled model (digits32), or an
            owner/model of the Hugging Face hub.
        format: onnx models for onnxruntime, safetensors for from_pretrained, one html page that draws or translates in
            a browser, or a space of the Hugging Face hub. onnx and html need pip install 'ganshift[export]', space
            needs ganshift[web].
        uint8: Take and give images as uint8 [n, h, w, c], as in files, instead of float32 [n, c, h, w] in [-1, 1].
        half: Store the weights of safetensors in half precision.
        size: Fix the image size of a translator's ONNX models, in pixels, for readers that need it, such as OpenCV 4.
        onnxruntime_web: For html, the file that npm pack onnxruntime-web writes. Without it npm downloads it, once.
        out: New folder for the files. Default: RUN/export/FORMAT; bundled models and those of the hub need one.

    Examples:
        ganshift export runs/mine
        ganshift export runs/drawings --uint8 -o for-the-app/
        ganshift export runs/drawings --size 256 -o for-opencv/
        ganshift export runs/mine --format safetensors --half
        ganshift export runs/mine --format html
        ganshift export runs/mine --format space
    """
    from ..training.log import loading, say

    with loading():
        from ..tools.export import export as export_run

    sides = None if size is None else _sides(size)
    paths, parities = export_run(
        run, out, format=format, uint8=uint8, half=half, size=sides, onnxruntime_web=onnxruntime_web
    )
    for name, parity in parities.items():
        say(f"{name}: at most {parity['max_abs_error']:.2g} from the PyTorch model ({parity['unit']})")
    for path in paths[:-1]:
        say(f"wrote {path}")
    uses = {"html": "open index.html there in a browser", "space": "upload the folder to a Space of the hub"}
    use = uses.get(format, "docs/export.md says how to load it")
    say(f"wrote {paths[-1]}. Next: {use}")
    return 0


def _sides(text: str) -> int | tuple[int, int]:
    """64 of squares, or 48x64: height and width."""
    height, x, width = text.partition("x")
    try:
        return (int(height), int(width)) if x else int(height)
    except ValueError:
        raise UserError(f"--size must be a side or HEIGHTxWIDTH, such as 64 or 48x64, got {text!r}") from None


def _say_written(paths: Sequence[Path], out: Path, run: str, reference: str) -> None:
    from ..inference.names import lies_here
    from ..training.log import say

    written = f"wrote {paths[0]}" if len(paths) == 1 else f"wrote {len(paths)} images to {out}"
    place = "" if lies_here(run) else " --out scores/"
    say(f"{written}. Next: ganshift evaluate {shlex.quote(run)} --reference {reference}{place}")
