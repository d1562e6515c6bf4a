"""How figures are said: in the table and on the page."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.bench.result import Bench, Percentiles, Spread

_DOING = {
    "infer": "inference",
    "encode": "encoding",
    "decode": "decoding",
    "draw": "drawing",
    "copy": "copying",
    "records": "writing records",
}


def number(value: float | None) -> str:
    """Three digits that count; – for None."""
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 99.95 else f"{value:#.3g}" if abs(value) >= 0.1 else f"{value:.3f}"


def spread(value: Spread) -> str:
    """The median, and from the lowest to the highest round."""
    return f"{number(value.median)} ({number(value.min)} to {number(value.max)})"


def percent(value: float) -> str:
    """A share in whole per cent."""
    return f"{100 * value:.0f} %"


def percentiles(value: Percentiles) -> tuple[str, str, str]:
    """The 50th, 95th and 99th."""
    return number(value.p50), number(value.p95), number(value.p99)


def what_was_measured(bench: Bench) -> Iterator[str]:
    """The sentences above the figures."""
    clip, model = bench.clip, bench.model
    if bench.streams:
        yield f"live pictures of {clip.width}x{clip.height} at {bench.target_fps:g} fps, painted"
    else:
        decoder = f" decoded with {bench.decoder}" if bench.decoder != "cpu" else ""
        codec = f", {clip.codec}" if clip.codec else ""
        yield f"{clip.name}: {clip.width}x{clip.height}{codec}, {clip.frames} frames{decoder}"
    why = f" ({model.reason})" if model.reason else ""
    yield (
        f"{model.file}: {model.task}, {model.input}, on {model.device}{why}, {', '.join(model.providers)}, "
        f"{model.cpu_nodes} of {model.nodes} nodes on the CPU"
    )
    machine = bench.machine
    yield f"{machine.cpu}, {machine.usable_cores:g} cores{f', {machine.gpu.name}' if machine.gpu else ''}"
    rounds = f"{bench.rounds} round{'s' if bench.rounds > 1 else ''}"
    each = f"{bench.whole.frames} frames" if bench.whole else f"{bench.seconds:g} s"
    read = f", the clip read {bench.loops} times in each" if bench.loops > 1 else ""
    encoder = f"{bench.encoder}, " if bench.encoder not in (None, "x264") else ""
    preset = f" ({encoder}{bench.preset})" if bench.preset else ""
    written = f"records and labelled video{preset}" if bench.encode else "records"
    yield (
        f"{rounds} of {each} after a warm-up of {bench.warm_up_frames} frames{read}; {written} go to a temporary folder"
    )


def the_limit(bench: Bench) -> str:
    """What is in the way of a higher rate, in one sentence; empty where none was looked for."""
    limit = bench.limit
    if limit is None:
        return ""
    name = _DOING.get(limit.resource, limit.resource)
    are = "are" if limit.resource == "the cores" else "is"
    if limit.share is not None:
        return f"{name} {are} the limit: {percent(limit.share)} of the CPU time of a frame"
    why = ": one thread does it, however many cores there are" if bench.model.device == "cpu" else ""
    return f"{name} {are} the limit{why}"


def the_cores(bench: Bench) -> str:
    """What part of all cores the run reached, where they are not its limit; else empty."""
    if bench.efficiency_of_cores is None or bench.limit is None or bench.limit.share is not None:
        return ""
    return f"{spread(bench.efficiency_of_cores)} of what {bench.machine.usable_cores:g} cores would allow"


def the_answer(bench: Bench) -> str:
    """How many cameras this machine takes, in one sentence."""
    most = max((each.streams for each in bench.streams if each.taken), default=0)
    if not most:
        least = bench.streams[0].streams
        what = "not even 1 camera" if least == 1 else f"fewer than {least} cameras"
    else:
        what = f"{most} camera{'s' if most > 1 else ''}"
    more = bench.streams[-1]
    open_end = " or more" if most and more.taken else f", but not {more.streams}" if most else ""
    return f"this machine takes {what}{open_end} of {bench.clip.width}x{bench.clip.height} at {bench.target_fps:g} fps"
