"""One page that draws or translates in the browser: models, runtime and script inside, so that it loads nothing."""

import base64
import gzip
from collections.abc import Mapping, Sequence

from ...errors import UserError, printable
from ...inference.generator import ImageGenerator
from ...inference.latents import OTHER_STREAM
from ...inference.pages import templates
from ...inference.translator import AT_ONCE_PIXELS, ImageTranslator
from ...tensors import height_and_width
from .graphs import Graph
from .parity import Parities
from .web_runtime import PACKAGE

MOST_BYTES = 256 * 2**20
"""Models of more bytes, all together, get no page: in base64 they come near the longest text that browsers hold."""


def page_of(
    name: str,
    model: ImageGenerator | ImageTranslator,
    graphs: Sequence[Graph],
    files: Mapping[str, bytes],
    parities: Parities,
    runtime: Mapping[str, bytes],
) -> bytes:
    """The page of a model of this name: the ONNX files of its graphs, which take and give uint8."""
    size = sum(map(len, files.values()))
    if size > MOST_BYTES:
        raise UserError(
            f"models of {size // 2**20} MiB do not fit into a page, which holds {MOST_BYTES // 2**20}: "
            "use --format onnx"
        )
    contents = {**runtime, **{f"model-{graph.name}": files[f"{graph.name}.onnx"] for graph in graphs}}
    description = {
        "kind": model.noun,
        **(
            {"latentDim": model.latent_dim, "redraws": not model.truncates_styles}
            if isinstance(model, ImageGenerator)
            else {}
        ),
        "models": [
            {"name": graph.name, "title": graph.title, "output": graph.output, **graph.facts} for graph in graphs
        ],
        "otherStream": OTHER_STREAM,
        "mostPixels": AT_ONCE_PIXELS,
    }
    packed = {name: base64.b64encode(gzip.compress(content, 6, mtime=0)).decode() for name, content in contents.items()}
    template = templates(html=True).get_template("export.html.j2")
    return template.render(
        name=printable(name),
        description=description,
        contents=packed,
        size=height_and_width(graphs[0].facts["size"]),
        worst=max(parity["max_abs_error"] for parity in parities.values()),
        package=PACKAGE,
    ).encode()
