"""What the documents say can be typed, opened and found."""

import re
import shlex
from pathlib import Path

import pytest

from ganshift.cli import COMMANDS, OVERVIEW, main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def commands():
    """Every ganshift command in a code block of a document, and in the overview; continued lines are joined."""
    for document in DOCUMENTS:
        for block in re.findall(r"```\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("ganshift "):
                    yield pytest.param(line, id=f"{document.name}: {line[:60]}")
    for line in OVERVIEW.splitlines():
        if line.startswith("  ganshift "):
            yield pytest.param(line.strip(), id=f"overview: {line[:60]}")


@pytest.mark.parametrize("line", list(commands()))
def test_commands_can_be_typed(line, capsys):
    """Settings of training commands resolve; the other commands get as far as the run folder, which is not here."""
    _, command, *rest = shlex.split(line)
    assert command in COMMANDS
    if command in ("transfer", "dual"):
        assert main([command, *rest, "--dry-run"]) == 0
    elif command in ("generate", "translate"):
        assert main([command, *rest]) == 2
        assert "there is no run folder" in capsys.readouterr().err
    else:
        with pytest.raises(SystemExit):
            main([command, *rest, "--help"])


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
        for target in re.findall(r"`?make (\w+)`?$|^make (\w+)", document.read_text(encoding="utf-8"), re.MULTILINE):
            assert re.search(rf"^{''.join(target)}:", makefile, re.MULTILINE), target
