"""Imports go one way, and importing the package costs nothing."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

import ganshift
from ganshift.cli import COMMANDS
from ganshift.methods.registry import methods

ROOT = Path(ganshift.__file__).parent
LAYERS = [
    {"errors"},
    {"files", "tensors"},
    {"nn", "data"},
    {"training"},
    {"metrics"},
    {"inference"},
    {"methods"},
    {"tools"},
    {"cli"},
    {"__main__"},
]
"""Rooms from bottom to top; a room may import from the layers below it."""
METHODS = [name for name in methods() if (ROOT / "methods" / name).is_dir()]
"""The methods of this package."""


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imports(path: Path):
    """Absolute names of the ganshift modules that a file imports, wherever in the file."""
    package = ["ganshift", *path.relative_to(ROOT).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: -node.level]
            if node.module:
                yield ".".join([*base, node.module])
            else:
                yield from (".".join([*base, alias.name]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def files():
    return sorted(path for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    room = room_of(".".join(["ganshift", *path.relative_to(ROOT).with_suffix("").parts]))
    if room == "__init__":
        return  # the public names, resolved lazily
    height = next(index for index, layer in enumerate(LAYERS) if room in layer)
    below = set().union(*LAYERS[:height])
    for module in imports(path):
        if module.split(".")[0] == "ganshift":
            other = room_of(module)
            allowed = other in below or other in ("", room, "__version__")
            assert allowed, f"{room} imports {other}"


def docstrings(tree: ast.AST) -> set[int]:
    """The ids of the nodes that are strings standing by themselves: they explain, and nothing reads them."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


@pytest.mark.parametrize(
    "path",
    [
        path
        for path in files()
        if path.relative_to(ROOT).parts[:2] not in {("methods", name) for name in (*METHODS, "registry.py")}
        and path != ROOT / "__init__.py"
    ],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_only_the_registry_knows_a_method(path):
    rooms = tuple(f"ganshift.methods.{name}" for name in METHODS)
    assert [module for module in imports(path) if module.startswith(rooms)] == []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    explaining = docstrings(tree)
    named = [
        f"line {node.lineno}: {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in METHODS and id(node) not in explaining
    ]
    assert named == []


def test_a_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for path in files():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_every_room_has_a_place():
    rooms = {room_of(".".join(["ganshift", *path.relative_to(ROOT).with_suffix("").parts])) for path in files()}
    assert rooms - {"__init__"} == set().union(*LAYERS)


@pytest.mark.parametrize("arguments", [["--help"], [], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_imports_no_torch(arguments):
    code = f"import sys; from ganshift.cli import main\nassert main({arguments!r}) == 0\n"
    code += "assert 'torch' not in sys.modules, 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_public_names():
    assert ganshift.__all__ == [
        "DualConfig",
        "Generator",
        "TransferConfig",
        "Translator",
        "UserError",
        "import_checkpoint",
        "train_dual",
        "train_transfer",
    ]
    for name in ganshift.__all__:
        assert getattr(ganshift, name).__module__.startswith("ganshift.")
