"""Recipes: what they may say, what they stand for, and what is said of those that cannot be."""

import tomllib
from pathlib import Path

import pytest
from recipes import TINY, write_recipe

from ganshift.errors import UserError
from ganshift.methods.dual.config import DualConfig
from ganshift.methods.transfer.config import TransferConfig
from ganshift.tools.study.recipe import load_recipe, shipped
from ganshift.tools.study.worker import evaluation_settings


def recipe_of(tmp_path, text, given=()):
    return load_recipe(str(write_recipe(tmp_path, text)), given)


def test_grid_in_order(tmp_path):
    recipe = recipe_of(tmp_path, TINY)
    assert [cell.place for cell in recipe.cells] == [
        "cells/augment-no_seed-0",
        "cells/augment-no_seed-1",
        "cells/augment-color_seed-0",
        "cells/augment-color_seed-1",
    ]
    assert recipe.axes == {"augment": ["no", "color"], "seed": ["0", "1"]}
    assert recipe.lines == "augment"
    first, last = (recipe.cells[index].config(tmp_path) for index in (0, -1))
    assert isinstance(first, TransferConfig)
    assert (first.augment, first.seed, last.augment, last.seed) == ("", 0, "color", 1)
    assert (first.images, first.batch, first.data) == (48, 4, Path("bundled:faces"))
    assert first.out == tmp_path.resolve() / "cells" / "augment-no_seed-0"
    assert recipe.cells[0].evaluation == {"metrics": ["fid", "kid"], "num_images": 64, "reference": "bundled:faces"}


def test_a_budget_replaces_that_of_the_preset_and_values_take_the_type_of_their_setting(tmp_path):
    text = TINY.replace("images = 48", "iterations = 3\npenalty = 5")
    config = recipe_of(tmp_path, text).cells[0].config(tmp_path)
    assert (config.images, config.iterations) == (None, 3)
    assert isinstance(config.penalty, float)


def test_sources_come_first_and_are_needed(tmp_path):
    text = TINY.replace(
        "[grid]", '[sources."all digits"]\ndata = "bundled:digits"\nimages = 16\n\n[grid]\nsource = ["all digits"]'
    )
    recipe = recipe_of(tmp_path, text)
    source, cell = recipe.cells[:2]
    assert (source.place, source.evaluation, source.needs, cell.needs) == (
        "sources/all-digits",
        None,
        None,
        "all-digits",
    )
    assert source.config(tmp_path).images == 16
    assert cell.config(tmp_path).source == str(tmp_path.resolve() / "sources" / "all-digits")
    assert cell.settings["source"] == "all digits"


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
    recipe = recipe_of(tmp_path, INPUTS, given)
    assert recipe.inputs == inputs
    assert recipe.cells[0].settings["data"] == inputs["first"]
    assert recipe.cells[0].evaluation["reference"] == inputs["first"]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('method = "transfer"', 'method = "transfr"', "there is no method 'transfr'; did you mean transfer"),
        ('method = "transfer"', "", "there is no method None; there are transfer, dual"),
        ('preset = "tiny"', 'preset = "tinny"', "no preset of transfer 'tinny'; did you mean tiny"),
        ('preset = "tiny"', "", "needs a preset"),
        ("images = 48", "imagse = 48", "no setting 'imagse'; did you mean images"),
        ("images = 48", "images = 'many'", "images must be a whole number, got 'many'"),
        ("images = 48", "images = 48\nfast = 1", "fast must be true or false, got 1"),
        ("images = 48", "images = 48\nload = 'some'", "load must be one of both, generator, critic, none"),
        ("images = 48", "images = -1", "images must be more than 0, got -1"),
        ('data = "bundled:faces"', "", "reference"),
        ('data = "bundled:faces"', 'data = "$mine"', "no input for data"),
        ("[grid]", "[grids]", "no entry of a recipe .* did you mean grid"),
        ("seed = [0, 1]", "seed = 3", "seed must be a list"),
        ("seed = [0, 1]", "seed = []", "seed must be a list"),
        ("seed = [0, 1]", "seed = [0, 0]", "two cells are called cells/augment-no_seed-0"),
        ("seed = [0, 1]", "seed = [{ seed = 1 }]", "a table without a label"),
        ("num_images", "num_image", "no setting of the evaluation 'num_image'; did you mean num_images"),
        ('about = "Does anything change?"', "about = 3", "about must be a text"),
        ("[settings]", "lines = 'axis'\n[settings]", "no axis of the grid 'axis'"),
        ("[settings]", "sources = 3\n[settings]", "sources must be a table"),
        ("[settings]", "inputs.mine = 'faces/'\n[settings]", "inputs.mine must be a table"),
        ("[settings]", "sources.mine = 'faces/'\n[settings]", "sources.mine must be a table"),
        ("images = 48", "images = 48\nsource = ['digits32']", "source must be a text"),
        ("[settings]", "[settings", "cannot read recipe"),
    ],
)
def test_errors(tmp_path, before, after, message):
    assert before in TINY
    with pytest.raises(UserError, match=message) as error:
        recipe_of(tmp_path, TINY.replace(before, after))
    assert "\n" not in str(error.value)


def test_what_a_method_needs_is_named(tmp_path):
    text = TINY.replace('data = "bundled:faces"', "").replace("num_images", 'reference = "x"\nnum_images')
    with pytest.raises(UserError, match=r"data is missing: a recipe names it among its settings or in its grid$"):
        recipe_of(tmp_path, text)


def test_names_of_recipes(tmp_path):
    with pytest.raises(UserError, match="no recipe 'table1-smal'; did you mean table1-small"):
        load_recipe("table1-smal")
    with pytest.raises(UserError, match=r"no recipe none\.toml; .*--list"):
        load_recipe("none.toml")
    with pytest.raises(UserError, match=r"--data first=\.\.\. \(faces\)"):
        recipe_of(tmp_path, INPUTS)
    with pytest.raises(UserError, match="takes no --data"):
        recipe_of(tmp_path, TINY, ["faces/"])
    with pytest.raises(UserError, match="name at least one setting"):
        recipe_of(tmp_path, TINY[: TINY.index("[grid]")])


CELLS = {
    "dual": 36,
    "dual-small": 24,
    "freeze-augment-small": 12,
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
    recipe = load_recipe(name, wanted)
    assert len(recipe.cells) == CELLS[name]
    assert recipe.about.endswith("?")
    assert "arXiv" in recipe.published
    for cell in recipe.cells:
        config = cell.config(tmp_path)
        assert isinstance(config, {"transfer": TransferConfig, "dual": DualConfig}[recipe.method])
        if cell.evaluation is not None:
            assert evaluation_settings(cell.evaluation)["metrics"]
    if not small:
        with pytest.raises(UserError, match="it leaves to you what to use: give --data"):
            load_recipe(name)
