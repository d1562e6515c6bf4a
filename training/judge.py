"""From facts about images to findings: what is an error, what a warning, and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from training.duplicates import Ints, find_same
from training.examine import Facts
from training.findings import Finding, error, plural, shorten, warning
from training.listing import Split

TINY = 32
LONG = 3.0
FEW = 10
IMBALANCE = 10.0

_HELD_OUT = ("val", "test")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image of the data set and what its file holds."""

    name: str
    label: str
    split: Split | None
    group: str | None
    facts: Facts


def judge_files(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """What is wrong or odd with single files."""
    broken = [picture for picture in pictures if picture.facts.fault]
    if broken:
        named = shorten([f"{picture.name}: {picture.facts.fault}" for picture in broken])
        yield error(
            "unreadable", f"{_images(broken)} cannot be read ({named}); remove, copy again or convert", _names(broken)
        )
    whole = [picture for picture in pictures if not picture.facts.fault]
    yield from _judge_modes(whole)
    kinds: tuple[tuple[str, Callable[[Facts], bool], str], ...] = (
        ("blank", lambda facts: facts.plain, "one colour only"),
        ("tiny", lambda facts: min(facts.width, facts.height) < TINY, f"a side of less than {TINY} pixels"),
        ("shape", _is_long, f"one side more than {LONG:g} times as long as the other: a crop loses most of it"),
    )
    for kind, has, what in kinds:
        found = [picture for picture in whole if has(picture.facts)]
        if found:
            yield warning(kind, f"{_images(found)} with {what}", _names(found))
    lying = [picture for picture in whole if picture.facts.lies]
    if lying:
        named = shorten([f"{picture.name} is {picture.facts.lies}" for picture in lying])
        yield warning("suffix", f"{_images(lying)} of another format than the suffix says: {named}", _names(lying))


def _judge_modes(pictures: Sequence[Picture]) -> Iterator[Finding]:
    by_mode: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        by_mode[picture.facts.mode].append(picture)
    if set(by_mode) == {"L"}:
        return  # all grey: nothing is odd about one of them
    for mode, found in sorted(by_mode.items()):
        if mode != "RGB":
            yield warning(
                "mode",
                f"{_images(found)} {'is' if len(found) == 1 else 'are'} not RGB but {_describe_mode(mode)}",
                _names(found),
            )


def _describe_mode(mode: str) -> str:
    if mode.startswith(("I", "F")):
        return f"deeper than 8 bits ({mode}): training sees the upper 8 bits only; scale them yourself"
    known = {"1": "black and white", "L": "grey", "P": "with a palette", "LA": "transparent", "RGBA": "transparent"}
    return f"{known[mode]} ({mode})" if mode in known else mode


def _is_long(facts: Facts) -> bool:
    return max(facts.width, facts.height) > LONG * min(facts.width, facts.height)


def judge_same(pictures: Sequence[Picture]) -> Iterator[Finding]:
    """The same picture, pixel by pixel, more than once. Takes readable pictures."""
    groups = [[pictures[index] for index in group] for group in find_same([p.facts.same_pixels for p in pictures])]
    leaks = [group for group in groups if len({p.split for p in group}) > 1]
    if leaks:
        yield error(
            "leak", f"{plural(len(leaks), 'picture')} in more than one split: keep each in one", map(_together, leaks)
        )
    torn = [group for group in groups if len({p.label for p in group}) > 1]
    if torn:
        what = f"{plural(len(torn), 'picture')} under more than one label: decide which is right"
        yield error("contradiction", what, map(_together, torn))
    rest = [group for group in groups if len({(p.split, p.label) for p in group}) == 1]
    if rest:
        spare = sum(len(group) - 1 for group in rest)
        files = spare - sum(len({p.facts.same_bytes for p in group}) - 1 for group in rest)
        what = f"{plural(spare, 'image repeats', 'images repeat')} another ({files:,} byte by byte): keep one of each"
        yield warning("duplicate", what, map(_together, rest))


def judge_twins(pictures: Sequence[Picture], pairs_P2: Ints) -> Iterator[Finding]:
    """Pictures that look nearly the same, as pairs of indices."""
    pairs = [(pictures[one], pictures[other]) for one, other in pairs_P2]
    leaks = [pair for pair in pairs if pair[0].split != pair[1].split]
    if leaks:
        held_out = {p.name for pair in leaks for p in pair if p.split != "train"}
        what = f"{plural(len(held_out), 'image')} of val or test nearly the same as one of another split"
        yield error("near_leak", f"{what}: keep such images in one split", map(_together, leaks))
    torn = [pair for pair in pairs if pair[0].label != pair[1].label]
    if torn:
        what = f"{plural(len(torn), 'pair')} nearly the same under two labels: look at them"
        yield warning("near_contradiction", what, map(_together, torn))
    rest = [pair for pair in pairs if pair[0].split == pair[1].split and pair[0].label == pair[1].label]
    if rest:
        advice = "" if rest[0][0].split else "; a split by lot may part them"
        yield warning("near_duplicate", f"{plural(len(rest), 'pair')} nearly the same{advice}", map(_together, rest))


def judge_balance(sizes: Mapping[str, int]) -> Iterator[Finding]:
    """Classes by their number of images to train on."""
    few = [f"{label} ({size})" for label, size in sizes.items() if size < FEW]
    if few:
        what = f"{plural(len(few), 'class has', 'classes have')} fewer than {FEW} images to train on"
        yield warning("small_class", f"{what}: {shorten(few)}")
    largest, smallest = max(sizes, key=lambda label: sizes[label]), min(sizes, key=lambda label: sizes[label])
    if sizes[largest] > IMBALANCE * sizes[smallest]:
        what = f"{largest!r} has {sizes[largest]:,} images to train on, {smallest!r} {sizes[smallest]:,}"
        yield warning("imbalance", f"{what}: collect more, or train with data.balance=sampler or loss")


def judge_slices(slices: Mapping[str, Mapping[str, int]]) -> Iterator[Finding]:
    """Slices by their number of images in each split."""
    there = {split for counts in slices.values() for split in counts}
    for split in (split for split in ("train", *_HELD_OUT) if split in there):
        missing = [name for name, counts in slices.items() if split not in counts]
        if missing:
            what = "nothing is learnt from" if split == "train" else "nothing will be known of"
            yield warning("missing_slice", f"{split} has no images of {shorten(missing)}: {what} them")


def _images(pictures: Sequence[Picture]) -> str:
    return plural(len(pictures), "image")


def _names(pictures: Sequence[Picture]) -> list[tuple[str, ...]]:
    return [(picture.name,) for picture in pictures]


def _together(pictures: Sequence[Picture]) -> tuple[str, ...]:
    return tuple(picture.name for picture in pictures)
