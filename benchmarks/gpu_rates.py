"""What `gpu.py` has measured, as tables: medians of rounds, lowest and highest; ratios are those of each round."""

import re
import statistics
from itertools import chain
from typing import NamedTuple

from pages import paragraphs, spread, table, verdict

from pipeline.bench.result import Machine
from pipeline.schedule import plan

KIND = "onsight gpu benchmark"
SHARE = 0.95  # of the rate of bare ONNX Runtime, at least
FASTER = 1.0  # times as fast as torch.compile, at least
GRAPHED = ("reduce-overhead", "max-autotune")  # modes of torch.compile that record CUDA graphs

BARE, SLOT, PIPELINE, COMPILED = "bare, on the GPU", "slot", "pipeline", "torch.compile"
UNTOUCHED = f"{PIPELINE}, nothing to resize"
SAID = {  # how the tables begin what `gpu.py` begins so
    BARE: "bare ONNX Runtime",
    "bare, copied": "bare ONNX Runtime, with copies",
    "plain": "`session.run` with arrays",
    SLOT: "Onsight's model",
    PIPELINE: "all of Onsight",
}


class Column(NamedTuple):
    """A network in one layout, and the size of its frames. `rounds`: frames a second of each way to infer, None of one
    that failed. `rivals`: those of torch.compile by its modes, where it was measured.
    """

    title: str
    size: str
    rounds: dict
    rivals: dict


def to_markdown(told):
    """All figures of a file; of single frames only the ways that have one in flight, as a camera has it."""
    parts, usual = [describe(told["machine"], told["versions"])], default_plan(told).workers
    for batch in _batches(told):
        columns = list(chain.from_iterable(networks(told, batch)))
        ways = [way for way in ways_of(columns) if batch > 1 or in_flight(way) <= 1]
        titles = [column.title for column in columns]
        parts.append(
            table([f"batch {batch}, frames/s, {most_rounds(columns)} rounds", *titles], _rates(columns, ways, usual))
        )
        rows = chain(_against_bare(columns, ways, usual), _against_compiled(columns, ways, usual))
        parts.append(table([f"batch {batch}", "mark", *titles], rows))
    parts.append("\n".join(_left_out(told)))
    return paragraphs(parts)


def describe(machine, versions):
    machine = Machine.model_validate(machine)
    gpu = f"{machine.gpu.name}, driver {machine.gpu.driver}; " if machine.gpu else ""
    clock = f" of {machine.clock_mhz / 1000:.1f} GHz" if machine.clock_mhz else ""
    named = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return f"{gpu}{machine.cpu}, {machine.cores} cores{clock}; {named}."


def default_plan(told):
    """What a run does on these cores unless told otherwise."""
    return plan(latency=False, gpu=True, cores=told["machine"]["cores"])


def has_rival(told):
    return any(column.rivals for batch in _batches(told) for pair in networks(told, batch) for column in pair)


def networks(told, batch):
    """Two columns of each network: without and with NHWC."""
    for name, part in told.items():
        stem, _, number = name.rpartition(", batch ")
        if stem and int(number) == batch:
            facts = told.get(f"{stem}: file", {})
            title, size = f"`{stem}`", " × ".join(map(str, facts.get("input", ())))
            title += f", {facts['precision']}" if facts.get("precision") else ""
            fps = part["fps"].items()
            rivals = {way.rpartition(", ")[2]: found["rounds"] for way, found in fps if way.startswith(COMPILED)}
            plain, nhwc = (_rounds(part, nhwc) for nhwc in (False, True))
            yield Column(title, size, plain, rivals), Column(f"{title}, NHWC", size, nhwc, rivals)


def ways_of(columns):
    return list(dict.fromkeys(way for column in columns for way in column.rounds))


def most_rounds(columns):
    return max((len(rounds) for column in columns for rounds in column.rounds.values() if rounds), default=0)


def in_flight(way):
    found = re.search(r"(\d+) in flight", way)
    return int(found[1]) if found else 0


def rate(column, way):
    if way not in column.rounds:
        return ""
    rounds = column.rounds[way]
    return spread(rounds, ".0f") if rounds else "failed"


def ratio(ours, theirs, mark=None):
    if not ours or not theirs:
        return ""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return spread(ratios, ".2f") + (f", {verdict(ratios, mark)}" if mark is not None else "")


def _batches(told):
    return dict.fromkeys(int(name.rpartition(", batch ")[2]) for name in told if ", batch " in name)


def _rounds(part, nhwc):
    rounds = {}
    for name in part["fps"] | part["failed"]:
        way = name.replace(", NHWC", "")
        if (way != name or name.startswith("torch")) == nhwc:  # PyTorch has the channels last, too
            rounds[way] = None if name in part["failed"] else part["fps"][name]["rounds"]
    return rounds


def _rates(columns, ways, usual):
    for way in ways:
        yield _say(way, usual), *(rate(column, way) for column in columns)


def _against_bare(columns, ways, usual):
    """All of Onsight to bare ONNX Runtime in the same column."""
    for way in ways:
        if way.startswith(PIPELINE):
            mark = SHARE if way == f"{UNTOUCHED}, {usual} in flight" else None
            cells = [ratio(column.rounds.get(way), column.rounds.get(BARE), mark) for column in columns]
            yield f"{_say(way, usual)} ÷ bare ONNX Runtime", f"≥ {mark:g}" if mark else "", *cells


def _against_compiled(columns, ways, usual):
    """What is fastest to the fastest of PyTorch, which has one batch in flight; and like to like."""
    whole, alike = f"{UNTOUCHED}, {usual} in flight", f"{SLOT}, 1 in flight, CUDA graph"
    modes = list(dict.fromkeys(mode for column in columns for mode in column.rivals))
    graphed = [mode for mode in modes if mode in GRAPHED]
    contests = [
        (f"the fastest of {SAID[BARE]}", BARE, "the fastest `torch.compile`", modes, None),
        (f"the fastest of {SAID[SLOT]}", SLOT, "the fastest `torch.compile`", modes, FASTER),
        (f"one batch in flight, CUDA graphs, in both: {SAID[SLOT]}", alike, "`torch.compile`", graphed, FASTER),
        (_say(whole, usual), whole, "the fastest `torch.compile`", modes, None),
    ]
    for ours, beginning, theirs, allowed, mark in contests:
        chosen = [way for way in ways if way.startswith(beginning)]
        cells = [_contest(column, chosen, allowed, mark) for column in columns]
        if any(cells):
            yield f"{ours} ÷ {theirs}", f"≥ {mark:g}" if mark else "", *cells


def _contest(column, ways, modes, mark):
    """The fastest of the ways to the fastest of the modes, by their names."""
    way, ours = _fastest(column.rounds, ways)
    mode, theirs = _fastest(column.rivals, modes)
    if not ours or not theirs:
        return ""
    name = way.removeprefix(_kind(way)).removeprefix(", nothing to resize").removeprefix(", ")
    return f"{ratio(ours, theirs, mark)}: {name or 'I/O binding'} ÷ {mode}"


def _fastest(rounds, names):
    found = [(name, rounds[name]) for name in names if rounds.get(name)]
    return max(found, key=lambda each: statistics.median(each[1]), default=(None, None))


def _say(way, usual):
    beginning = _kind(way)
    said = SAID.get(beginning, "") + way.removeprefix(beginning)
    return said.replace(f", {usual} in flight", f", {usual} in flight (the default)")


def _kind(way):
    return next((each for each in SAID if way.startswith(each)), "")


def _left_out(told):
    failed = dict(told["failed"])
    for name, part in told.items():
        if ", batch " in name:
            failed |= {f"{name}, {way}": error for way, error in part["failed"].items()}
    for name, error in failed.items():
        yield f"- {name} failed: {error.strip().splitlines()[-1][:150]}"
    for name in told["skipped"]:
        yield f"- {name}: no time was left"
