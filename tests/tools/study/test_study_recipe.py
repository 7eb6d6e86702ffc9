"""Recipes: what they may say, what they stand for, and what is said of those that cannot be."""

import tomllib
from pathlib import Path

import pytest
from recipes import TINY, write_recipe

from ganshift.errors import UserError
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.transfer.config import TransferConfig
from ganshift.tools.study.recipe import open_study, shipped


def study_of(tmp_path, text, given=()):
    return open_study(str(write_recipe(tmp_path, text)), given, tmp_path)


def test_grid_in_order(tmp_path):
    study = study_of(tmp_path, TINY)
    assert [cell.place for cell in study.cells] == [
        "cells/augment-no_seed-0",
        "cells/augment-no_seed-1",
        "cells/augment-color_seed-0",
        "cells/augment-color_seed-1",
    ]
    assert (study.labels("augment"), study.labels("seed")) == (["no", "color"], ["0", "1"])
    assert study.recipe.compared == "augment"
    first, last = study.cells[0].config, study.cells[-1].config
    assert isinstance(first, TransferConfig)
    assert (first.augment, first.seed, last.augment, last.seed) == ("", 0, "color", 1)
    assert (first.images, first.batch, first.data) == (48, 4, Path("bundled:faces"))
    assert first.out == tmp_path.resolve() / "cells" / "augment-no_seed-0"
    assert study.cells[0].evaluation == {"metrics": ["fid", "kid"], "num_images": 64, "reference": "bundled:faces"}
    assert study.cells[0].measures() == {"metrics": ("fid", "kid"), "num_images": 64}


def test_a_study_lies_in_runs_by_the_name_of_its_recipe(tmp_path):
    assert open_study(str(write_recipe(tmp_path))).out == Path("runs/tiny")


def test_a_budget_replaces_that_of_the_preset_and_values_take_the_type_of_their_setting(tmp_path):
    text = TINY.replace("images = 48", "iterations = 3\npenalty = 5")
    config = study_of(tmp_path, text).cells[0].config
    assert (config.images, config.iterations) == (None, 3)
    assert isinstance(config.penalty, float)


def test_sources_come_first_and_are_needed(tmp_path):
    text = TINY.replace(
        "[grid]", '[sources."all digits"]\ndata = "bundled:digits"\nimages = 16\n\n[grid]\nsource = ["all digits"]'
    )
    source, cell, *_ = study_of(tmp_path, text).cells
    assert (source.place, source.evaluation, source.source) == ("sources/all-digits", None, None)
    assert cell.source is source
    assert source.config.images == 16
    assert cell.config.source == str(tmp_path.resolve() / "sources" / "all-digits")
    assert cell.labels["source"] == "all digits"


INPUTS = TINY.replace(
    "[settings]", "[inputs]\nfirst = { about = 'faces' }\nother = { default = 'x' }\n[settings]"
).replace('"bundled:faces"', '"$first"')


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        (["my=faces/"], {"first": "my=faces/", "other": "x"}),
        (["first=a"], {"first": "a", "other": "x"}),
        (["other=y", "a"], {"first": "a", "other": "y"}),
    ],
)
def test_inputs(tmp_path, given, inputs):
    study = study_of(tmp_path, INPUTS, given)
    assert study.inputs == inputs
    assert study.cells[0].config.data == Path(inputs["first"])
    assert study.cells[0].evaluation["reference"] == inputs["first"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('method = "transfer"', 'method = "transfr"', "there is no method 'transfr'; did you mean transfer"),
        ('method = "transfer"', "", "method is missing"),
        ('preset = "tiny"', 'preset = "tinny"', "no preset of transfer 'tinny'; did you mean tiny"),
        ('preset = "tiny"', "", "settings need a preset"),
        ("images = 48", "imagse = 48", "no setting 'imagse'; did you mean images"),
        ("images = 48", "images = 'many'", "images must be of type int, got 'many'"),
        ("images = 48", "images = 48\nfast = 1", "fast must be of type bool, got 1"),
        ("images = 48", "images = 48\nload = 'some'", "load must be one of both, generator, critic, none"),
        ("images = 48", "images = -1", "images must be more than 0, got -1"),
        ('data = "bundled:faces"', "", "reference"),
        ('data = "bundled:faces"', 'data = "$mine"', "no input .* 'mine'"),
        ("[grid]", "[grids]", "no setting 'grids'; did you mean grid"),
        ("seed = [0, 1]", "seed = 3", "seed must be a list"),
        ("seed = [0, 1]", "seed = []", "seed must be a list"),
        ("seed = [0, 1]", "seed = [0, 0]", "two cells are called cells/augment-no_seed-0"),
        ("seed = [0, 1]", "seed = [{ seed = 1 }]", "a table without a label"),
        ("num_images", "num_image", "no setting 'num_image'; did you mean num_images"),
        ("num_images = 64", "num_images = 'all'", "num_images must be of type int, got 'all'"),
        ('about = "Does anything change?"', "about = 3", "about must be of type str"),
        ("[settings]", "lines = 'axis'\n[settings]", "no axis of the grid 'axis'"),
        ("[settings]", "sources = 3\n[settings]", "sources must be of type dict"),
        ("[settings]", "inputs.mine = 'faces/'\n[settings]", "inputs.mine must be a table"),
        ("[settings]", "sources.mine = 'faces/'\n[settings]", "sources.mine must be a table"),
        ("images = 48", "images = 48\nsource = ['digits32']", "source must be of type str"),
        ("[settings]", "[settings", "cannot read recipe"),
    ],
)
def test_errors(tmp_path, before, after, message):
    assert before in TINY
    with pytest.raises(UserError, match=message) as error:
        study_of(tmp_path, TINY.replace(before, after))
    assert "\n" not in str(error.value)


def test_what_a_method_needs_is_named(tmp_path):
    text = TINY.replace('data = "bundled:faces"', "").replace("num_images", 'reference = "x"\nnum_images')
    with pytest.raises(UserError, match=r"data is missing$"):
        study_of(tmp_path, text)


def test_names_of_recipes(tmp_path):
    with pytest.raises(UserError, match="no recipe 'table1-smal'; did you mean table1-small"):
        open_study("table1-smal")
    with pytest.raises(UserError, match=r"no recipe none\.toml; .*--list"):
        open_study("none.toml")
    with pytest.raises(UserError, match=r"--data first=\.\.\. \(faces\)"):
        study_of(tmp_path, INPUTS)
    with pytest.raises(UserError, match="takes no --data"):
        study_of(tmp_path, TINY, ["faces/"])
    with pytest.raises(UserError, match="name at least one setting"):
        study_of(tmp_path, TINY[: TINY.index("[grid]")])


CELLS = {
    "classifier": 3,
    "dual": 36,
    "dual-small": 24,
    "freeze-augment-small": 12,
    "sources-small": 12,
    "table1": 12,
    "table1-small": 12,
    "table2": 42,
    "table2-small": 18,
    "table4": 60,
    "table4-small": 19,
    "table6": 9,
    "table6-small": 10,
    "table7": 18,
    "table7-small": 19,
}
"""Shipped recipes, and how many runs each stands for, sources included."""


def test_these_recipes_ship():
    assert set(shipped()) == set(CELLS)


@pytest.mark.parametrize("name", CELLS)
def test_shipped_recipes(name, tmp_path):
    """Each says what it asks and where numbers were published, and every cell has the settings of a real run."""
    text = shipped()[name].read_text(encoding="utf-8")
    assert text.startswith("# ")
    small = name.endswith("-small")
    wanted = [] if small else [f"{given}=somewhere" for given in tomllib.loads(text)["inputs"]]
    study = open_study(name, wanted, tmp_path)
    assert len(study.cells) == CELLS[name]
    assert study.recipe.about.endswith("?")
    assert "arXiv" in study.recipe.published
    for cell in study.cells:
        assert isinstance(cell.config, {"transfer": TransferConfig, "dual": DualConfig}[study.recipe.method])
        if cell.evaluation is not None:
            assert cell.measures()["metrics"]
    if not small:
        with pytest.raises(UserError, match="it needs your data: give --data"):
            open_study(name)
