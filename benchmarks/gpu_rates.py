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
FASTER = 1.0  # times as fast as the fastest torch.compile, at least

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
    """A network in one layout. `rounds`: frames a second of each way to infer, None of one that failed. `rival`: those
    of the fastest torch.compile, where that was measured.
    """

    title: str
    rounds: dict
    rival: list | None


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
        parts.append(table([f"batch {batch}", "mark", *titles], _against_marks(columns, ways, usual)))
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
    return any(column.rival for batch in _batches(told) for pair in networks(told, batch) for column in pair)


def networks(told, batch):
    """Two columns of each network: without and with NHWC."""
    for name, part in told.items():
        stem, _, number = name.rpartition(", batch ")
        if stem and int(number) == batch:
            precision = told.get(f"{stem}: file", {}).get("precision")
            title = f"`{stem}`, {precision}" if precision else f"`{stem}`"
            rival = _fastest(found["rounds"] for way, found in part["fps"].items() if way.startswith(COMPILED))
            yield Column(title, _rounds(part, False), rival), Column(f"{title}, NHWC", _rounds(part, True), rival)


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


def _fastest(ways):
    return max(filter(None, ways), key=statistics.median, default=None)


def _rates(columns, ways, usual):
    for way in ways:
        yield _say(way, usual), *(rate(column, way) for column in columns)


def _against_marks(columns, ways, usual):
    """Of all of Onsight to bare ONNX Runtime in the same column, and of what is fastest to the fastest of PyTorch."""
    for way in ways:
        if way.startswith(PIPELINE):
            mark = SHARE if way == f"{UNTOUCHED}, {usual} in flight" else None
            cells = [ratio(column.rounds.get(way), column.rounds.get(BARE), mark) for column in columns]
            yield f"{_say(way, usual)} ÷ bare ONNX Runtime", f"≥ {mark:g}" if mark else "", *cells
    whole = f"{UNTOUCHED}, {usual} in flight"
    ours = {f"the fastest of {SAID[each]}": each for each in (BARE, SLOT)} | {_say(whole, usual): whole}
    for words, beginning in ours.items():
        chosen = [way for way in ways if way.startswith(beginning)]
        fastest = (_fastest(column.rounds.get(way) for way in chosen) for column in columns)
        mark = FASTER if beginning == SLOT else None
        cells = [ratio(rounds, column.rival, mark) for rounds, column in zip(fastest, columns, strict=True)]
        if any(cells):
            yield f"{words} ÷ the fastest `torch.compile`", f"≥ {mark:g}" if mark else "", *cells


def _say(way, usual):
    beginning = next((each for each in SAID if way.startswith(each)), "")
    said = SAID.get(beginning, "") + way.removeprefix(beginning)
    return said.replace(f", {usual} in flight", f", {usual} in flight (the default)")


def _left_out(told):
    failed = dict(told["failed"])
    for name, part in told.items():
        if ", batch " in name:
            failed |= {f"{name}, {way}": error for way, error in part["failed"].items()}
    for name, error in failed.items():
        yield f"- {name} failed: {error.strip().splitlines()[-1][:150]}"
    for name in told["skipped"]:
        yield f"- {name}: no time was left"
