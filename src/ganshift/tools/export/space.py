"""A folder that is a Space of the Hugging Face hub: the page of `ganshift serve` for one model."""

import base64
import csv
import hashlib
import io
import sys
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path

from huggingface_hub import SpaceCardData
from packaging.requirements import Requirement

from ...errors import UserError
from ...files import write_output
from ...inference.generator import ImageGenerator
from ...inference.translator import ImageTranslator

EXTRAS = ("web", "video", "")
"""Of ganshift, that the page needs."""
UNWANTED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
"""What an installer wrote."""
APP = '''\
"""The page of ganshift for the model beside this file."""

import importlib.util
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
if importlib.util.find_spec("ganshift") is None:  # a Space installs requirements.txt before these files are there
    subprocess.run([sys.executable, "-m", "pip", "install", "--no-deps", *HERE.glob("*.whl")], check=True)
    importlib.invalidate_caches()

from ganshift.tools.serve.limits import Limits
from ganshift.tools.serve.page import LOOK, build_page
from ganshift.tools.serve.shelf import open_runs

limits = Limits()
page = build_page(open_runs([HERE / {name!r}]), limits)
page.launch(max_file_size=limits.max_upload_bytes, **LOOK)
'''


def write_space(model: ImageGenerator | ImageTranslator, name: str, out: Path) -> list[Path]:
    """Write the model, app.py, README.md with the header that Spaces read, requirements.txt and ganshift's wheel."""
    installed = _installed()
    header = SpaceCardData(
        title=name,
        sdk="gradio",
        sdk_version=version("gradio"),
        python_version=f"{sys.version_info.major}.{sys.version_info.minor}",
        app_file="app.py",
        license="unknown",
    )
    files = {
        f"ganshift-{installed.version}-py3-none-any.whl": _wheel(installed),
        "requirements.txt": "".join(f"{line}\n" for line in _requirements(installed)).encode(),
        "README.md": f"---\n{header.to_yaml()}\n---\n\n# {name}\n\nA page for this model, by ganshift.\n".encode(),
        "app.py": APP.format(name=name).encode(),
    }
    model.save_pretrained(out / name)
    return [write_output(out / each, content) for each, content in files.items()]


def _installed() -> Distribution:
    try:
        found = distribution("ganshift")
        version("gradio")
    except PackageNotFoundError as error:
        raise UserError(f"a Space needs more packages: pip install 'ganshift[web]' ({error})") from None
    return found


def _requirements(installed: Distribution) -> list[str]:
    """What the wheel needs: a Space installs it from the list alone, when the wheel is not there yet."""
    found = []
    for line in installed.requires or ():
        needed = Requirement(line)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in EXTRAS):
            found.append(f"{needed.name}{needed.specifier}")
    return found


def _wheel(installed: Distribution) -> bytes:
    """The package as it lies here, whether or not the installation is editable, with what pip knows of it."""
    package = Path(__file__).parents[2]
    files = {
        f"ganshift/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    place = f"ganshift-{installed.version}.dist-info"
    for path in installed.files or ():
        if path.parts[0].endswith(".dist-info") and path.name not in UNWANTED:
            files["/".join((place, *path.parts[1:]))] = Path(str(path.locate())).read_bytes()
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(content)))
    rows.writerow((f"{place}/RECORD", "", ""))
    files[f"{place}/RECORD"] = record.getvalue().encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
    return buffer.getvalue()
