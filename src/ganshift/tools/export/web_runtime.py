"""onnxruntime-web, which the page runs the model with: one pinned package of the npm registry, checked, and kept.

It does not ship with ganshift: it is larger than all the rest.
"""

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from ...errors import UserError
from ...files import cache_folder, read_file, write_output
from ...training.log import say

VERSION = "1.30.0"
PACKAGE = f"onnxruntime-web@{VERSION}"
TARBALL = f"onnxruntime-web-{VERSION}.tgz"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the tarball, as the registry states it."""
SCRIPT = "package/dist/ort.wasm.bundle.min.mjs"
BINARY = "package/dist/ort-wasm-simd-threaded.wasm"
MOST_BYTES = 64 * 2**20
"""Larger files are no such tarball."""


def web_runtime(tarball: Path | None) -> dict[str, bytes]:
    """What a page needs of the runtime: `script`, which leaves it in a constant `ort`, and `binary`, its WebAssembly.

    They are from the npm tarball that is given, the one kept from before, or one fetched with npm and kept.
    """
    if tarball is not None:
        return _unpack(tarball)
    kept = cache_folder() / TARBALL
    try:
        return _unpack(kept)
    except UserError:  # not there, or damaged
        return _fetch(kept)


def _unpack(tarball: Path) -> dict[str, bytes]:
    try:
        content = read_file(tarball, MOST_BYTES)
    except OSError as error:
        raise UserError(f"cannot read {tarball}: {error.strerror or error}") from error
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != INTEGRITY:
        raise UserError(
            f"{tarball} is not the tarball of {PACKAGE}: its SHA-512 differs; fetch it with npm pack {PACKAGE}"
        )
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        script, binary = (archive.extractfile(name) for name in (SCRIPT, BINARY))
        assert script is not None
        assert binary is not None
        return {"script": _classic(script.read().decode()).encode(), "binary": binary.read()}


def _classic(module: str) -> str:
    """A module as a script: Chromium starts no worker from a module for a page that was opened from a disk."""
    start = module.rindex("export{")
    names = [name.split(" as ") for name in module[start:].partition("}")[0].removeprefix("export{").split(",")]
    exported = ",".join(f"{public}:{name}" for name, public in names)
    return module[:start].replace("import.meta.url", "self.location.href") + f"const ort={{{exported}}};\n"


def _fetch(kept: Path) -> dict[str, bytes]:
    """Let npm pack it, and keep it: npm knows the user's registry, proxy and certificates."""
    way_out = f"run npm pack {PACKAGE} where npm can, and give the file as --onnxruntime-web"
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"a page needs {PACKAGE} once, but npm is not installed here to fetch it: {way_out}")
    say(f"fetching {PACKAGE} with npm (33 MB, once)")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", PACKAGE, "--silent", "--fetch-retries=1"]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, check=True, timeout=300, stdin=subprocess.DEVNULL)
        except subprocess.SubprocessError as error:
            raise UserError(f"npm could not fetch {PACKAGE} ({error}): {way_out}") from None
        runtime = _unpack(Path(folder) / TARBALL)
        write_output(kept, (Path(folder) / TARBALL).read_bytes())
        return runtime
