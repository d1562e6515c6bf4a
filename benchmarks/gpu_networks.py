"""What `gpu.py` has measured of all networks, in batches as a run makes them: whole runs beside bare ONNX Runtime, what
NHWC brings, and how far whole runs of different networks differ.
"""

import statistics
from itertools import chain

import gpu_rates
from gpu_rates import BARE, SHARE, SLOT, UNTOUCHED, in_flight, rate, ratio, ways_of
from pages import grouped, paragraphs, table


def to_markdown(measured):
    parts = []
    for line, group in grouped(measured, lambda told: gpu_rates.describe(told["machine"], told["versions"])):
        plan = gpu_rates.default_plan(group[0])
        pairs = list(chain.from_iterable(gpu_rates.networks(told, plan.batch) for told in group))
        if pairs:
            whole = f"{UNTOUCHED}, {plan.workers} in flight"
            parts += [f"{line} Batch {plan.batch}.", _against_bare(pairs, whole), *_beside_inference(pairs, whole)]
    return paragraphs(parts)


def _against_bare(pairs, whole):
    """`whole` is the way of a whole run that was told nothing."""
    columns = list(chain.from_iterable(pairs))
    ways = [way for way in ways_of(columns) if way.startswith(UNTOUCHED)]
    header = ["network", "its frames", "rounds", "frames/s: bare ONNX Runtime"]
    header += [f"frames/s: all, {in_flight(way)} in flight" for way in ways]
    header += [f"all, {in_flight(whole)} in flight (the default) ÷ bare, mark ≥ {SHARE:g}"]
    rows = (
        [
            column.title,
            column.size,
            str(gpu_rates.most_rounds([column])),
            *(rate(column, way) for way in (BARE, *ways)),
            ratio(column.rounds.get(whole), column.rounds.get(BARE), SHARE),
        ]
        for column in columns
    )
    return table(header, rows)


def _beside_inference(pairs, whole):
    """Nothing where inference alone was not measured."""
    slots = [way for way in ways_of(chain.from_iterable(pairs)) if way.startswith(SLOT) and way.endswith("in flight")]
    several = [way for way in slots if in_flight(way) > 1] or slots
    if several:
        most = max(several, key=in_flight)
        yield _gains(pairs, several, most, whole)
        yield _ranges(pairs, most, whole)


def _gains(pairs, several, most, whole):
    inference, run = _name(most, whole)
    header = ["network", *(f"NHWC ÷ without: inference, {in_flight(way)} in flight" for way in several)]
    header += [f"NHWC ÷ without: {run}", f"frames/s: {inference}", f"{run} ÷ {inference}"]
    rows = (
        [
            plain.title,
            *(ratio(nhwc.rounds.get(way), plain.rounds.get(way)) for way in (*several, whole)),
            rate(plain, most),
            ratio(plain.rounds.get(whole), plain.rounds.get(most)),
        ]
        for plain, nhwc in pairs
    )
    return table(header, rows)


def _ranges(pairs, most, whole):
    """Of networks whose frames have one size: the medians of the slowest and of the fastest."""
    rows = []
    for size, alike in grouped(pairs, lambda pair: pair[0].size):
        if size and len(alike) > 1:
            for columns, layout in zip(zip(*alike, strict=True), ("", ", NHWC"), strict=True):
                name = f"{len(alike)} networks, frames of {size}{layout}"
                rows.append([name, *(_range(columns, way) for way in (most, whole))])
    header = ["frames/s of the slowest – of the fastest network, medians", *_name(most, whole)]
    return table(header, rows) if rows else ""


def _range(columns, way):
    medians = [statistics.median(column.rounds[way]) for column in columns if column.rounds.get(way)]
    return f"{min(medians):.0f} – {max(medians):.0f}" if medians else ""


def _name(most, whole):
    return f"inference, {in_flight(most)} in flight", f"all, {in_flight(whole)} in flight"
