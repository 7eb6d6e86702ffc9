"""A stand-in for CUDA: `environment` builds it, and a program that starts with it calls `install`.

Convolutions are counted and answered with empty tensors of the right shape, type and layout, since cuDNN cannot be
stood in for; PyTorch's own kernels do the rest. A wrong device, type or layout raises as on a GPU.
"""

import ctypes
import importlib.util
import os
import re
import subprocess
from pathlib import Path

COUNTED = ("launches", "library calls", "waits", "copies in", "copies out", "graphs", "refused", "on second device")
"""What `null_cuda.c` counts, in its order."""
_PACKAGES = Path(importlib.util.find_spec("torch").origin).parents[1]
_INCLUDES = _PACKAGES / "triton" / "backends" / "nvidia" / "include"
_LIBRARIES = [_PACKAGES / "torch" / "lib" / f"lib{name}.so" for name in ("torch_cuda", "c10_cuda", "torch_python")]
convolutions = 0
"""How many there were since `reset`."""


def environment(folder):
    """Build the stand-in in a folder; what a program's environment must have to start with it."""
    undefined = subprocess.run(
        ["nm", "-D", "--undefined-only", *_LIBRARIES], capture_output=True, text=True, check=True
    )
    asked = set(re.findall(r" U (_*cu(?:da|blas)\w+)", undefined.stdout))
    # The driver is asked for by name.
    tables = b"".join(path.read_bytes() for path in _LIBRARIES)
    asked_by_name = {name.decode() for name in re.findall(rb"\x00(cu[A-Z][A-Za-z]+(?:_v\d)?)\x00", tables)}
    runtime = [
        _built(folder / "libnull_cuda.so", Path(__file__).with_suffix(".c").read_text(encoding="utf-8")),
        _built(folder / "libnull_rest.so", _empty(asked)),  # of what both have, the first counts
    ]
    _built(folder / "libcuda.so.1", _DRIVER + _empty(asked_by_name - set(re.findall(r"int (\w+)", _DRIVER))))
    return {
        "LD_PRELOAD": " ".join(map(str, runtime)),
        "LD_LIBRARY_PATH": f"{folder}:{os.environ.get('LD_LIBRARY_PATH', '')}",
        "PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}:{os.environ.get('PYTHONPATH', '')}",
    }


_DRIVER = """
int cuCtxGetCurrent(void **context) { static char room[16]; *context = room; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "an error of the null device"; return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = 0; *active = 1; return 0; }
"""


def _empty(names):
    return "\n".join(f"int {name}() {{ return 0; }}" for name in sorted(names))


def _built(library, source):
    command = ["gcc", "-O1", "-shared", "-fPIC", "-w", "-x", "c", "-", f"-I{_INCLUDES}", "-o", str(library)]
    subprocess.run([*command, f"-Wl,-soname,{library.name}"], input=source, text=True, check=True)
    return library


def install():
    """Answer convolutions and checks of numbers, in a program that has the environment."""
    import torch

    from ganshift.methods.transfer import model
    from ganshift.training import grad_accumulation
    from ganshift.training.optim import sum_of

    assert torch.cuda.is_available(), "start with the environment"
    torch.backends.cudnn.enabled = False
    library = torch.library.Library("aten", "IMPL")
    library.impl("convolution", _convolution, "CUDA")
    library.impl("convolution_backward", _convolution_backward, "CUDA")
    install.kept = library  # or else it is undone
    # What the device says of its numbers means nothing: checks of them wait, and are content.
    grad_accumulation.refuse_non_finite = lambda terms: bool(torch.isfinite(sum_of(terms)))
    model.latents_from = lambda latents, dim: latents


def reset():
    """Count from 0."""
    global convolutions
    convolutions = 0
    _counts()[:] = [0] * len(COUNTED)


def counts():
    """What was counted since `reset`, by name; convolutions are among the library calls."""
    found = dict(zip(COUNTED, _counts(), strict=True))
    return found | {"library calls": found["library calls"] + convolutions}


def _counts():
    return (ctypes.c_long * len(COUNTED)).in_dll(ctypes.CDLL(None), "null_counts")


def _layout(*tensors):
    import torch
    from torch._prims_common import suggest_memory_format  # as PyTorch asks for cuDNN

    last = any(suggest_memory_format(tensor) == torch.channels_last for tensor in tensors)
    return torch.channels_last if last else torch.contiguous_format


def _new(shape, like, layout):
    import torch

    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=layout)


def _alike(*tensors):
    assert len({(tensor.device, tensor.dtype) for tensor in tensors if tensor is not None}) == 1, (
        "devices or types differ"
    )


def _convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups):
    global convolutions
    convolutions += 1
    _alike(x, weight, bias)
    sides = zip(x.shape[2:], weight.shape[2:], stride, padding, output_padding, strict=True)
    if transposed:
        shape = [weight.shape[1], *((side - 1) * s - 2 * p + k + more for side, k, s, p, more in sides)]
    else:
        shape = [weight.shape[0], *((side + 2 * p - k) // s + 1 for side, k, s, p, _ in sides)]
    return _new([len(x), *shape], x, _layout(x, weight))


def _convolution_backward(
    grad, x, weight, bias_sizes, stride, padding, dilation, transposed, output_padding, groups, wanted
):
    global convolutions
    convolutions += wanted[0] + wanted[1]
    _alike(grad, weight if wanted[0] else None, x if wanted[1] else None)
    layout = _layout(x, weight, grad)
    of_x = _new(x.shape, grad, layout) if wanted[0] else None
    of_weight = _new(weight.shape, grad, layout) if wanted[1] else None
    return of_x, of_weight, grad.sum((0, 2, 3)) if wanted[2] else None
