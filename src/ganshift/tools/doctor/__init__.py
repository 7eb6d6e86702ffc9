"""`ganshift doctor`: what a data set is, what is wrong with it, and what to run on it; `docs/doctor.md` says more."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from math import inf
from pathlib import Path
from typing import Any

from ... import __version__
from ...data.open import PREFIX
from ...errors import UserError, capitalised
from ...methods.advice import Advice
from ...methods.registry import methods, throughput_of
from ...training.config import require
from ...training.device import choose_device
from ...training.log import opening_progress, say
from ...training.throughput import Throughput
from .alike import Alike, find_alike
from .findings import DataFinding, find_problems
from .parts import find_parts
from .scan import PartFacts, scan

FORMAT = 1
"""Of the JSON; a larger number means that a key changed its meaning or is gone."""


@dataclass(frozen=True)
class Report:
    """All that was found."""

    data: list[Path]
    facts: list[PartFacts]
    alike: Alike
    findings: list[DataFinding]
    advised: Sequence[Advice] = ()
    """Runs to start with, the first of them ours; none where nothing can be trained."""
    throughput: Throughput | None = None
    """Of the first of them; None where it was not taken."""

    @property
    def advice(self) -> Advice | None:
        """The first of the advised runs."""
        return self.advised[0] if self.advised else None

    @property
    def exit_code(self) -> int:
        """1 where training would fail, else 0."""
        return int(any(finding.severity == "problem" for finding in self.findings))

    @property
    def total_seconds(self) -> float:
        """What the first of the advised runs takes at this throughput; 0 where it was not taken."""
        if self.throughput is None or self.advice is None:
            return 0.0
        return self.throughput.seconds_per_1000_images * self.advice.budget / 1000

    def to_json(self) -> dict[str, Any]:
        """What `ganshift doctor --json` writes.

        Keys keep their meaning; `format` counts up should one change.

        - `format`, `ganshift`, `data`, `exit_code`: 1; the version; the names given; 0 or 1
        - `parts`: a list of `name`, `split`, `domain` (null, a, b), `files`, `images` (readable ones), `unreadable`
          (`name`, `reason`), `passed_over`, `classes`, and of the images:
            - `smallest`, `median`, `largest`: width and height, turned upright, ordered by area; `aspects`: the most
              frequent, in small numbers
            - `channels`; `modes`, as Pillow calls them, or the type of values of more than 8 bits
            - `gray_as_colour`: how many have three channels whose largest and smallest differ by less than 2 of 255 on
              average; `sixteen_bit`, `animated`: how many are
            - `value_range`: null, or `low`, `high`, `type`, `unit`
            - `cropped_to_square`: the mean share of the pixels outside the largest centred square
            - `mean_colour`: red, green and blue, 0 to 255; `chroma`, colourfulness: the mean difference of the largest
              and the smallest channel, 0 to 255; `texture`, fine detail: RMS of what a 2 x 2 mean takes from the luma,
              0 to 127.5. All three in the centred square at 64 x 64 pixels
        - `duplicates`, `near_duplicates`: all groups, as lists of names with their part in front
        - `findings`: a list, the worst first, of `severity`, `code`, `what`, `do`, `examples` (at most 3)
        - `advice`: null, or `command`, `preset`, `size` (height, width), `budget` (images), `epochs`, `why`,
          `published`
        - `other_advice`: a list of the same, only where a method of another package advises a run too
        - `pace`: null, or `device`, `images`, `seconds`, `seconds_per_1000_images`, `total_seconds`
        """
        advised, found = [each.to_json() for each in self.advised], self.throughput
        return {
            "format": FORMAT,
            "ganshift": __version__,
            "data": [str(path) for path in self.data],
            "exit_code": self.exit_code,
            "parts": [facts.to_json() for facts in self.facts],
            "duplicates": [[each.full_name for each in group] for group in self.alike.exact],
            "near_duplicates": [[each.full_name for each in group] for group in self.alike.near],
            "findings": [asdict(finding) for finding in self.findings],
            "advice": advised[0] if advised else None,
            **({"other_advice": advised[1:]} if advised[1:] else {}),
            "pace": None
            if found is None
            else {
                "device": str(choose_device()),
                "images": found.images,
                "seconds": round(found.seconds, 3),
                "seconds_per_1000_images": round(found.seconds_per_1000_images, 3),
                "total_seconds": round(self.total_seconds, 1),
            },
        }


def examine(data: Path, data_b: Path | None = None, seconds: int | float = 5.0) -> Report:
    """Look at every picture, judge, advise, and train for a few seconds to see how fast that goes; writes nothing.

    `seconds` of 0 leaves the throughput out. A `UserError` is raised only where a name is wrong; data that is there and
    cannot be trained on is a finding.
    """
    require(0 <= seconds < inf, f"seconds must be at least 0, got {seconds}")
    given = [path for path in (data, data_b) if path is not None]
    try:
        parts = find_parts(data, data_b)
    except UserError as error:
        if not all(path.exists() or any(parent.is_file() for parent in path.parents) for path in given):
            raise  # nothing lies at one of the paths, not even in a zip
        what, _, do = str(error).partition("; ")
        problem = DataFinding("problem", "cannot_open", what, f"{capitalised(do)}." if do else "")
        return Report(given, [], find_alike([]), [problem])
    with opening_progress() as progress:
        facts: list[PartFacts] = []
        for part in parts:  # val is read as its train
            ranges = [each.value_range for each in facts if each.part.domain == part.domain]
            facts.append(scan(part, progress, *ranges[:1]))
    alike = find_alike([picture for part in facts for picture in part.pictures])
    train = [part for part in facts if part.part.split == "train"]
    can_train = all(part.pictures for part in train)
    advised = advise(train, data, data_b, choose_device().type != "cpu") if can_train else []
    findings = find_problems(facts, alike, advised[0].size if advised else None)
    found = None
    if advised and seconds > 0:
        say(f"opening images as training does, and training for {seconds:g} s to see how fast that goes")
        try:
            found = throughput_of(advised[0].config, seconds)
        except UserError as error:
            findings.insert(0, DataFinding("problem", "training_fails", str(error), ""))
    return Report(given, facts, alike, findings, advised, found)


def advise(train: Sequence[PartFacts], data: Path, data_b: Path | None, on_accelerator: bool) -> list[Advice]:
    """What the methods advise that learn from so many sets of images, all of which have readable pictures.

    | advised | when |
    |---|---|
    | preset `small-few` | no accelerator, up to 500 images in colour |
    | `small` | no accelerator, other images |
    | `few-shot` | accelerator, up to 1,000 images |
    | `authors64`, `cifar10` | accelerator, more images, by the size of the pictures |
    | `sketch-photo` | accelerator, two domains |
    | `--conditioning acgan` | each class has at least 100 images, the fewest of a published curve |
    | `--source` | up to 10,000 images, and a bundled source has the size, channels and width of the preset |
    | `--size` | half of the pictures are smaller |
    | `--aspect` | most pictures of both domains share one, and squares would cut a tenth |
    """
    name = data.stem if data_b is None else f"{data.stem}-{data_b.stem}"
    out = Path("runs") / (name.removeprefix(PREFIX) or "mine")
    if out.exists():
        out = next(path for number in count(2) if not (path := out.with_name(f"{out.name}-{number}")).exists())
    where = {"data": data} if data_b is None else {"a": data, "b": data_b}
    return [
        method.advise(train, where, out, on_accelerator)
        for method in methods().values()
        if method.advise is not None and method.domains == len(train)
    ]
