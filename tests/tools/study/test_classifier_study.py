"""Does it help my classifier? Verdicts on sets of known answers, and the study from its recipe to its page."""

import json

import numpy as np
import pytest
import torch
from accessibility import in_the_way
from recipes import write_recipe
from sklearn.datasets import load_digits

from ganshift.cli import main
from ganshift.data.bundled import digits
from ganshift.data.datasets import without_third
from ganshift.errors import UserError
from ganshift.tools.study.answers import NETWORK, PROBE, Answers
from ganshift.tools.study.classifier import CHANGED, ask_classifiers, changed
from ganshift.tools.study.probes import LinearProbe, arms, small_network
from ganshift.tools.study.recipe import open_study
from ganshift.tools.study.verdict import Trial, accuracy, closeness, compare
from ganshift.tools.study.worker import train_and_measure

AMOUNTS = (0.5, 1.0, 2.0, 5.0)


def digits_set(seed, kind, sizes=(12, 8, 14, 10, 6)):
    """Trials on handwritten digits, whose 64 pixels are the features, judged by 60 more of each class."""
    found, draw = load_digits(), np.random.default_rng(seed)
    classes = draw.choice(10, len(sizes), replace=False)
    places = [draw.permutation(np.flatnonzero(found.target == number)) for number in classes]
    learned = np.concatenate([each[:size] for each, size in zip(places, sizes, strict=True)])
    asked = np.concatenate([each[-60:] for each in places])
    numbers, of_asked = np.repeat(np.arange(5), sizes), np.repeat(np.arange(5), 60)
    features, trials = found.data.astype(np.float32), []
    for _ in range(3):
        wanted = np.concatenate([draw.permutation(numbers) for _ in range(5)])
        pools = [each[:size] if kind == "copies" else each[size:-60] for each, size in zip(places, sizes, strict=True)]
        stand_ins = np.array([draw.choice(pools[number]) for number in wanted])
        if kind == "wrong labels":
            wanted = draw.permutation(wanted)
        everything, of_class = features[np.concatenate([learned, stand_ins])], np.concatenate([numbers, wanted])
        probe = LinearProbe(features[learned], numbers)
        weights = arms(len(learned), 0, len(stand_ins), AMOUNTS)
        said = {arm: probe.learn(everything, of_class, weight, features[asked]) for arm, weight in weights.items()}
        trials.append(Trial(tuple(map(str, asked)), of_asked, said))
    return trials


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("kind", "word"), [("copies", "no difference shown"), ("more real images", "helps"), ("wrong labels", "hurts")]
)
def test_verdicts_where_the_answer_is_known(kind, word, seed):
    assert compare(digits_set(seed, kind), closeness).word == word


def test_copies_of_all_images_change_nothing():
    """An image that is there twice weighs twice, so a set and its copies are the set."""
    features = load_digits().data[:60].astype(np.float32)
    numbers = load_digits().target[:60] % 3
    probe, weights = LinearProbe(features, numbers), arms(60, 0, 60, (1.0,))
    twice, both = np.concatenate([features, features]), np.concatenate([numbers, numbers])
    plain, augmented, more = (probe.learn(twice, both, weight, features) for weight in weights.values())
    np.testing.assert_allclose(plain, augmented)
    np.testing.assert_allclose(more, plain, atol=2e-3)


def test_weights_of_arms():
    found = arms(num_real=2, num_changed=2, num_generated=4, amounts=(0.5, 2.0))
    assert {arm: weights.tolist() for arm, weights in found.items()} == {
        "real": [1, 1, 0, 0, 0, 0, 0, 0],
        "augmented": [0.5, 0.5, 0.5, 0.5, 0, 0, 0, 0],
        "real + 0.5 generated": [1, 1, 0, 0, 1, 0, 0, 0],
        "real + 2 generated": [1, 1, 0, 0, 1, 1, 1, 1],
    }


def test_scores_by_hand():
    said, classes = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]), np.array([0, 0, 0])
    assert closeness(said, classes).tolist() == [1.0, 0.75, 0.0]
    assert accuracy(said, classes).tolist() == [1.0, 1.0, 0.0]


def trial(right, names="abcdefgh"):
    """A trial of two arms without generated images, the second never right, and one with."""
    classes = np.array([0, 1] * 4)
    arm = {True: np.eye(2)[classes], False: np.eye(2)[1 - classes]}
    return Trial(tuple(names), classes, {"real": arm[right[0]], "augmented": arm[False], "more": arm[right[1]]})


def test_comparison_by_hand():
    found = compare([trial((False, True))], accuracy)
    assert found.means == {"real": 0.0, "augmented": 0.0, "more": 1.0}
    change = found.changes["more"]
    assert (change.value, change.low, change.high, found.word) == (1.0, 1.0, 1.0, "helps")
    assert [each.word for each in found.of_classes["more"]] == ["helps", "helps"]
    assert compare([trial((True, False))], accuracy).word == "hurts"
    equal = compare([trial((True, True))], accuracy)
    assert (equal.baseline, equal.changes["more"].low, equal.word) == ("real", 0.0, "no difference shown")


def test_what_is_shown_as_nothing_is_nothing():
    classes, said = np.array([0, 1] * 4), np.full((8, 2), 0.5)
    nearer = said + 0.0001 * (2 * np.eye(2)[classes] - 1)
    found = compare([Trial(tuple("abcdefgh"), classes, {"real": said, "augmented": said, "more": nearer})], closeness)
    assert 0 < found.changes["more"].low < 0.0005
    assert found.word == "no difference shown"


def test_trials_that_disagree_show_nothing():
    trials = [trial((False, True)), trial((False, True), "ijklmnop"), trial((True, True), "qrstuvwx")]
    found = compare(trials, accuracy)
    assert found.changes["more"].low > 0
    assert found.word == "no difference shown"


def test_an_image_that_all_trials_held_out_counts_once():
    one, three = (compare([trial((False, True))] * number, accuracy) for number in (1, 3))
    assert one == three
    half = trial((False, True))
    half.said["more"] = half.said["more"].copy()
    half.said["more"][:4] = half.said["real"][:4]
    once, thrice = (compare([half] * number, accuracy).changes["more"] for number in (1, 3))
    assert once == thrice
    assert once.low < once.value == 0.5 < once.high


def test_the_small_network_learns_what_has_weight():
    """Dark or light squares, and as many with wrong labels, which count only where they have weight."""
    classes = np.arange(40) % 2
    images = torch.from_numpy(np.where(classes, 200, 50).astype(np.uint8))[:, None, None, None].repeat(1, 3, 32, 32)
    both, numbers = torch.cat([images, images]), np.concatenate([classes, 1 - classes])
    for weight, right in (((1.0, 0.0), 1.0), ((0.0, 1.0), 0.0)):
        said = small_network(both, numbers, np.repeat(weight, 40), images)
        assert accuracy(said, classes).mean() == right
        np.testing.assert_allclose(said.sum(1), 1)


def test_changed_versions():
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32), dtype=np.uint8))
    images[:, 3] = 255
    found = changed(images, mirror=True)
    assert found.shape == (CHANGED * 3, 4, 32, 32)
    assert torch.equal(found, changed(images, mirror=True))
    assert (found[:, 3] == 255).all()
    flat = changed(torch.full((50, 1, 8, 8), 128, dtype=torch.uint8), mirror=False)
    assert (flat.flatten(1) == flat[:, 0, :1, :1].flatten(1)).all()
    assert 128 - 27 <= flat.min() < 128 < flat.max() <= 128 + 27


def test_thirds_are_stratified_and_make_up_the_set():
    images = digits(8, classes=range(5), part=slice(50))
    parts = [without_third(images, third) for third in ("1/3", "2/3", "3/3")]
    held = [set(out.names) for _, out in parts]
    assert sorted(name for names in held for name in names) == sorted(images.names)
    for kept, out in parts:
        assert set(kept.names) | set(out.names) == set(images.names)
        counts, of_all = (np.bincount(each.labels, minlength=5) for each in (out, images))
        assert (abs(counts - of_all / 3) < 1).all()


SMALL = """
method = "transfer"

[inputs.target]

[settings]
preset = "tiny"
images = 16
size = 32
conditioning = "acgan"
data = "$target"

[grid]
seed = [{ label = "0", seed = 0, hold_out = "1/3" }, { label = "1", seed = 1, hold_out = "2/3" }]

[evaluation]
metrics = ["kid"]
num_images = 20

[evaluation.classifier]
amounts = [1]
extractor = "cifar"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Thirty digits as files, one folder per class."""
    from PIL import Image

    place = tmp_path_factory.mktemp("classes")
    images = digits(32, classes=range(3), part=slice(30))
    for name, number, pixels in zip(images.names, images.labels, images.pixels, strict=True):
        (place / images.classes[number]).mkdir(exist_ok=True)
        Image.fromarray(pixels[0].numpy()).save(place / images.classes[number] / f"{name.replace('/', '-')}.png")
    return place


@pytest.fixture(scope="module")
def study(folder):
    study = open_study(str(write_recipe(folder.parent, SMALL)), [str(folder)], folder.parent / "study")
    (study.out / "state").mkdir(parents=True)
    assert [train_and_measure(cell) for cell in study.cells] == [None, None]
    assert main(command(study, folder)) == 0
    return study


def command(study, folder):
    return ["study", str(folder.parent / "tiny.toml"), "--data", str(folder), "--out", str(study.out)]


def test_runs_leave_out_what_they_are_judged_by(study):
    answers = [Answers.of_run(cell.run) for cell in study.cells]
    held = [set(each.trials[PROBE].names) for each in answers]
    assert not held[0] & held[1]
    for each, cell in zip(answers, study.cells, strict=True):
        trial = each.trials[NETWORK]
        assert each.num_real == json.loads((cell.run / "config.json").read_text())["data"]["images"]
        assert each.num_real + len(trial.names) == 30
        assert list(trial.said) == ["real", "augmented", "real + 1 generated"]
        for said in trial.said.values():
            np.testing.assert_allclose(said.sum(1), 1, atol=1e-3)
        assert 0 <= each.near_copies <= 1


def test_the_copying_check_finds_the_images_of_such_a_run(study):
    from ganshift.tools.evaluate.copying import check_copying

    cell = study.cells[0]
    verdict = check_copying(cell.run, num_images=8)
    answers = Answers.of_run(cell.run)
    assert (verdict.num_training, verdict.num_held_out) == (answers.num_real, 30 - answers.num_real)


def test_page_and_table(study, folder, capsys):
    assert main(command(study, folder)) == 0
    output = capsys.readouterr()
    assert "real + 1 generated" in output.out
    said = " ".join(output.err.split())
    assert "Do generated images help a classifier?" in said
    assert "alarm of the copying check" in said
    html = (study.out / "results.html").read_text(encoding="utf-8")
    for text in ("Do generated images help a classifier?", "Linear probe", "Small network", "class by class"):
        assert text in html


def test_everybody_can_use_the_page(tab, study):
    """The tables of verdicts, which no other page has."""
    tab.goto((study.out / "results.html").as_uri())
    assert tab.evaluate("document.documentElement.scrollHeight") < 3_500
    assert in_the_way(tab) == []


def test_a_cell_without_answers_is_not_finished(study):
    cell = study.cells[0]
    kept = (cell.run / "classifier.json").read_text()
    (cell.run / "classifier.json").write_text(kept[:100])
    assert not cell.finished
    (cell.run / "classifier.json").write_text(kept)
    assert cell.finished


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("amounts = [1]", "amounts = []", "at least one amount"),
        ("amounts = [1]", "amounts = [0]", r"amounts must be in \(0, 100\], got 0"),
        ('[evaluation.classifier]\namounts = [1]\nextractor = "cifar"', "classifier = true", "must be a table"),
        ("amounts = [1]", "amount = 1", "no setting 'amount'; did you mean amounts"),
        ('extractor = "cifar"', 'extractor = "inception"', "extractor must be one of cifar, lite0"),
        ('"acgan"', '"acgan"\nfeature_critic = 1', None),
    ],
)
def test_recipes(tmp_path, before, after, message):
    text = SMALL.replace(before, after)
    if message:
        with pytest.raises(UserError, match=message):
            open_study(str(write_recipe(tmp_path, text)), ["x"], tmp_path)
    else:
        assert open_study(str(write_recipe(tmp_path, text)), ["x"], tmp_path).cells[0].classifier.extractor == "cifar"
        with pytest.raises(UserError, match="lite0 trains this run and cannot judge it"):
            open_study(str(write_recipe(tmp_path, text.replace("cifar", "lite0"))), ["x"], tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('conditioning = "acgan"', "", "needs one folder per class, .*: conditioning"),
        (', hold_out = "1/3"', "", "was trained on all its images: give the recipe's cells a hold_out"),
    ],
)
def test_runs_that_cannot_be_asked(tmp_path, folder, before, after, message):
    study = open_study(str(write_recipe(tmp_path, SMALL.replace(before, after))), [str(folder)], tmp_path / "study")
    cell = study.cells[0]
    from ganshift.methods.registry import method_of

    method_of(cell.config).train(cell.config)
    with pytest.raises(UserError, match=message):
        ask_classifiers(cell.run, cell.classifier)
