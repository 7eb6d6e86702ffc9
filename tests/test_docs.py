"""What the documents say can be typed, opened and found; the two READMEs say the same.

Of the commands in code blocks, `doctor`, `generate`, `translate`, `completion`, `help` and `study --list` are run as
they stand, on small images and untrained networks (`doctor` without its seconds of training). `transfer` and `dual`
resolve their settings (`--dry-run`). The others are parsed with all their options, and then stop: `import` at a
checkpoint that is not there, `study`, `bench` and `demo` at one more option that cannot work, all else at a run that is
not there.
"""

import ast
import json
import pkgutil
import re
import shlex
import shutil
import tomllib
import zipfile
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from mkdocs.commands.build import build
from mkdocs.config import load_config
from PIL import Image
from safetensors.torch import save_file

from ganshift import Generator, Translator
from ganshift.cli import COMMANDS, HELP, OVERVIEW, QUIET, main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
READMES = ("README.md", "README.zh-CN.md")
ENDS = {
    "compare": ([], "there is no card or run folder"),
    "import": ([], "there is no checkpoint"),
    "study": (["--processes", "0"], "processes must be at least 1"),
    "bench": (["--device", "gpu9"], "'gpu9' is not here"),
    "demo": (["--seed", "-1"], "seed must be at least 0"),
}
"""What is added to a command that is only parsed, and what it says in the end."""
AT_A_RUN = ([], "run folder")
"""The same of all commands that begin with a run."""
PROGRAMS = (
    "accelerate",
    "curl",
    "git",
    "make",
    "mkdir",
    "npm",
    "pip",
    "pre-commit",
    "pytest",
    "python",
    "source",
    "tensorboard",
    "torchrun",
    "sh",
)
"""What else a code block may begin a line with."""
NOT_OURS = {
    *(
        "--standalone",
        "--multi_gpu",
        "--num_processes",
        "--nproc_per_node",
        "--nnodes",
        "--node_rank",
        "--master_addr",
        "--master_port",
    ),
    *("--logdir", "--no-samples-shuffle", "--feature-extractor", "--epochs", "--samples", "--rounds", "--cases"),
    *("--list", "--version", *HELP, QUIET),
    *("--against", "--kind", "--count", "--memory-limit", "--opset"),
}
"""Options in running text that no command of ours has: of launchers, TensorBoard, benchmarks, and what is gone."""


def blocks(text, languages=("", "bash", "sh")):
    """The code blocks of a document in one of the languages; blocks without one are commands."""
    return [
        code
        for language, code in re.findall(r"^```(\w*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        if language in languages
    ]


def lines_of(block):
    """The commands of a block, without comments; continued lines are joined."""
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def without_variables(line):
    """A command without the variables that are set for it, and these."""
    variables, command = re.fullmatch(r"((?:[A-Z_]+=\S+ )*)(.*)", line).groups()
    return command, dict(pair.split("=", 1) for pair in variables.split())


def typed():
    """Every line of every block of commands, those of the overview, and the examples below the help of each command."""
    for document in DOCUMENTS:
        for block in blocks(document.read_text(encoding="utf-8")):
            for line in lines_of(block):
                yield f"{document.name}: {line[:70]}", line
    for line in OVERVIEW.splitlines():
        if line.startswith("  ganshift "):
            yield f"overview: {line[:70]}", line.strip()


TYPED = [
    pytest.param(line, id=name)
    for name, line in dict(typed()).items()
    if without_variables(line)[0].startswith("ganshift ")
]


def noise(side=40, seed=0):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


def save_pictures(folder, count=6):
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        noise(seed=number + len(str(folder))).save(folder / f"{folder.name}-{number}.png")


@pytest.fixture(scope="module")
def playground(tmp_path_factory):
    """A folder with the images and untrained networks that the documents name."""
    place = tmp_path_factory.mktemp("playground")
    for name in ("my-images", "photos", "drawings", "more", "more-photos", "mr", "horses", "data/val/A", "data/val/B"):
        save_pictures(place / name)
    for name in ("train/A", "train/B"):
        save_pictures(place / "data" / name)
    for name in ("holiday.jpg", "front.jpg", "sketch.png", "photo.jpg"):
        noise().save(place / name)
    iio.imwrite(place / "clip.mp4", np.zeros((3, 32, 32, 3), dtype=np.uint8), plugin="pyav", codec="libx264", fps=10)
    for name in ("data.zip", "facades.zip", "packed.zip"):
        with zipfile.ZipFile(place / name, "w") as archive:
            for path in sorted((place / "data").rglob("*.png")):
                archive.write(path, path.relative_to(place / "data"))
    torch.manual_seed(0)
    network = {"size": 32, "width": 4, "channels": 3, "num_classes": 3, "norm": True}
    classes = ["cat", "dog", "rose"]
    save_run(
        place / "generator",
        {"method": "transfer", "generator": network, "classes": classes},
        Generator(network, classes),
    )
    unet = {"in_channels": 3, "out_channels": 3, "width": 4, "levels": 5, "size": 32}
    unet |= {"dropout": 0.0, "as_published": False}
    config = {"method": "dual", "gen_ab": unet, "gen_ba": unet, "names": {"a": "photos", "b": "drawings"}}
    save_run(place / "translator", config, Translator(unet, unet))
    return place


def save_run(folder, config, model):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")


def words_of(line):
    """What follows `ganshift`, without comments and redirections."""
    words = shlex.split(line, comments=True)[1:]
    return words[: words.index(">")] if ">" in words else words


@pytest.mark.parametrize("line", TYPED)
def test_commands_can_be_typed(line, playground, monkeypatch, capsys):
    line, variables = without_variables(line)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    command, *rest = words_of(line)
    monkeypatch.chdir(playground)
    if command == "--version" or command == "help" or set(HELP) & set(rest):
        assert main([command, *rest]) == 0
    elif command in ("transfer", "dual"):
        assert main([command, *rest, "--dry-run"]) == 0
    elif command in ("generate", "translate"):
        shutil.rmtree(rest[0], ignore_errors=True)
        shutil.copytree({"generate": "generator", "translate": "translator"}[command], rest[0])
        assert main([command, *rest]) == 0
        assert "wrote" in capsys.readouterr().err
    elif command == "doctor":
        assert main([command, *rest, "--seconds", "0"]) == 0
    elif command == "completion" or "--list" in rest:
        assert main([command, *rest]) == 0
    else:
        more, end = ENDS.get(command, AT_A_RUN)
        monkeypatch.chdir(playground / "photos")  # where there are no runs
        assert main([command, *rest, *more]) == 2
        assert end in capsys.readouterr().err


def help_of(command, capsys):
    assert main([command, "--help-all"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_examples_of_the_help_can_be_typed(command, playground, monkeypatch, capsys):
    lines = help_of(command, capsys).split("\nexamples\n")[1].splitlines()
    for line in (line.strip() for line in lines if "ganshift " in line):
        test_commands_can_be_typed(line, playground, monkeypatch, capsys)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_other_programs_are_known(document):
    """What is no command of ours is one that the environment has; output stands in blocks marked as text."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for block in blocks(document.read_text(encoding="utf-8")):
        for line in lines_of(block):
            program, *rest = shlex.split(without_variables(line)[0], comments=True)
            program = Path(program).name
            assert program in ("ganshift", *PROGRAMS), line
            if program == "python":
                script = ROOT / (rest[1].replace(".", "/") + ".py" if rest[0] == "-m" else rest[0])
                source = script.read_text(encoding="utf-8")
                if "from benchmarks.equal_time import" in source:  # has the options of all comparisons
                    source += (ROOT / "benchmarks/equal_time.py").read_text(encoding="utf-8")
                assert all(f'"{word}"' in source for word in rest if word.startswith("--")), line
            elif program == "sh":
                assert (ROOT / rest[0]).is_file(), line
            elif program == "pip":
                assert all(extra in extras for extra in re.findall(r"\[(\w+)\]", line)), line


def test_options_in_running_text_exist(capsys):
    known = set(NOT_OURS)
    for command in COMMANDS:
        lines = [line for line in help_of(command, capsys).splitlines() if re.match("[│ ] -", line)]
        known |= {name for line in lines for name in re.findall(r"(?<![\w-])--[a-z][\w-]*", line)}
    for document in DOCUMENTS:
        text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`([^`]+)`", text):
            for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code):
                assert option in known, f"{document.name}: {code}"


def test_python_of_the_readme_runs_and_all_of_it_imports(playground, monkeypatch):
    monkeypatch.chdir(playground)
    for document in DOCUMENTS:
        for block in blocks(document.read_text(encoding="utf-8"), languages=("python",)):
            tree = ast.parse(block)
            if document.name in READMES:
                for run, kind in (("runs/mine", "generator"), ("runs/drawings", "translator")):
                    shutil.rmtree(run, ignore_errors=True)
                    shutil.copytree(kind, run)
            else:
                tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
            exec(compile(tree, document.name, "exec"), {})


def test_the_study_of_the_documents_is_a_recipe(tmp_path):
    from ganshift.tools.study.recipe import open_study

    for document in DOCUMENTS:
        for number, block in enumerate(blocks(document.read_text(encoding="utf-8"), languages=("toml",))):
            path = tmp_path / f"{document.stem}-{number}.toml"
            path.write_text(block, encoding="utf-8")
            assert open_study(str(path)).recipe.name == path.stem


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_pictures_exist(document):
    text = document.read_text(encoding="utf-8")
    assert "PLACEHOLDER" not in text
    targets = re.findall(r"\]\(([^)#]+)", text)
    for target in targets:
        if not target.startswith("https://"):
            assert (document.parent / target).exists(), target


def test_make_targets_of_the_documents_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for document in DOCUMENTS:
        for target in re.findall(r"`make (\w+)`|^make (\w+)", document.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target


def test_functions_of_the_equations_exist():
    names = re.findall(r"`(ganshift(?:\.\w+)+)`", (ROOT / "docs" / "equations.md").read_text(encoding="utf-8"))
    assert len(names) > 30
    for name in names:
        assert callable(pkgutil.resolve_name(name)), name


def test_published_flags_are_in_their_table():
    """Every flag of both published codes, as the table of what has to be reproduced lists them."""
    text = (ROOT / "docs" / "from-published-code.md").read_text(encoding="utf-8")
    transfer = "LR DECAY batch_size GEN_BS_MULTIPLE ITERS DIM_G DIM_D NORMALIZATION_G NORMALIZATION_D OUTPUT_DIM"
    transfer += " CONDITIONAL ACGAN acgan_scale acgan_scale_g N_CRITIC INCEPTION_FREQUENCY"
    dual = (
        "image_size gcn dcn A_channels B_channels dropout_rate loss_metric niter lr beta1 flip dataset epoch batch_size"
    )
    dual += " lambda_A lambda_B GAN_type clip_value n_critic disc_type log_freq save_freq"
    first, second = text.split("## DualGAN")
    for flags, part in ((transfer, first), (dual, second)):
        for flag in flags.split():
            assert f"`{flag}`" in part or f"`{flag} " in part, flag


def test_both_readmes_have_the_same_commands_pictures_links_and_figures():
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in READMES]
    assert READMES[1] in texts[0]
    assert READMES[0] in texts[1]
    commands, programs, targets, figures = (
        [[lines_of(block) for block in blocks(text)] for text in texts],
        [[ast.dump(ast.parse(block)) for block in blocks(text, ("python",))] for text in texts],
        [sorted(set(re.findall(r"\]\(([^)]+)", text)) - set(READMES)) for text in texts],
        [
            sorted(re.findall(r"\d[\d,.]*\d|\d", re.sub(r"```.*?```|\([^()\s]*/[^()\s]*\)", "", text, flags=re.DOTALL)))
            for text in texts
        ],
    )
    for english, chinese in (commands, programs, targets, figures):
        assert english == chinese


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the documents as pages."""
    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(folder))
    config["plugins"].on_startup(command="build", dirty=False)
    build(config)
    return folder


def test_the_site_has_the_pictures_and_the_links_between_pages(site):
    for document in (ROOT / "docs").rglob("*.md"):
        text = re.sub(r"```.*?```|`[^`]+`", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
        shown = (site / document.relative_to(ROOT / "docs")).with_suffix(".html").read_text(encoding="utf-8")
        for picture, target in re.findall(r"(!?)\[[^\]]*\]\(([^)#]+)", text):
            if (ROOT / "docs") in (document.parent / target).resolve().parents:
                kind, address = "src" if picture else "href", re.sub(r"\.md$", ".html", target)
                assert re.search(f'{kind}="{re.escape(address)}["#]', shown), f"{document.name}: {target}"


def test_the_site_loads_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "equations.html", "troubleshooting.html"} <= {page.name for page in pages}
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=\"([^\"]+)", text)
        loaded += [tag for tag in re.findall(r"<link\b[^>]*>", text) if "canonical" not in tag]
        assert not [one for one in loaded if "//" in one], page.name
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8")
