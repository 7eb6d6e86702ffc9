"""Judgement: what in the facts keeps training from working, harms it, or is good to know; each with what to do."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ...metrics.measuring import PREFER_KID
from .alike import Alike
from .scan import CHANNELS, PartFacts, Picture

Severity = Literal["problem", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("problem", "warning", "note")
"""A problem keeps training from working; a warning makes its result worse or its scores wrong; a note may matter."""
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
    """One thing to know."""

    severity: Severity
    code: str
    """A name that stays the same from version to version."""
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
        found += _amounts(train)
        found += _classes(train)
        found += _scores(facts)
        found += _held_out(facts)
        if len(train) == 2:
            found += _two_domains(*train)
        if size is not None:
            found += _sizes(train, *size)
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _files(facts: PartFacts) -> Iterator[DataFinding]:
    name, broken, total = facts.part.name, facts.unreadable, len(facts.part.names)
    examples = [f"{file}: {why}" for file, why in broken[:_EXAMPLES]]
    if not facts.pictures:
        severity: Severity = "problem" if facts.part.split == "train" else "warning"
        what = f"{name}: none of {total:,} image files can be read"
        yield DataFinding(severity, "nothing_readable", what, "Replace them.", examples)
    elif broken:
        what = f"{name}: {len(broken):,} of {total:,} image files cannot be read"
        do = "Training leaves them out. Replace or delete them."
        yield DataFinding("warning", "unreadable", what, do, examples)
    if passed_over := facts.part.passed_over:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(passed_over.items())[:6])
        what = f"{name}: files that are not taken for images: {kinds}"
        yield DataFinding("note", "passed_over", what, "If they are pictures, convert them to PNG or JPEG.")


def _modes(facts: PartFacts) -> Iterator[DataFinding]:
    name, pictures, usual = facts.part.name, facts.pictures, facts.usual_channels

    def some(code: str, chosen: list[Picture], what: str, do: str) -> Iterator[DataFinding]:
        if chosen:
            found = f"{name}: {len(chosen):,} of {len(pictures):,} {what}"
            yield DataFinding("note", code, found, do, _names(chosen))

    counts = Counter(picture.channels for picture in pictures)
    if len(counts) > 1:
        taken = {1: "gray", 3: "colour", 4: "colour with transparency"}[usual]
        mixed = ", ".join(f"{count:,} {CHANNELS[channels]}" for channels, count in counts.most_common())
        do = f"Training takes all of them as {taken}. Remove the others if they do not belong."
        others = _names(picture for picture in pictures if picture.channels != usual)
        yield DataFinding("note", "mixed_modes", f"{name}: {mixed}", do, others)
    gray = [picture for picture in pictures if picture.channels == 3 and picture.shows_gray]
    if usual == 3 and len(gray) == len(pictures):
        do = "One channel is enough and trains a little faster: convert the files to gray."
        yield DataFinding("note", "gray_as_colour", f"{name}: all pictures show gray but are stored in colour", do)
    elif usual == 3:
        yield from some("gray_as_colour", gray, "show gray among colour", "Remove them if they do not belong.")
    deep = [picture for picture in pictures if picture.is_deep]
    yield from some("sixteen_bit", deep, "have 16 bits a value", "Training takes 8 of them.")
    animated = [picture for picture in pictures if picture.is_animated]
    do = "Training takes the first. Write frames to files of their own to train on all."
    yield from some("animated", animated, "have several frames or pages", do)
    if usual != 4:
        transparent = [picture for picture in pictures if picture.channels == 4]
        do = "Training puts them over white. To learn transparency, most pictures must have it."
        yield from some("transparent", transparent, "are transparent", do)


def _repeats(alike: Alike) -> Iterator[DataFinding]:
    def repeated(code: str, groups: Sequence[Sequence[Picture]], what: str, do: str) -> Iterator[DataFinding]:
        if groups:
            yield DataFinding("warning", code, what, do, [shown(group) for group in groups[:_EXAMPLES]])

    def shown(group: Sequence[Picture]) -> str:
        more = f" and {len(group) - 3:,} more" if len(group) > 3 else ""
        return " = ".join(picture.full_name for picture in group[:3]) + more

    exact, near = alike.exact, alike.near
    copies = _count(sum(map(len, exact)) - len(exact), "exact copy", "exact copies")
    what = f"{copies} of other files, in {_count(len(exact), 'group')}"
    yield from repeated("duplicates", exact, what, "Copies are learned more often than the rest. Keep one of each.")
    what = f"{sum(map(len, near)):,} pictures look nearly like others, in {_count(len(near), 'group')}"
    do = "Look at some. Keep one of each if they are the same picture in other sizes or formats."
    yield from repeated("near_duplicates", near, what, do)
    leaks = [group for group in alike.looks if _leaked(group)]
    what = f"{_count(sum(map(_leaked, leaks)), 'picture')} of val also in train, exactly or nearly"
    do = "Remove them from one of the two: else scores flatter, and copying goes unnoticed."
    yield from repeated("leak", leaks, what, do)
    domains = [group for group in alike.looks if len({picture.part.domain for picture in group}) > 1]
    what = f"{_count(len(domains), 'picture')} in both domains, exactly or nearly"
    yield from repeated("both_domains", domains, what, "Remove each from the domain that it does not belong to.")
    classes = [group for group in alike.looks if len({picture.class_name for picture in group} - {None}) > 1]
    what = f"{_count(len(classes), 'picture')} in more than one class, exactly or nearly"
    yield from repeated("two_classes", classes, what, "Keep each in the class that it belongs to.")


def _leaked(group: Sequence[Picture]) -> int:
    """How many pictures of val are in train, too, of the same domain."""
    trained = {picture.part.domain for picture in group if picture.part.split == "train"}
    return sum(picture.part.split == "val" and picture.part.domain in trained for picture in group)


def _count(number: int, noun: str, nouns: str = "") -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"


def _names(pictures: Iterable[Picture]) -> list[str]:
    return [picture.name for picture in pictures][:_EXAMPLES]


def _amounts(train: Sequence[PartFacts]) -> Iterator[DataFinding]:
    for facts in train:
        if (count := len(facts.pictures)) < FEW:
            kin, source = "Add pictures of the same kind.", "Add more, or start from a source (--source)."
            what = f"{facts.part.name}: only {_count(count, 'training image')}"
            yield DataFinding("warning", "few", what, kin if facts.part.domain else source)


def _scores(facts: Sequence[PartFacts]) -> Iterator[DataFinding]:
    """Generators are measured against training images, translators against val images where there are any."""
    train, val = ([part for part in facts if part.part.split == split] for split in ("train", "val"))
    reference = val if len(train) == len(val) == 2 else train
    if (count := min(len(part.pictures) for part in reference)) < PREFER_KID:
        what = f"{_count(count, 'image')} to compare with: FID is biased below {PREFER_KID:,}"
        yield DataFinding("note", "prefer_kid", what, "Compare runs by KID: ganshift evaluate ... --metrics kid")


def _classes(train: Sequence[PartFacts]) -> Iterator[DataFinding]:
    for facts in train:
        if not (counts := facts.classes):
            continue
        least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
        if counts[most] > UNEVEN * counts[least]:
            what = f"{facts.part.name}: class {most} has {counts[most]:,} images, {least} has {counts[least]:,}"
            do = "The rare class is seen less often and drawn worse. Add to it, or thin the others."
            yield DataFinding("warning", "class_imbalance", what, do)


def _held_out(facts: Sequence[PartFacts]) -> Iterator[DataFinding]:
    counts: dict[str, int] = {part.part.domain: 0 for part in facts}
    for part in facts:
        if part.part.split == "val":
            counts[part.part.domain] += len(part.pictures)
    few = {domain: count for domain, count in counts.items() if count < FEW_HELD_OUT}
    if not few:
        return
    have = ", ".join(f"{count:,} of {domain.upper()}" if domain else f"{count:,}" for domain, count in few.items())
    if "a" in counts:
        folders, unknown = "train/A, train/B, val/A and val/B", "how a model does on new pictures"
    else:
        folders, unknown = "train and val", "whether a model copies"
    what = f"held-out images: {have}; too few to tell {unknown}"
    move = f"Move some (at least {FEW_HELD_OUT}, where there are enough) from training to val"
    yield DataFinding("note", "few_held_out", what, f"{move}: folders {folders}.")


def _two_domains(a: PartFacts, b: PartFacts) -> Iterator[DataFinding]:
    more, less = (a, b) if len(a.pictures) >= len(b.pictures) else (b, a)
    if len(more.pictures) > UNEVEN * len(less.pictures):
        what = f"{more.part.name} has {len(more.pictures):,} images, {less.part.name} has {len(less.pictures):,}"
        why = "An epoch is as long as the smaller domain, which is learned by heart first."
        yield DataFinding("warning", "domain_imbalance", what, f"{why} Add to {less.part.name}.")
    shows = [
        "gray" if all(picture.shows_gray for picture in domain.pictures) else CHANNELS[domain.usual_channels]
        for domain in (a, b)
    ]
    if shows[0] != shows[1]:
        what = f"{a.part.name} is {shows[0]}, {b.part.name} is {shows[1]}"
        do = "That works: each domain has its own channels. What one lacks is invented on the way to the other."
        yield DataFinding("note", "domain_modes", what, do)
    for code, name, meaning in (
        ("domain_texture", "texture", "fine detail"),
        ("domain_chroma", "chroma", "colourfulness"),
    ):
        poor, rich = sorted((a, b), key=lambda domain: domain.mean(name))
        low, high = poor.mean(name), rich.mean(name)
        if high > APART * max(low, 1.0) and not (name == "chroma" and "gray" in shows):
            times = f"{high / max(low, 1.0):.1f} times"
            what = f"{rich.part.name} has {times} the {meaning} of the other: {high:.1f}, {low:.1f}"
            do = "Expect it to be lost one way and invented the other way."
            yield DataFinding("note", code, what, do)


def _sizes(train: Sequence[PartFacts], height: int, width: int) -> Iterator[DataFinding]:
    for facts in train:
        lost = facts.cropped(width / height)
        if lost > SOME_CROPPED:
            what = f"{facts.part.name}: the centre of {width} x {height} leaves out {lost:.0%} of all pixels"
            do = "Crop the pictures yourself if what matters is not in the middle."
            yield DataFinding("warning" if lost > MUCH_CROPPED else "note", "cropped", what, do)
        small, total = [each for each in facts.pictures if each.is_smaller(height, width)], len(facts.pictures)
        if small:
            what = f"{facts.part.name}: {len(small):,} of {total:,} images are smaller than {width} x {height}"
            do = "They are enlarged, hence blurred, and so is what is learned. Replace them, or train smaller."
            severity: Severity = "warning" if len(small) > MUCH_ENLARGED * total else "note"
            yield DataFinding(severity, "enlarged", what, do, _names(small))
