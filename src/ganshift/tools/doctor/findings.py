"""Judgement: what in the facts keeps training from working, harms it, or is good to know; each with what to do."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...metrics.measuring import PREFER_KID
from .alike import Alike
from .scan import CHANNELS, PartFacts

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

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return asdict(self)


def find_problems(facts: Sequence[PartFacts], alike: Alike, size: tuple[int, int] | None) -> list[DataFinding]:
    """All findings, the worst first; `size` is height and width of the training images, None if there are none."""
    found: list[DataFinding] = []
    for part in facts:
        found += _files(part)
        if part.pictures:
            found += _modes(part)
    found += _repeats(facts, alike)
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
        yield DataFinding(
            severity,
            "nothing_readable",
            f"{name}: none of {total:,} image files can be read",
            "Replace them.",
            examples,
        )
    elif broken:
        yield DataFinding(
            "warning",
            "unreadable",
            f"{name}: {len(broken):,} of {total:,} image files cannot be read",
            "Training leaves them out. Replace or delete them.",
            examples,
        )
    if passed_over := facts.part.passed_over:
        kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(passed_over.items())[:6])
        yield DataFinding(
            "note",
            "passed_over",
            f"{name}: files that are not taken for images: {kinds}",
            "If they are pictures, convert them to PNG or JPEG.",
        )


def _modes(facts: PartFacts) -> Iterator[DataFinding]:
    name, pictures, usual = facts.part.name, facts.pictures, facts.usual_channels
    counts = Counter(picture.channels for picture in pictures)

    def named(chosen: Sequence[bool]) -> list[str]:
        return [file for file, is_one in zip(facts.names, chosen, strict=True) if is_one][:_EXAMPLES]

    def tell(code: str, chosen: list[bool], what: str, do: str) -> Iterator[DataFinding]:
        if count := sum(chosen):
            yield DataFinding("note", code, f"{name}: {count:,} of {len(pictures):,} {what}", do, named(chosen))

    if len(counts) > 1:
        taken = {1: "gray", 3: "colour", 4: "colour with transparency"}[usual]
        mixed = ", ".join(f"{count:,} {CHANNELS[channels]}" for channels, count in counts.most_common())
        yield DataFinding(
            "note",
            "mixed_modes",
            f"{name}: {mixed}",
            f"Training takes all of them as {taken}. Remove the others if they do not belong.",
            named([picture.channels != usual for picture in pictures]),
        )
    gray = [picture.channels == 3 and picture.shows_gray for picture in pictures]
    if usual == 3:
        if all(gray):
            yield DataFinding(
                "note",
                "gray_as_colour",
                f"{name}: all pictures show gray but are stored in colour",
                "One channel is enough and trains a little faster: convert the files to gray.",
            )
        else:
            yield from tell("gray_as_colour", gray, "show gray among colour", "Remove them if they do not belong.")
    yield from tell(
        "sixteen_bit", [picture.is_deep for picture in pictures], "have 16 bits a value", "Training takes 8 of them."
    )
    yield from tell(
        "animated",
        [picture.is_animated for picture in pictures],
        "have several frames or pages",
        "Training takes the first. Write frames to files of their own to train on all.",
    )
    if usual != 4:
        yield from tell(
            "transparent",
            [picture.channels == 4 for picture in pictures],
            "are transparent",
            "Training puts them over white. To learn transparency, most pictures must have it.",
        )


def _repeats(facts: Sequence[PartFacts], alike: Alike) -> Iterator[DataFinding]:
    owners = [(part, number) for part in facts for number in range(len(part.pictures))]

    def shown(groups: Sequence[Sequence[int]]) -> list[str]:
        names = [[_full_name(*owners[index]) for index in group] for group in groups[:_EXAMPLES]]
        return [" = ".join(group[:3]) + (f" and {len(group) - 3:,} more" if len(group) > 3 else "") for group in names]

    if alike.exact:
        extra = sum(len(group) - 1 for group in alike.exact)
        yield DataFinding(
            "warning",
            "duplicates",
            f"{_count(extra, 'exact copy', 'exact copies')} of other files, in {_count(len(alike.exact), 'group')}",
            "Copies are learned more often than the rest. Keep one of each.",
            shown(alike.exact),
        )
    if alike.near:
        yield DataFinding(
            "warning",
            "near_duplicates",
            f"{sum(map(len, alike.near)):,} pictures look nearly like others, in {_count(len(alike.near), 'group')}",
            "Look at some. Keep one of each if they are the same picture in other sizes or formats.",
            shown(alike.near),
        )
    together: dict[int, list[int]] = {}
    for members in (*alike.exact, *alike.near):
        together.setdefault(int(alike.group[members[0]]), []).extend(members)
    groups = [sorted(set(members)) for members in together.values()]
    leaks, domains, classes = [], [], []
    num_leaked = 0
    for group in groups:
        roles = [(owners[index][0].part.split, owners[index][0].part.domain) for index in group]
        leaked = [
            index
            for index, (split, domain) in zip(group, roles, strict=True)
            if split == "val" and ("train", domain) in roles
        ]
        num_leaked += len(leaked)
        if leaked:
            leaks.append(group)
        if len({domain for _, domain in roles}) > 1:
            domains.append(group)
        if len({part.labels[number] for part, number in map(owners.__getitem__, group) if part.labels}) > 1:
            classes.append(group)
    if leaks:
        yield DataFinding(
            "warning",
            "leak",
            f"{_count(num_leaked, 'picture')} of val also in train, exactly or nearly",
            "Remove them from one of the two: else scores flatter, and copying goes unnoticed.",
            shown(leaks),
        )
    if domains:
        yield DataFinding(
            "warning",
            "both_domains",
            f"{_count(len(domains), 'picture')} in both domains, exactly or nearly",
            "Remove each from the domain that it does not belong to.",
            shown(domains),
        )
    if classes:
        yield DataFinding(
            "warning",
            "two_classes",
            f"{_count(len(classes), 'picture')} in more than one class, exactly or nearly",
            "Keep each in the class that it belongs to.",
            shown(classes),
        )


def _count(number: int, noun: str, nouns: str = "") -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {nouns or noun + 's'}"


def _full_name(facts: PartFacts, number: int) -> str:
    return f"{facts.part.name}: {facts.names[number]}"


def _amounts(train: Sequence[PartFacts]) -> Iterator[DataFinding]:
    for facts in train:
        if (count := len(facts.pictures)) < FEW:
            yield DataFinding(
                "warning",
                "few",
                f"{facts.part.name}: only {_count(count, 'training image')}",
                "Add pictures of the same kind."
                if facts.part.domain
                else "Add more, or start from a source (--source).",
            )


def _scores(facts: Sequence[PartFacts]) -> Iterator[DataFinding]:
    """Generators are measured against training images, translators against val images where there are any."""
    train, val = ([part for part in facts if part.part.split == split] for split in ("train", "val"))
    reference = val if len(train) == len(val) == 2 else train
    if (count := min(len(part.pictures) for part in reference)) < PREFER_KID:
        yield DataFinding(
            "note",
            "prefer_kid",
            f"{_count(count, 'image')} to compare with: FID is biased below {PREFER_KID:,}",
            "Compare runs by KID: ganshift evaluate ... --metrics kid",
        )


def _classes(train: Sequence[PartFacts]) -> Iterator[DataFinding]:
    for facts in train:
        counts = {name: count for name, count in facts.classes.items() if count}
        if len(counts) < 2:
            continue
        least, most = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
        if counts[most] > UNEVEN * counts[least]:
            yield DataFinding(
                "warning",
                "class_imbalance",
                f"{facts.part.name}: class {most} has {counts[most]:,} images, {least} has {counts[least]:,}",
                "The rare class is seen less often and drawn worse. Add to it, or thin the others.",
            )


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
    yield DataFinding(
        "note",
        "few_held_out",
        f"held-out images: {have}; too few to tell {unknown}",
        f"Move some (at least {FEW_HELD_OUT}, where there are enough) from training to val: folders {folders}.",
    )


def _two_domains(a: PartFacts, b: PartFacts) -> Iterator[DataFinding]:
    more, less = (a, b) if len(a.pictures) >= len(b.pictures) else (b, a)
    if len(more.pictures) > UNEVEN * len(less.pictures):
        yield DataFinding(
            "warning",
            "domain_imbalance",
            f"{more.part.name} has {len(more.pictures):,} images, {less.part.name} has {len(less.pictures):,}",
            f"An epoch is as long as the smaller domain, which is learned by heart first. Add to {less.part.name}.",
        )
    shows = [
        "gray" if all(picture.shows_gray for picture in domain.pictures) else CHANNELS[domain.usual_channels]
        for domain in (a, b)
    ]
    if shows[0] != shows[1]:
        yield DataFinding(
            "note",
            "domain_modes",
            f"{a.part.name} is {shows[0]}, {b.part.name} is {shows[1]}",
            "That works: each domain has its own channels. What one lacks is invented on the way to the other.",
        )
    for code, name, what in (
        ("domain_texture", "texture", "fine detail"),
        ("domain_chroma", "chroma", "colourfulness"),
    ):
        high, low = max(a.mean(name), b.mean(name)), min(a.mean(name), b.mean(name))
        if high > APART * max(low, 1.0) and not (name == "chroma" and "gray" in shows):
            rich = a if a.mean(name) == high else b
            yield DataFinding(
                "note",
                code,
                f"{rich.part.name} has {high / max(low, 1.0):.1f} times the {what} of the other: {high:.1f}, {low:.1f}",
                "Expect it to be lost one way and invented the other way.",
            )


def _sizes(train: Sequence[PartFacts], height: int, width: int) -> Iterator[DataFinding]:
    for facts in train:
        lost = facts.cropped(width / height)
        if lost > SOME_CROPPED:
            yield DataFinding(
                "warning" if lost > MUCH_CROPPED else "note",
                "cropped",
                f"{facts.part.name}: the centre of {width} x {height} leaves out {lost:.0%} of all pixels",
                "Crop the pictures yourself if what matters is not in the middle.",
            )
        small = [picture.is_smaller(height, width) for picture in facts.pictures]
        if any(small):
            yield DataFinding(
                "warning" if sum(small) > MUCH_ENLARGED * len(small) else "note",
                "enlarged",
                f"{facts.part.name}: {sum(small):,} of {len(small):,} images are smaller than {width} x {height}",
                "They are enlarged, hence blurred, and so is what is learned. Replace them, or train smaller.",
                [name for name, is_small in zip(facts.names, small, strict=True) if is_small][:_EXAMPLES],
            )
