"""Checkpoints that are damaged or mean ill, in each container that ganshift reads, from fixed seeds."""

import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import corpus
import numpy as np
import torch
from snapshots import as_r3gan, as_stylegan2, module_of, pickled
from torch import nn

from ganshift.methods.transfer.r3gan import R3GANGenerator
from ganshift.methods.transfer.stylegan2 import StyleGAN2Generator
from ganshift.training.torch_files import OLD_START

IMPORTED = Path(__file__).parents[1] / "imported"
LARGE = 100_000


def good() -> dict[str, bytes]:
    """A whole checkpoint of each container, by the name of its file."""
    critic = torch.load(IMPORTED / "pixel.pth", weights_only=True)
    old = io.BytesIO()
    torch.save(critic, old, _use_new_zipfile_serialization=False)
    small = {"size": 8, "latent_dim": 2, "widths": [2, 2]}
    r3gan = R3GANGenerator(**small, blocks=[1, 1], groups=[1, 2])
    stylegan2 = StyleGAN2Generator(**small, style_dim=2, mapping_layers=1)
    return {
        "zip.pth": (IMPORTED / "pixel.pth").read_bytes(),
        "old.pth": old.getvalue(),
        "modules.pkl": pickled(G_ema=as_r3gan(r3gan)),
        "persistent.pkl": pickled(G_ema=as_stylegan2(stylegan2, clamp=None)),
    }


def mutated(name: str, count: int, seed: int = 27) -> list[bytes]:
    """So many damaged copies of a good checkpoint: cut, changed, doubled; of a zip also what is packed."""
    data, random = good()[name], np.random.default_rng(seed)
    inner = torch_pickle(data) if name == "zip.pth" else b""
    found = []
    for number in range(count):
        whole = inner if inner and number % 2 else data
        # Most bytes are of weights, and change nothing; a program's are at the start of most containers.
        place = int(random.integers(len(whole) if number % 4 < 2 else min(len(whole), 2000)))
        stretch = int(random.integers(1, 40))
        change = (
            whole[:place],
            whole[:place] + random.bytes(1) + whole[place + 1 :],
            whole[:place] + random.bytes(stretch) + whole[place + stretch :],
            whole[:place] + whole[place + stretch :],
            whole[: place + stretch] + whole[place:],
            whole[:place] + bytes([int(random.choice(list(b"(.0RQbcistu}]\x81\x93\x94\x82")))]) + whole[place + 1 :],
        )[int(random.integers(6))]
        found.append(with_pickle(data, change) if whole is inner else change)
    return found


def harmful(canary: Path) -> dict[str, bytes]:
    """Files that would run a program, use up memory or time, or end the process, by name: each in each container.

    The largest, which take a second each to refuse, are in one container alone.
    """
    bodies = {**corpus.pickles(canary), **of_torch(canary)}
    found = {}
    for name, body in bodies.items():
        found[f"{name}-modules.pkl"] = b"\x80\x04" + body
        if len(body) > LARGE:
            continue
        found[f"{name}-zip.pth"] = in_zip(body)
        found[f"{name}-old.pth"] = in_old_file(body)
        found[f"{name}-persistent.pkl"] = in_persistent(body)
        found[f"{name}-within.pkl"] = in_bytes(in_old_file(body))
    return found


def in_zip(body: bytes) -> bytes:
    """A pickle as torch packs it, with one storage of four bytes."""
    members = (("a/data.pkl", body), ("a/byteorder", b"little"), ("a/version", b"3\n"), ("a/data/0", bytes(4)))
    return corpus.zip_of(*members, packing=0)


def in_old_file(body: bytes, storages: tuple[str, ...] = ()) -> bytes:
    """A pickle as torch packed it before 1.6."""
    machine = pickle.dumps({"little_endian": True}, 2)
    return OLD_START + b"." + pickle.dumps(1001, 2) + machine + body + pickle.dumps([*storages], 2)


def in_bytes(raw: bytes) -> bytes:
    """A file within a pickle, as the storages of pickled modules are."""
    return b"\x80\x04ctorch.storage\n_load_from_bytes\n" + plain(raw) + b"\x85R."


def in_persistent(body: bytes) -> bytes:
    """A pickle as the state of one of StyleGAN2-ADA's objects."""
    start = b"\x80\x04}" + text("G_ema") + b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}("
    meta = text("type") + text("class") + text("class_name") + text("x") + text("state") + body[:-1]
    return start + meta + b"u\x85Rs."


def text(words: str) -> bytes:
    return b"X" + len(words).to_bytes(4, "little") + words.encode()


def plain(raw: bytes) -> bytes:
    return b"B" + len(raw).to_bytes(4, "little") + raw


def number(value: int) -> bytes:
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def storage(count: int, kind: str = "storage", key: str = "0") -> bytes:
    return b"(" + text(kind) + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(size: tuple[int, ...], stride: tuple[int, ...], offset: int = 0) -> bytes:
    """A tensor in a storage of one number."""
    sides = [b"(" + b"".join(map(number, each)) + b"t" for each in (size, stride)]
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(1) + number(offset) + sides[0] + sides[1] + b"\x89}tR."


def of_torch(canary: Path) -> dict[str, bytes]:
    """Bodies of pickles that aim at what torch's checkpoints are made of."""
    chain = nn.Module()
    for _ in range(100):
        outer = nn.Module()
        outer.add_module("x", chain)
        chain = outer
    shared = nn.Module()
    for _ in range(40):
        outer = nn.Module()
        outer.add_module("x", shared)
        outer.add_module("y", shared)
        shared = outer
    circle = nn.Module()
    circle._modules["x"] = circle
    whole = in_old_file(storage(20_000) + b".", storages=("0",)) + (20_000).to_bytes(8, "little") + bytes(80_000)
    big = plain(whole)
    odd = {"Model.MainLayers.0.\x1b[31m\n.x": torch.ones(1), "synthesis.b4.const\u202e": torch.ones(1)}
    return {
        "popen": pickle.dumps(corpus.Call(subprocess.Popen, ["touch", str(canary)]), 2),
        "torch-load": b"ctorch\nload\n(" + text(str(canary)) + b"tR.",
        "torch-hub": b"ctorch.hub\nload\n(" + text(str(canary)) + text("x") + b"tR.",
        "import": b"cbuiltins\n__import__\n(" + text("antigravity") + b"tR.",
        "getattr": b"cbuiltins\ngetattr\n(c_io\nBytesIO\n" + text("__init__") + b"tR.",
        "socket": b"csocket\ncreate_connection\n((" + text("127.0.0.1") + b"K\x50ttR.",
        "os-name": b"cos\nsystem\n.",
        "control": text("os\x1b[31m\nx") + text("system") + b"\x93.",
        "deep-key": b"}N" + b"\x85" * 150_000 + b"K\x01s.",
        "deep-member": b"\x8f(N" + b"\x85" * 150_000 + b"\x90.",
        "deep-id": b"(N" + b"\x85" * 150_000 + b"tQ.",
        "deep-argument": b"cbuiltins\nset\n(](N" + b"\x85" * 150_000 + b"etR.",
        "laughs-of-keys": b"}K\x01q\0" + b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60)) + b"K\x01s.",
        "collisions": b"}(" + b"".join(number((2**61 - 1) * n) + b"N" for n in range(60_000)) + b"u.",
        "storage-large": storage(2**60) + b".",
        "storage-4-gigabytes": storage(2**30) + b".",
        "storage-negative": storage(-1) + b".",
        "storage-short": storage(2) + b".",
        "storage-nowhere": storage(1, key="../../../etc/passwd") + b".",
        "storage-of-program": storage(1, kind="module") + b".",
        "tensor-beyond": tensor((2,), (1,)),
        "tensor-before": tensor((1,), (1,), offset=-1),
        "tensor-repeated": tensor((2**50,), (0,)),
        "tensor-backwards": tensor((1, 1), (-1, 1)),
        "tensor-sides": tensor((1,) * 2000, (1,) * 2000),
        "tensor-overflow": tensor((2**40, 2**40), (2**60, 2**60)),
        "within-within": in_bytes(in_old_file(in_bytes(in_old_file(b"N.")))),
        "within-again": b"ctorch.storage\n_load_from_bytes\nq\0" + big + b"q\x01" + b"h\0h\x01\x85R" * 20_000 + b".",
        "encoded-again": b"c_codecs\nencode\nq\0" + text("x" * 100_000) + b"q\x01" + b"h\0h\x01N\x86R" * 20_000 + b".",
        "set-again": b"cbuiltins\nset\nq\0](" + b"N" * 50_000 + b"eq\x01" + b"h\0h\x01\x85R" * 20_000 + b".",
        "names-again": text("x" * 100_000) + b"q\0" + text("X" * 100_000) + b"q\x01" + b"h\0h\x01\x93" * 100_000 + b".",
        "arguments-again": b"(" + b"N" * 100_000 + b"tq\0cnumpy\ndtype\nq\x01" + b"h\x01h\0R" * 100_000 + b".",
        "storages-again": b"}" + b"".join(text(f"k{n}") + tensor((1,), (1,))[:-1] + b"s" for n in range(1000)) + b".",
        "parts-shared": parts_shared(),
        "sets": b"\x8f" * 1_200_000 + b".",
        "long-number": b"\x8b\x40\x42\x0f\0" + b"\x7f" * 1_000_000 + b".",
        "modules-of-modules": pickle.dumps({"G_ema": chain}, 4),
        "modules-shared": pickle.dumps({"G_ema": shared}, 4),
        "module-in-itself": pickle.dumps({"G_ema": circle}, 4),
        "module-names": pickle.dumps({"G_ema": module_of(odd)}, 4),
        "module-long-name": pickle.dumps({"G_ema": module_of({"Model.MainLayers.0." + "x" * 5000: torch.ones(1)})}, 4),
        "modules-none": b"}" + text("G_ema") + b"ctraining.networks\nGenerator\n)\x81}" + text("_modules") + b"Nsbs.",
        "no-network": pickle.dumps({"G_ema": None, "D": 3, "G": []}, 4),
        "no-tensors": pickle.dumps({"GAN": {"GE.initial_conv.0.weight": "x"}}, 2),
    }


def parts_shared() -> bytes:
    """Twenty thousand layers that have the same twenty thousand parts."""
    parts = b"}(" + b"".join(text(f"p{n}") + b"N" for n in range(20_000)) + b"uq\0"
    layer = b"ctorch.nn\nModule\n)\x81}(" + text("_modules") + b"}" + text("_parameters") + b"h\0ub"
    layers = b"}(" + b"".join(text(f"m{n}") + layer for n in range(20_000)) + b"u"
    root = b"ctorch.nn\nModule\n)\x81}(" + text("_parameters") + parts + text("_modules") + layers + b"ub"
    return b"}" + text("G_ema") + root + b"s."


def torch_pickle(data: bytes) -> bytes:
    """The pickle that torch packed in a zip."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


def with_pickle(data: bytes, body: bytes) -> bytes:
    """A zip of torch's with another pickle, packed as torch does."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [(name, body if name.endswith("data.pkl") else archive.read(name)) for name in archive.namelist()]
    return corpus.zip_of(*members, packing=zipfile.ZIP_STORED)


WATCHED = """
import codecs, json, resource, signal, sys
from pathlib import Path
from ganshift import UserError, import_checkpoint

folder = Path(sys.argv[1])
good, bad = (sorted(folder.glob(pattern)) for pattern in ("good-*", "bad-*"))
for path in good:
    import_checkpoint(path)
for encoding in ("cp437", "raw_unicode_escape"):  # of names in zips, and of texts: Python imports them once
    codecs.lookup(encoding)
reading, seen, wrong, taken = [""], [], [], []
WATCHED = ("import", "exec", "compile", "open", "socket", "subprocess", "os.", "ctypes", "shutil", "pickle", "marshal")

def hook(event, arguments):
    own = event == "open" and (isinstance(arguments[0], int) or str(arguments[0]) == reading[0])
    if reading[0] and event.startswith(WATCHED) and not own:
        seen.append((reading[0], event, str(arguments)[:200]))

def too_long(number, frame):
    raise TimeoutError("still at it")

sys.addaudithook(hook)
signal.signal(signal.SIGALRM, too_long)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in bad:
    reading[0] = str(path)
    signal.alarm(60)
    try:
        import_checkpoint(path)
        taken.append(path.name)
    except UserError as error:
        if path.name not in str(error) or not str(error).isprintable() or len(str(error)) > 3000:
            wrong.append((path.name, "message", str(error)[:300]))
    except BaseException as error:
        wrong.append((path.name, type(error).__name__, str(error)[:300]))
    signal.alarm(0)
    reading[0] = ""
grew = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(json.dumps({"read": len(bad), "taken": taken, "wrong": wrong, "seen": seen, "grew": grew}))
"""
"""Reads files and watches what Python does meanwhile."""


def read_watched(folder: Path, bad: dict[str, bytes]) -> dict:
    """What reading these files did in a process of its own, after one good file of each container."""
    corpus.write_all(folder, {f"good-{name}": data for name, data in good().items()})
    corpus.write_all(folder, {f"bad-{name}": data for name, data in bad.items()})
    done = subprocess.run([sys.executable, "-c", WATCHED, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
    return json.loads(done.stdout.splitlines()[-1])
