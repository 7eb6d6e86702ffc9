"""Which evaluation is the best, when more training is unlikely to help, and the folder of the best."""

import pytest

from ganshift.training import run_folder
from ganshift.training.monitor.best import Evaluation, Scores, mend_best, write_best


def scored(*values, error=0.002, protocol="one"):
    """Scores after evaluations of these values, 20,000 images apart."""
    scores = Scores()
    for number, value in enumerate(values, start=1):
        scores.add(20_000 * number, evaluation(value, error, protocol))
    return scores


def evaluation(value, error=0.002, protocol="one"):
    return Evaluation(name="KID[cifar]", value=value, error=error, protocol=protocol, records=[])


def test_five_evaluations_without_a_new_best():
    scores = scored(0.05, 0.031, 0.041, 0.036, 0.034, 0.04)
    assert not scores.stalled
    scores.add(140_000, evaluation(0.0355))
    assert scores.stalled
    assert scores.to_be_told
    assert scores.in_words() == (
        "KID[cifar] was 0.031 ± 0.002 at 40,000 images; the 5 evaluations since were 0.034 to 0.041, none of them "
        "better: more of the same training is unlikely to help"
    )
    scores.add(160_000, evaluation(0.05))
    assert scores.stalled
    assert not scores.to_be_told  # said a moment ago


def test_small_steps_count_once_they_add_up():
    """Each is half of the error, so that every third is clear."""
    assert not scored(*(0.05 - 0.001 * step for step in range(20))).stalled


def test_wavering_within_the_error_is_no_progress_but_the_lowest_is_the_best():
    scores = scored(0.031, 0.0308, 0.0312, 0.0306, 0.0311, 0.0309)
    assert scores.stalled
    assert scores.best["images"] == 80_000
    assert "none of them better by more than that error" in scores.in_words()
    assert "the lowest was at 80,000 images" in scores.in_words()


def test_a_clear_improvement_starts_the_count_anew():
    scores = scored(0.031, 0.04, 0.04, 0.04, 0.04, 0.02, 0.04)
    assert not scores.stalled


def test_scores_got_in_another_way_are_not_compared():
    scores = scored(0.01, 0.02)
    assert scores.add(60_000, evaluation(0.5, protocol="other"))
    assert scores.best["images"] == 60_000


def test_a_restored_state_goes_on_alike():
    one = scored(0.05, 0.031, 0.041, 0.036, 0.034, 0.04)
    other = Scores()
    other.load_state_dict(one.state_dict())
    assert other.state_dict() == one.state_dict()
    assert not other.add(140_000, evaluation(0.05))
    assert other.stalled


def export(text):
    return lambda out: (out / run_folder.MODEL).write_text(text) and None


@pytest.fixture
def run(tmp_path):
    run_folder.claim(tmp_path / "run", {"method": "walk", "training": {}})
    return tmp_path / "run"


def test_the_best_is_a_run_folder(run):
    for images in (8, 16):
        write_best(run, images, {"images": images}, {"state": {}}, export(str(images)))
    best = run / "best"
    assert run_folder.read_config(best) == run_folder.read_config(run)
    assert (best / run_folder.MODEL).read_text() == "16"
    assert [path.name for path in (best / "checkpoints").iterdir()] == ["000000000016.pt"]
    assert sorted(path.name for path in run.iterdir()) == ["best", "config.json"]


def test_a_kill_leaves_the_best_before_or_the_new_one(run):
    write_best(run, 8, {"images": 8}, {"state": {}}, export("8"))

    def killed(out):
        (out / run_folder.MODEL).write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_best(run, 16, {"images": 16}, {"state": {}}, killed)
    assert (run / "best" / run_folder.MODEL).read_text() == "8"
    mend_best(run)
    assert sorted(path.name for path in run.iterdir()) == ["best", "config.json"]
    (run / "best").rename(run / ".best.old")  # as a kill between the two moves leaves it
    mend_best(run)
    assert (run / "best" / run_folder.MODEL).read_text() == "8"
    assert sorted(path.name for path in run.iterdir()) == ["best", "config.json"]
