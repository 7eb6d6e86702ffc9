"""Judgement: what in the facts keeps training from working, harms it, or is good to know; the words are in a table."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...data.datasets import NEARLY_BLACK
from ...data.endings import shown
from ...metrics.measuring import PREFER_KID
from .alike import Alike
from .scan import CHANNELS, PartFacts, Picture

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")
"""A problem keeps training from working; a warning makes its result worse or its scores wrong; a note may matter."""
WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
"""By code, how severe a finding usually is, what it is and what to do about it."""
FEW = 100
"""Fewer training images than this are warned of: the published curves end at 1000, and at 100 for one class."""
FEW_HELD_OUT = 50
"""With fewer held-out images than this the test of copying notices little, and scores on new pictures vary much."""
UNEVEN = 3.0
"""Ratio of the largest class to the smallest, or of two domains, that is warned of."""
APART = 2.0
"""Ratio of texture or chroma of two domains that is mentioned."""
MUCH_CROPPED, SOME_CROPPED = 0.3, 0.1
"""Share of all pixels outside the box of training that is warned of, and mentioned."""
MUCH_ENLARGED = 0.1
"""Share of pictures smaller than the training size that is warned of."""
_EXAMPLES = 3


@dataclass(frozen=True)
class DataFinding:
    """One thing to know. Its code stays the same from version to version.

    A problem keeps training from working:

    - `cannot_open`: no images, one domain missing, a damaged zip, no train beside val
    - `nothing_readable`: not one image of a part can be read (a warning for val)
    - `training_fails`: the advised run stopped within the seconds it was tried

    A warning makes the result worse or its scores wrong:

    - `unreadable`: files that training leaves out, with reasons
    - `duplicates`: files of the same bytes
    - `near_duplicates`: pictures that look nearly the same
    - `leak`: the same picture in train and val, exactly or nearly
    - `both_domains`: the same picture in A and B
    - `two_classes`: the same picture in two classes
    - `few`: fewer than 100 training images
    - `class_imbalance`: the largest class has more than 3 times the images of the smallest
    - `domain_imbalance`: the same of two domains
    - `nearly_black`: most are nearly black: 99 % of their luma is at most 16 of 255, as training sees them
    - `nearly_constant`: most are nearly of one value: 98 % of their luma lies within 4 levels

    A note may matter:

    - `cropped`: the box that is trained on leaves out more than 10% of all pixels; a warning above 30%
    - `enlarged`: pictures smaller than the training size; a warning if they are more than 10%
    - `passed_over`: files that are not taken for images
    - `mixed_modes`: gray, colour and transparent pictures in one part
    - `gray_as_colour`: colour files that show gray
    - `sixteen_bit`: more than 8 bits a value, and which values become black and white
    - `animated`: several frames or pages; training takes the first
    - `transparent`: put over white
    - `domain_modes`: one domain is gray, the other colour
    - `domain_chroma`: one domain has more than twice the colourfulness
    - `domain_texture`: one domain has more than twice the fine detail
    - `prefer_kid`: too few images for FID (fewer than 5,000); KID says more
    - `few_held_out`: fewer than 50 held-out images, by which copying is noticed and translations are scored
    """

    severity: Severity
    code: str
    what: str
    do: str
    """What to do about it; empty where there is nothing."""
    examples: list[str] = field(default_factory=list)


def find_problems(facts: Sequence[PartFacts], alike: Alike, size: tuple[int, int] | None) -> list[DataFinding]:
    """All findings, the worst first; `size` is height and width of the training images, None if there are none."""
    found: list[DataFinding] = []
    for part in facts:
        found += _files(part)
        if part.pictures:
            found += _modes(part)
    found += _repeats(alike)
    train = [part for part in facts if part.part.split == "train"]
    if all(part.pictures for part in train):
        for part in train:
            found += _amounts(part)
        found += _scores(facts)
        found += _held_out(facts)
        if len(train) == 2:
            found += _two_domains(*train)
        if size is not None:
            found += _sizes(train, *size)
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _finding(code: str, examples: Iterable[str] = (), severity: Severity | None = None, **values: Any) -> DataFinding:
    """The finding of this code, its words filled in; of many examples the first few."""
    words = WORDS[code]
    what, do = words["what"].format(**values), words["do"].format(**values)
    return DataFinding(severity or words["severity"], code, what, do, [*examples][:_EXAMPLES])


def _files(facts: PartFacts) -> Iterator[DataFinding]:
    about: dict[str, Any] = {"name": facts.part.name, "count": len(facts.unreadable), "total": len(facts.part.names)}
    examples = [f"{file}: {why}" for file, why in facts.unreadable]
    if not facts.pictures:
        yield _finding("nothing_readable", examples, None if facts.part.split == "train" else "warning", **about)
    elif examples:
        yield _finding("unreadable", examples, **about)
    if facts.part.passed_over:
        yield _finding("passed_over", name=facts.part.name, kinds=shown(facts.part.passed_over))


def _modes(facts: PartFacts) -> Iterator[DataFinding]:
    pictures, usual = facts.pictures, facts.usual_channels
    counts = Counter(picture.channels for picture in pictures)
    if len(counts) > 1:
        others = (picture.name for picture in pictures if picture.channels != usual)
        mixed = ", ".join(f"{count:,} {CHANNELS[channels]}" for channels, count in counts.most_common())
        taken = {1: "gray", 3: "colour", 4: "colour with transparency"}[usual]
        yield _finding("mixed_modes", others, name=facts.part.name, mixed=mixed, taken=taken)
    for code, chosen in (
        ("gray_as_colour", [each for each in pictures if each.channels == 3 and each.shows_gray and usual == 3]),
        ("sixteen_bit", [each for each in pictures if each.is_deep]),
        ("nearly_black", _if_most(pictures, [each for each in pictures if each.brightest <= NEARLY_BLACK])),
        ("nearly_constant", _if_most(pictures, [each for each in pictures if each.is_flat])),
        ("animated", [each for each in pictures if each.is_animated]),
        ("transparent", [each for each in pictures if each.channels == 4 and usual != 4]),
    ):
        if chosen:
            names = (picture.name for picture in chosen)
            values = facts.value_range.in_words() if facts.value_range else "0 to 65,535 are black to white"
            yield _finding(code, names, name=facts.part.name, count=len(chosen), total=len(pictures), values=values)


def _if_most(pictures: Sequence[Picture], chosen: Sequence[Picture]) -> Sequence[Picture]:
    """The chosen, if they are more than half."""
    return chosen if 2 * len(chosen) > len(pictures) else []


def _repeats(alike: Alike) -> Iterator[DataFinding]:
    leaks = [group for group in alike.looks if _leaked(group)]
    domains = [group for group in alike.looks if len({picture.part.domain for picture in group}) > 1]
    classes = [group for group in alike.looks if len({picture.class_name for picture in group} - {None}) > 1]
    for code, groups, count in (
        (
            "duplicates",
            alike.exact,
            _count(sum(map(len, alike.exact)) - len(alike.exact), "exact copy", "exact copies"),
        ),
        ("near_duplicates", alike.near, _count(sum(map(len, alike.near)), "picture")),
        ("leak", leaks, _count(sum(map(_leaked, leaks)), "picture")),
        ("both_domains", domains, _count(len(domains), "picture")),
        ("two_classes", classes, _count(len(classes), "picture")),
    ):
        if groups:
            yield _finding(code, map(_shown, groups), count=count, groups=_count(len(groups), "group"))


def _shown(group: Sequence[Picture]) -> str:
    more = f" and {len(group) - 3:,} more" if len(group) > 3 else ""
    return " = ".join(picture.full_name for picture in group[:3]) + more


def _leaked(group: Sequence[Picture]) -> int:
    """How many pictures of val are in train, too, of the same domain."""
    trained = {picture.part.domain for picture in group if picture.part.split == "train"}
    return sum(picture.part.split == "val" and picture.part.domain in trained for picture in group)


def _count(number: int, noun: str, nouns: str = "") -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"


def _amounts(facts: PartFacts) -> Iterator[DataFinding]:
    name, counts = facts.part.name, facts.classes
    if (count := len(facts.pictures)) < FEW:
        yield _finding("few", name=name, count=_count(count, "training image"))
    if counts and max(counts.values()) > UNEVEN * min(counts.values()):
        least, most = min(counts, key=lambda each: counts[each]), max(counts, key=lambda each: counts[each])
        yield _finding("class_imbalance", name=name, most=most, more=counts[most], least=least, less=counts[least])


def _scores(facts: Sequence[PartFacts]) -> Iterator[DataFinding]:
    """Generators are measured against training images, translators against val images where there are any."""
    train, val = ([part for part in facts if part.part.split == split] for split in ("train", "val"))
    reference = val if len(train) == len(val) == 2 else train
    if (count := min(len(part.pictures) for part in reference)) < PREFER_KID:
        yield _finding("prefer_kid", count=_count(count, "image"), enough=PREFER_KID)


def _held_out(facts: Sequence[PartFacts]) -> Iterator[DataFinding]:
    counts: dict[str, int] = {part.part.domain: 0 for part in facts}
    for part in facts:
        if part.part.split == "val":
            counts[part.part.domain] += len(part.pictures)
    few = [
        f"{count:,}{f' of {domain.upper()}' * bool(domain)}" for domain, count in counts.items() if count < FEW_HELD_OUT
    ]
    if "a" in counts:
        folders, unknown = "train/A, train/B, val/A and val/B", "how a model does on new pictures"
    else:
        folders, unknown = "train and val", "whether a model copies"
    if few:
        yield _finding("few_held_out", have=", ".join(few), unknown=unknown, enough=FEW_HELD_OUT, folders=folders)


def _two_domains(a: PartFacts, b: PartFacts) -> Iterator[DataFinding]:
    smaller, larger = sorted((a, b), key=lambda domain: len(domain.pictures))
    less, more = len(smaller.pictures), len(larger.pictures)
    if more > UNEVEN * less:
        yield _finding("domain_imbalance", larger=larger.part.name, more=more, smaller=smaller.part.name, less=less)
    shows = [
        "gray" if all(picture.shows_gray for picture in domain.pictures) else CHANNELS[domain.usual_channels]
        for domain in (a, b)
    ]
    if shows[0] != shows[1]:
        yield _finding("domain_modes", a=a.part.name, shows_a=shows[0], b=b.part.name, shows_b=shows[1])
    for name in ("texture", "chroma"):
        poor, rich = sorted((a, b), key=lambda domain: domain.mean(name))
        low, high = poor.mean(name), rich.mean(name)
        times = high / max(low, 1.0)
        if times > APART and not (name == "chroma" and "gray" in shows):
            yield _finding(f"domain_{name}", rich=rich.part.name, times=times, high=high, low=low)


def _sizes(train: Sequence[PartFacts], height: int, width: int) -> Iterator[DataFinding]:
    for facts in train:
        about: dict[str, Any] = {"name": facts.part.name, "height": height, "width": width}
        if (lost := facts.cropped(width / height)) > SOME_CROPPED:
            yield _finding("cropped", (), "warning" if lost > MUCH_CROPPED else None, lost=lost, **about)
        small = [each.name for each in facts.pictures if each.height < height or each.width < width]
        total = len(facts.pictures)
        if small:
            severity: Severity | None = "warning" if len(small) > MUCH_ENLARGED * total else None
            yield _finding("enlarged", small, severity, count=len(small), total=total, **about)
