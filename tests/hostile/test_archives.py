"""Arrays, tables and archives that are damaged or mean ill end in one line, or lose the file that is bad; no more."""

import gzip
import io
import os
import subprocess
import sys
import tarfile
import zipfile
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus import Call, encode, noise, write_all

from ganshift import UserError
from ganshift.cli import main
from ganshift.data.open import open_images

GOOD = encode(noise("RGB"), "PNG")
BUDGET_BYTES = 1.5e9
"""What opening a container may take beside what the program takes itself."""


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def idx(*sides: int, content: bytes = b"") -> bytes:
    return bytes([0, 0, 8, len(sides)]) + np.array(sides, ">u4").tobytes() + content


def tar(*members) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def parquet(**columns) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def whole() -> dict[str, bytes]:
    """One good container of each kind."""
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8)
    return {
        "x.npz": npz(images=images, labels=np.array([0, 1, 0, 1])),
        "x.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4, 8, 8), }", images.tobytes()),
        "x-idx3-ubyte": idx(4, 8, 8, content=images.tobytes()),
        "x-idx3-ubyte.gz": gzip.compress(idx(4, 8, 8, content=images.tobytes())),
        "x.tar": tar(("a/0.png", GOOD), ("b/1.png", GOOD)),
        "x.tgz": gzip.compress(tar(("a/0.png", GOOD), ("b/1.png", GOOD))),
        "x.parquet": parquet(image=[{"bytes": GOOD, "path": "a"}] * 4, label=[0, 1, 0, 1]),
    }


def no_images() -> dict[str, bytes]:
    """Containers of nothing that can be used, or that claim what they have not."""
    return {
        "empty.npz": b"",
        "nothing.npz": npz(),
        "text.npz": npz(images=np.array(["a"])),
        "one_pixel.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (0, 8, 8), }"),
        "absurd.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4000000000, 4000000000, 3), }"),
        "complex.npy": npy("{'descr': '<c8', 'fortran_order': False, 'shape': (1, 1, 1), }", bytes(8)),
        "code.npy": npy("__import__('os').system('touch executed')"),
        "deep.npy": npy("(" * 100),
        "absurd-idx3-ubyte": idx(2**32 - 1, 2**32 - 1, 2**32 - 1),
        "many_sides-idx3-ubyte": bytes([0, 0, 8, 255]) + b"\xff" * 1020,
        "floats-idx3-ubyte": b"\0\0\x0d\x03" + bytes(12),
        "not_gzip-idx3-ubyte.gz": b"text",
        "empty.tar": b"",
        "text.tar": b"text" * 1000,
        "text.tgz": b"text" * 1000,
        "links.tar": tar(("a.png", "/etc/passwd"), ("b.png", "/dev/zero"), ("c.png", "c.png")),
        "out.tar": tar(("/etc/a.png", GOOD), ("../b.png", GOOD), ("x/../../c.png", GOOD)),
        "empty.parquet": b"",
        "text.parquet": b"PAR1" + b"x" * 100 + b"PAR1",
        "numbers.parquet": parquet(image=[1, 2], label=[1, 2]),
        "no_rows.parquet": parquet(image=pa.array([], pa.struct({"bytes": pa.binary()}))),
    }


@pytest.mark.parametrize("name", no_images())
def test_containers_of_nothing_are_refused_in_one_line(name, tmp_path, capsys):
    path = write_all(tmp_path, {name: no_images()[name]}) / name
    with pytest.raises(UserError) as caught:
        open_images(path, 8)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert main(["doctor", str(path), "--seconds", "0"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", whole())
def test_containers_cut_or_changed_anywhere(name, tmp_path):
    """Each opens, perhaps with files set aside, or is refused in one line."""
    data, random = whole()[name], np.random.default_rng(0)
    assert len(open_images(write_all(tmp_path, {name: data}) / name, 8)) in (2, 4)
    for number in range(60):
        place = int(random.integers(0, len(data)))
        changed = data[:place] if number % 2 else data[:place] + random.bytes(2) + data[place + 2 :]
        path = write_all(tmp_path / str(number), {name: changed}) / name
        with suppress(UserError):
            images = open_images(path, 8, memory_budget_bytes=0)
            images.read(range(len(images)))


def test_python_objects_in_arrays_are_not_loaded(tmp_path):
    mark = tmp_path / "executed"
    objects = np.array([Call(os.mkdir, str(mark))], dtype=object)
    np.savez(tmp_path / "x.npz", images=np.zeros((2, 8, 8), np.uint8), labels=objects)
    np.save(tmp_path / "x.npy", objects)
    assert len(open_images(tmp_path / "x.npz", 8)) == 2
    with pytest.raises(UserError, match="Python objects"):
        open_images(tmp_path / "x.npy", 8)
    assert not mark.exists()


def test_links_and_names_that_lead_out_of_a_tar_are_set_aside(tmp_path):
    members = (("good.png", GOOD), ("link.png", "/etc/passwd"), ("../up.png", GOOD), ("/root.png", GOOD))
    images = open_images(write_all(tmp_path, {"x.tar": tar(*members)}) / "x.tar", 8)
    assert images.names == ("good.png",)
    reasons = dict(images.quarantined)
    assert reasons["link.png"] == "a link, or no ordinary file"
    assert reasons["../up.png"] == reasons["/root.png"] == "its name leads out of the tar"


@pytest.mark.ring_two
def test_memory_of_bombs(tmp_path):
    """Each unpacks to two gigabytes of nothing."""
    shape, zeros = (128, 4096, 4096), bytes(1 << 24)
    head = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}")
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("images.npy", "w", force_zip64=True) as member,
    ):
        member.write(head)
        for _ in range(shape[0]):
            member.write(zeros)
    packed = gzip.compress(zeros) * shape[0]
    bombs = {"bomb.tgz": packed, "bomb-idx3-ubyte.gz": gzip.compress(idx(*shape)) + packed}
    write_all(tmp_path, bombs)
    program = (
        "import resource, sys; from ganshift.data.open import open_images; from ganshift.errors import UserError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: open_images(__import__('pathlib').Path(sys.argv[1]), 8)\n"
        "except UserError as error: print(error)\n"
        "print(1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))"
    )
    for name in ("bomb.npz", *bombs):
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path / name], capture_output=True, text=True, check=True
        )
        said, taken = done.stdout.splitlines()
        assert "unpacks to more than 64 times its size" in said
        assert int(taken) < BUDGET_BYTES
