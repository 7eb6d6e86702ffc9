"""Names of domains: which can be, what is made of folders' names, and how they stand in names of files."""

import re
from pathlib import Path

import pytest

from ganshift import UserError
from ganshift.data.domain_names import (
    MOST_BYTES,
    UNNAMED,
    default_names,
    domain_names,
    folders_of,
    in_files,
    parse_names,
    stored_names,
    way_in_words,
)


def test_names_as_they_are_given():
    assert parse_names("photo, label map ") == {"a": "photo", "b": "label map"}
    assert parse_names("a,sketch") == {"a": "a", "b": "sketch"}
    assert domain_names("cafe\u0301", "thé") == {"a": "café", "b": "thé"}, "composed, however it was typed"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("photo", "names must be two with a comma between, such as photo,sketch, got 'photo'"),
        ("photo,sketch,map", "names must be two"),
        ("", "names must be two"),
        ("photo,", "the name of domain b must have a letter or digit and no control character, got ''"),
        ("../..,sketch", "the name of domain a must have a letter or digit"),
        ("-_-,sketch", "the name of domain a must have a letter or digit"),
        ("photo,sk\x1b[31metch", r"the name of domain b must have .* got 'sk\x1b[31metch'"),
        ("photo\n,line\nbreak", r"got 'line\nbreak'"),
        ("photo,\udc80x", r"no control character, got '\udc80x'"),
        ("photo,ske\u202etch", "no control character"),
        (f"photo,{'x' * 81}", "the name of domain b must have at most 80 bytes in UTF-8, got 81"),
        (f"{'画' * 27},sketch", "at most 80 bytes in UTF-8, got 81"),
        ("B,A", "domain a cannot be called 'B': that means something else to --to"),
        ("photo,a", "domain b cannot be called 'a'"),
        ("photo,/A/", "domain b cannot be called '/A/'"),
        ("Both,sketch", "domain a cannot be called 'Both'"),
        ("photo,Photo", "names must differ in letters or digits, and not in case alone, got 'photo' and 'Photo'"),
        ("my photo,my/photo", "names must differ in letters or digits"),
        ("x,x2x", "names must differ"),
    ],
)
def test_names_that_cannot_be(text, said):
    with pytest.raises(UserError, match=re.escape(said).replace(r"\.\*", ".*")):
        parse_names(text)


@pytest.mark.parametrize(
    ("name", "in_file"),
    [
        ("photo", "photo"),
        ("label map", "label-map"),
        ("../../etc/passwd", "etc-passwd"),
        (r"C:\photos", "C-photos"),
        ("--out", "out"),
        ("a.b, c", "a-b-c"),
        ("snow_2019-20", "snow_2019-20"),
        ("素描", "素描"),
        ("<b>&'\"$(x)`", "b-x"),
    ],
)
def test_names_in_files(name, in_file):
    assert in_files(name) == in_file


def test_folders_have_names_that_systems_take(tmp_path):
    assert folders_of(UNNAMED, "a", "b") == ("A", "A2B", "A2B2A"), "as the published test phase"
    assert folders_of({"a": "photo", "b": "label map"}, "b", "a") == (
        *("label-map", "label-map2photo", "label-map2photo2label-map"),
    )
    longest = domain_names("画" * (MOST_BYTES // 3), "x" * MOST_BYTES)
    for way in ("ab", "ba"):
        for folder in folders_of(longest, *way):
            (tmp_path / f"{folder}.png").write_bytes(b"")
    assert len(list(tmp_path.iterdir())) == 6


@pytest.mark.parametrize(
    ("data", "a", "b", "names"),
    [
        (None, "my/photos", "drawings.zip", ("photos", "drawings")),
        (None, "x/summer.tar.gz", "x/winter.PARQUET", ("summer", "winter")),
        (None, "pictures.zip/photos", "pictures.zip/v1.5", ("photos", "v1.5")),
        (None, "A", "B", ("A", "B")),
        (None, "trainA", "trainB", ("trainA", "trainB")),
        (None, "horse/train", "zebra/train", ("A", "B")),
        (None, "B", "A", ("A", "B")),
        (None, "..", "/", ("A", "B")),
        ("facades.zip", None, None, ("A", "B")),
        ("my/sketch-photo", None, None, ("A", "B")),
        ("sketch-photo", None, None, ("sketch", "photo")),
        ("bundled:photo-sketch", None, None, ("photo", "sketch")),
        ("bundled:emoji-pair", None, None, ("flat", "3D")),
    ],
)
def test_names_of_places(data, a, b, names):
    places = [None if place is None else Path(place) for place in (data, a, b)]
    assert tuple(default_names(*places).values()) == names


def test_names_of_the_folder_one_is_in(tmp_path, monkeypatch):
    (tmp_path / "paintings").mkdir()
    monkeypatch.chdir(tmp_path / "paintings")
    assert default_names(None, Path(), Path("../photos")) == {"a": "paintings", "b": "photos"}


@pytest.mark.parametrize(
    "names", ["x", 1, True, [], ["a", "b"], {}, {"a": "x"}, {"a": 1, "b": 2}, {"a": "b", "b": "a"}, {"a": "", "b": "x"}]
)
def test_stored_names_that_are_damaged(names):
    with pytest.raises(UserError, match=r"domain|names"):
        stored_names({"names": names})


def test_stored_names():
    assert stored_names({"names": {"a": "photo", "b": "sketch"}}) == {"a": "photo", "b": "sketch"}
    assert stored_names({}) == stored_names({"names": None}) == UNNAMED


def test_scores_by_names():
    names = {"a": "photo", "b": "sketch"}
    assert way_in_words("KID[cifar crops] a-b", names) == "KID[cifar crops] photo to sketch"
    assert way_in_words("L1 b-a-b", names) == "L1 sketch to photo to sketch"
    assert way_in_words("FID[cifar]", names) == "FID[cifar]"
    assert way_in_words("L1 b-a-b", UNNAMED) == "L1 b-a-b"
