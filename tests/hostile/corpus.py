"""Files that somebody might hand us: over 2,000 malformed pictures, zips and pickles, from fixed seeds."""

import functools
import io
import itertools
import os
import pickle
import socket
import stat
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

SIDE = 12
SUFFIX = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "BMP": "bmp", "TIFF": "tif", "GIF": "gif"}


def noise(mode: str, side: int = SIDE, seed: int = 0) -> Image.Image:
    """A picture of random values in any of Pillow's modes."""
    generator = np.random.default_rng(seed)
    if mode == "F":
        return Image.fromarray(generator.normal(size=(side, side)).astype(np.float32))
    if mode == "I":
        return Image.fromarray(generator.integers(-(2**31), 2**31, (side, side), dtype=np.int32))
    if mode in ("I;16", "I;16B"):
        values = generator.integers(0, 2**16, (side, side), dtype=np.uint16)
        return Image.frombytes(mode, (side, side), values.tobytes())
    bands = len(Image.new(mode, (1, 1)).getbands())
    if mode == "P":
        picture = Image.frombytes("P", (side, side), generator.integers(0, 200, side * side, dtype=np.uint8).tobytes())
        picture.putpalette(generator.integers(0, 256, 600, dtype=np.uint8).tolist())
        return picture
    if mode == "1":
        return Image.fromarray(generator.integers(0, 2, (side, side), dtype=np.uint8) * 255).convert("1")
    return Image.frombytes(
        mode, (side, side), generator.integers(0, 256, side * side * bands, dtype=np.uint8).tobytes()
    )


def encode(picture: Image.Image, kind: str, **options) -> bytes:
    """The file of a picture."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> bytes:
    """Notes of a camera that was held in one of eight ways, or in one that does not exist."""
    notes = Image.Exif()
    notes[0x0112] = orientation
    return notes.tobytes()


@functools.cache
def pictures() -> dict[str, bytes]:
    """Pictures that are whole, of every kind, by name."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    frames = [noise("RGB", seed=seed) for seed in range(3)]
    moving = {"save_all": True, "append_images": frames[1:], "duration": [10, 20, 30], "loop": 0}
    found = {
        **{f"png-{mode}": encode(noise(mode), "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
        **{f"bmp-{mode}": encode(noise(mode), "BMP") for mode in ("1", "L", "P", "RGB")},
        **{f"jpg-{mode}": encode(noise(mode), "JPEG") for mode in ("L", "RGB", "CMYK")},
        **{
            f"tif-{mode}": encode(noise(mode), "TIFF")
            # but YCbCr: Pillow 12.3 cannot read what it writes there
            for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "I", "F", "I;16", "I;16B")
        },
        **{
            f"tif-RGB-{packing}": encode(noise("RGB"), "TIFF", compression=packing)
            for packing in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "zstd")
        },
        "tif-F-nan": encode(Image.fromarray(np.full((SIDE, SIDE), np.nan, np.float32)), "TIFF"),
        "tif-F-inf": encode(Image.fromarray(np.full((SIDE, SIDE), np.inf, np.float32)), "TIFF"),
        "png-P-opacity": encode(noise("P"), "PNG", transparency=bytes(range(0, 250, 5))),
        "png-P-colour": encode(noise("P"), "PNG", transparency=3),
        "png-RGB-colour": encode(noise("RGB"), "PNG", transparency=(1, 2, 3)),
        "png-moving": encode(frames[0], "PNG", **moving),
        "png-profile": encode(noise("RGB"), "PNG", icc_profile=profile),
        "jpg-profile": encode(noise("RGB"), "JPEG", icc_profile=profile),
        "jpg-progressive": encode(noise("RGB"), "JPEG", progressive=True, quality=60),
        **{f"jpg-turned-{turn}": encode(noise("RGB"), "JPEG", exif=exif(turn)) for turn in (0, 3, 5, 8, 9)},
        "webp-RGB": encode(noise("RGB"), "WEBP"),
        "webp-RGBA": encode(noise("RGBA"), "WEBP", lossless=True),
        "webp-moving": encode(frames[0], "WEBP", **moving),
        "webp-notes": encode(noise("RGB"), "WEBP", exif=exif(6), icc_profile=profile),
        "gif-P": encode(noise("P"), "GIF"),
        "gif-colour": encode(noise("P"), "GIF", transparency=7),
        "gif-moving": encode(frames[0], "GIF", **moving),
        "tif-pages": encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]),
    }
    return {
        f"{name}.{SUFFIX.get(name.split('-')[0].upper(), name.split('-')[0])}": data for name, data in found.items()
    }


@functools.cache
def malformed() -> dict[str, bytes]:
    """More than 2,000 files that are no proper pictures any more, or never were, by name."""
    generator = np.random.default_rng(2018)
    found = {}
    for name, data in pictures().items():
        stem, suffix = name.rsplit(".", 1)
        for part in range(14):  # cut in the head, in the body and a byte before the end
            end = min(2**part, len(data) - 1) if part < 7 else len(data) * (part - 6) // 8
            found[f"{stem}-cut{part}.{suffix}"] = data[:end]
        for number in range(14):  # a byte changed, half of them in the head
            place = int(generator.integers(min(64, len(data)) if number % 2 else len(data)))
            found[f"{stem}-byte{number}.{suffix}"] = data[:place] + generator.bytes(1) + data[place + 1 :]
        for number in range(4):  # a stretch that is 0, 255, noise or missing
            place = int(generator.integers(4, len(data)))
            stretch = (bytes(16), b"\xff" * 16, generator.bytes(16), b"")[number]
            found[f"{stem}-stretch{number}.{suffix}"] = data[:place] + stretch + data[place + 16 :]
        for other in ("png", "jpg", "tif", "gif"):
            if other != suffix:
                found[f"{stem}-as.{other}"] = data
        found[f"{stem}-tail.{suffix}"] = data + generator.bytes(64)
        found[f"{stem}-head.{suffix}"] = generator.bytes(8) + data
        found[f"{stem}-twice.{suffix}"] = data + data
        found[f"{stem}-only-head.{suffix}"] = data[:24] + bytes(200)
    for number, (width, height) in enumerate(itertools.product((0, 1, 65_535, 2**31 - 1, 2**32 - 1), repeat=2)):
        found |= {f"sides{number}.{suffix}": data for suffix, data in of_sides(width, height).items()}
    for size in (0, 1, 2, 7, 64, 1000):
        for suffix in sorted(set(SUFFIX.values())):
            found[f"noise{size}.{suffix}"] = generator.bytes(size)
    bad_profile = encode(noise("RGB"), "PNG", icc_profile=b"no profile at all")
    bomb = zlib.compress(bytes(50_000_000), 9)
    found |= {
        "profile-bad.png": bad_profile,
        "profile-bad.jpg": encode(noise("RGB"), "JPEG", icc_profile=b"\xff" * 70_000),
        "profile-bomb.png": with_chunk(b"iCCP", b"x\0\0" + bomb),
        "text-bomb.png": with_chunk(b"zTXt", b"x\0\0" + bomb),
        "notes-bad.png": with_chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"),
        "notes-bad.jpg": encode(noise("RGB"), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 400),
        "notes-circle.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "text.png": b"<html><script>alert(1)</script></html>",
        "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "page.png": b"%!PS-Adobe-3.0\n(x) print quit",
        "fonts.png": b"%PDF-1.4\n1 0 obj\n",
        "list.gif": b"#EXTM3U\nhttp://127.0.0.1/x.ts\n",
    }
    return found


def with_chunk(kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its head."""
    data = encode(noise("RGB"), "PNG")
    chunk = kind + content
    return data[:33] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def of_sides(width: int, height: int) -> dict[str, bytes]:
    """Heads of files that claim these sides, by suffix, with a little of a body."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head
    png += struct.pack(">I", zlib.crc32(b"IHDR" + head)) + b"\0\0\0\x0aIDAT" + zlib.compress(bytes(64))
    signed = struct.pack("<ii", *(side if side < 2**31 else side - 2**32 for side in (width, height)))
    bmp = b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + struct.pack("<I", 40) + signed
    bmp += struct.pack("<HHIIiiII", 1, 24, 0, 0, 0, 0, 0, 0) + bytes(64)
    short = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    gif = b"GIF89a" + short + b"\0\0\0" + b"," + bytes(4) + short + b"\0\x08\x02\x4c\x01\0;"
    jpeg = b"\xff\xd8\xff\xc0\0\x11\x08" + struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
    jpeg += b"\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xda\0\x0c\x03\x01\0\x02\x11\x03\x11\0\x3f\0" + bytes(40)
    entries = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (279, 4, 4)]
    tif = b"II*\0\x0c\0\0\0" + bytes(4) + struct.pack("<H", len(entries))
    tif += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries) + bytes(4)
    return {"png": png, "bmp": bmp, "gif": gif, "jpg": jpeg, "tif": tif}


def write_all(folder: Path, files: dict[str, bytes]) -> Path:
    """Put files into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def write_odd(folder: Path) -> list[str]:
    """Fill a folder with what has the name of a picture and is none, or a picture whose name is odd; names of both."""
    good = encode(noise("RGB"), "PNG")
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "pipe.png")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # the name of a socket may have 107 bytes, and that of the folder may be longer
        try:
            listening.bind("socket.png")
        finally:
            os.chdir(here)
    (folder / "folder.png").mkdir()
    (folder / "itself.png").symlink_to("itself.png")
    (folder / "nowhere.png").symlink_to("not-there.png")
    for name in ("zero", "random", "tty"):
        (folder / f"{name}.png").symlink_to(f"/dev/{name}")
    (folder / "kernel.png").symlink_to("/proc/kmsg")
    (folder / "memory.png").symlink_to("/proc/self/mem")
    if os.geteuid() == 0:
        os.mknod(folder / "device.png", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    (folder / "circle").mkdir()
    (folder / "circle" / "back").symlink_to("..")
    names = [b"line\nbreak.png", b"\xff\xfe\x80.png", b"\x1b[31mred\x1b]0;title\x07.png", b"right\xe2\x80\xaeleft.png"]
    names += [b"[red]a[bold].png", b"100%s{note}.png", b"x" * 240 + b".png", "ü b.png".encode()]
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(good)
    return [os.fsdecode(name) for name in names]


def zip_of(*members: tuple[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip of members in this order; names may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, data in members:
            member = zipfile.ZipInfo(name)
            member.compress_type = packing
            archive.writestr(member, data)
    return buffer.getvalue()


def patched(data: bytes, entry_offset: int, value: bytes) -> bytes:
    """A zip with a field changed in every entry of its directory, by its place in the entry."""
    changed = bytearray(data)
    place = changed.find(b"PK\x01\x02")
    while place >= 0:
        changed[place + entry_offset : place + entry_offset + len(value)] = value
        place = changed.find(b"PK\x01\x02", place + 46)
    return bytes(changed)


def overlapping(num: int) -> bytes:
    """A zip whose members all are the same megabyte of zeros, packed once."""
    data = zip_of(("00000.png", bytes(1_000_000)))
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    directory = b"".join(data[start:end].replace(b"00000.png", b"%05d.png" % number) for number in range(num))
    closing = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, num, num, len(directory), start, 0)
    return data[:start] + directory + closing


def zips() -> dict[str, bytes]:
    """Zips that are damaged or mean ill, by name. Each has one proper picture, good.png, that may still be used."""
    data = encode(noise("RGB"), "PNG")
    good = ("good.png", data)
    plain = zip_of(good)
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.png", data)
        archive.writestr(link, "/etc/passwd")
    return {
        "up": zip_of(good, ("../up.png", data), ("a/../../up.png", data)),
        "absolute": zip_of(good, ("/absolute.png", data), ("//absolute.png", data)),
        "windows": zip_of(good, ("..\\up.png", data), ("C:\\absolute.png", data)),
        "link": buffer.getvalue(),
        "twice": zip_of(good, ("twice.png", data), ("twice.png", b"other")),
        "bomb": zip_of(good, ("bomb.png", bytes(300_000_000))),
        "bomb-bzip2": zip_of(good, ("bomb.png", bytes(20_000_000)), packing=zipfile.ZIP_BZIP2),
        "bomb-lzma": zip_of(good, ("bomb.png", bytes(20_000_000)), packing=zipfile.ZIP_LZMA),
        "nested": zip_of(good, ("inner.zip", plain), ("inner.png", plain)),
        "overlapping": overlapping(3000),
        "encrypted": patched(plain, 8, b"\x01\x00"),
        "checksum": patched(plain, 16, b"\0\0\0\0"),
        "longer": patched(plain, 24, b"\xff\xff\xff\x7f"),
        "shorter": patched(plain, 24, b"\x10\0\0\0"),
        "method": patched(plain, 10, b"\x63\x00"),
        "version": patched(plain, 6, b"\xff\x00"),
        "elsewhere": patched(plain, 42, b"\xff\xff\xff\x7f"),
        "name": zip_of(good, ("\x1b[31mred\n.png", data), ("nul\0.png", data), ("x" * 5000 + ".png", data)),
        "classes": zip_of(("../a/x.png", data), ("/b/x.png", data), ("c/good.png", data)),
        **{f"cut{part}": plain[: len(plain) * part // 10] for part in range(1, 10)},
        "empty": zip_of(),
    }


class Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


def pickles(canary: Path) -> dict[str, bytes]:
    """Pickles that would make the file `canary`, use up memory or crash Python, by name."""
    command = f"open({str(canary)!r}, 'w').close()"
    code, target = command.encode(), str(canary).encode()
    laughs: list = []
    for _ in range(60):  # two of it in each: a few hundred bytes, and 2 ** 60 entries for who goes through them
        laughs = [laughs, laughs]
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR"
    return {
        "reduce": pickle.dumps(Call(exec, command), 2),
        "reduce-4": pickle.dumps(Call(exec, command), 4),
        "global": b"cbuiltins\nexec\n(V" + code + b"\ntR.",
        "inst": b"(V" + code + b"\nibuiltins\nexec\n.",
        "obj": b"(cbuiltins\nexec\nV" + code + b"\no.",
        "stack-global": b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c" + bytes([len(code)]) + code + b"\x85R.",
        "newobj": b"\x80\x02cpathlib\nPath\n(V" + target + b"\nt\x81.",
        "newobj-ex": b"\x80\x04cpathlib\nPath\n(V" + target + b"\nt}\x92.",
        "dotted": b"\x80\x04\x8c\x05numpy\x8c\x0edtype.__init__\x93.",
        "via-numpy": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR(dV__class__\nV"
        + b"x\nsb.",
        "build": b"cnumpy\ndtype\n(V\x75\x31\nK\x00K\x01tR(NdV__init__\ncbuiltins\nexec\nstb.",
        "build-class": b"cnumpy\ndtype\n(dV__init__\nV1\nsb.",
        "extension": b"\x82\x01.",
        "persistent": b"P0\n.",
        "memo": b"Nr\xff\xff\xff\x7f.",
        "memo-text": b"Np999999999999\n.",
        "laughs-data": pickle.dumps({"data": laughs, "labels": [1]}, 3),
        "laughs-key": pickle.dumps({"data": [1], "labels": [1], (1,): laughs}, 3),
        "laughs-labels": batch(laughs),
        "long": b"\x8b\xff\xff\xff\x7f" + bytes(10),
        "number": b"I" + b"9" * 100_000 + b"\n.",
        "frame": b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "bytes": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        "deep": b"(" * 100_000 + b"t" * 100_000 + b".",
        "lists": b"]" * 100_000 + b"a" * 99_999 + b".",
        "no-end": b"}",
        "nothing": b"",
        "list": pickle.dumps([1, 2, 3], 2),
        "no-data": pickle.dumps({"labels": [1, 2]}, 2),
        "text-data": pickle.dumps({"data": "x", "labels": [1, 2]}, 2),
        "huge-label": batch([2**40]),
        "negative-label": batch([-1]),
        "too-many-labels": batch([1, 2, 3]),
        "text-labels": batch(["1"]),
        "nested-labels": batch([[1]]),
        "no-labels": batch(None),
        "no-array": b"}(U\x04data" + array + b"U\x06labels]K\x01au.",
    }


def batch(labels) -> bytes:
    """A CIFAR batch of one image with these labels."""
    return pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": labels}, 3)
