"""What `marks.py` has measured, as a page says it: medians with their spread, beside the marks."""

import statistics
from itertools import chain

import throughput
from pages import list_versions, paragraphs, spread, table, verdict

FASTER = {  # at least so many times as fast as a rival
    ("YOLOv8n", "ultralytics"): 1.8,
    ("YOLOv8n", "plain loop, square"): 1.9,
    ("YOLOv8n", "plain loop"): 1.3,
    ("YOLOX-nano", "plain loop"): 1.35,
    ("EfficientNet-Lite0", "plain loop"): 1.4,
}
EFFICIENCY = 0.92  # at least
OVERHEAD = 0.03  # of the CPU time of a run that writes records alone, at most
ENCODING = 0.2  # of the CPU time of a run that writes a labelled video, at most
PROFILE = {  # stages of a run, and those of `onsight bench` that they are made of
    "decode": ("decode",),
    "infer": ("infer",),
    "resize, results": ("resize", "results"),
    "draw": ("draw",),
    "write": ("encode", "records"),
}
RIVALS = {
    "ultralytics": "Ultralytics `predict(save=True)`",
    "supervision": "supervision `process_video`",
    "plain loop": "the plain loop",
    "plain loop, square": "the plain loop, letterbox to a square",
    "staged": "the loop's functions in threads",
}


def to_markdown(told):
    cases = told["cases"]
    odd = _odd_versions(told["machine"]["versions"], cases)
    return paragraphs((_describe(told), odd, _compare(cases), _weigh(cases), _profile(cases), _warn(cases)))


def _describe(told):
    machine, cases = told["machine"], told["cases"].values()
    versions = machine["versions"]
    for case in cases:
        for result in case["rounds"][0].values():
            versions = {**result.get("versions", {}), **versions}
    where = f"{told['made']}, {machine['cpu']}, {machine['cores']} cores; {list_versions(versions)}."
    rounds = f"{told['count']} rounds in turn: medians, lowest and highest"
    return f"{where}\nClips of {told['seconds']:g} s or more, {rounds}."


def _odd_versions(ours, cases):
    """Packages of which a rival has another version than Onsight: then the comparison is of these, too."""
    lines = [
        f"- {RIVALS[rival]}, {title}: {name} {version}, not {ours[name]}"
        for title, case in cases.items()
        for rival, result in case["rounds"][0].items()
        for name, version in result.get("versions", {}).items()
        if version != ours.get(name, version)
    ]
    return "\n".join(lines)


def _compare(cases):
    told = ("Onsight, fps", "beside", "its fps", "Onsight is faster by", "its stages allow")
    rows = []
    for title, case in cases.items():
        rates = throughput.to_rates(case["rounds"])
        ours = rates.pop("onsight")
        for rival, theirs in rates.items():
            times = [one / other for one, other in zip(ours, theirs, strict=True)]
            allowed = [fps / statistics.median(theirs) for fps in case["bench"]["limit"]["fps"]["rounds"]]
            speeds = (spread(ours, ".1f"), RIVALS[rival], spread(theirs, ".1f"))
            mark = FASTER.get((title, rival))
            judged = (f"{mark:g} ×", verdict(times, mark)) if mark else ("", "")
            ratios = (spread(each, ".2f", " ×") for each in (times, allowed))
            rows.append((f"{title}, {case['clip']}", *speeds, *ratios, *judged))
    return table(("network, clip", *told, "mark", ""), rows)


def _weigh(cases):
    marks = (f"efficiency ≥ {EFFICIENCY}", f"overhead ≤ {OVERHEAD:.0%}", f"encoding ≤ {ENCODING:.0%}")
    rows = []
    for title, case in cases.items():
        efficiency = case["bench"]["efficiency"]["rounds"]
        overhead = [_beside(each) for each in case["records"]]
        encoding = [each["stages"]["write"] / each["cpu"] for each in case["labelled"]]
        presets = ", ".join(sorted({each["preset"] for each in case["labelled"]}))
        judged = (
            (spread(efficiency, ".3f"), verdict(efficiency, EFFICIENCY)),
            (spread(overhead, ".1%"), verdict(overhead, OVERHEAD, at_least=False)),
            (spread(encoding, ".1%"), verdict(encoding, ENCODING, at_least=False)),
        )
        rows.append((title, *chain.from_iterable(judged), presets))
    return table(("network", *chain.from_iterable((mark, "") for mark in marks), "preset"), rows)


def _profile(cases):
    """Where the CPU time of a frame goes that the stages do not take when they are alone."""
    rows = []
    for title, case in cases.items():
        bench = case["bench"]
        costs = {each["name"]: each["cpu_ms"]["median"] for each in bench["alone"]}
        alone = [sum(costs[stage] for stage in stages) for stages in PROFILE.values()]
        rows.append(_row(title, f"stages alone, {bench['preset']}", (*alone, 0, sum(alone)), ""))
        alike = [each for each in case["labelled"] if each["preset"] == bench["preset"]] or case["labelled"]
        where = f"in the run, rounds with {', '.join(sorted({each['preset'] for each in alike}))}: {len(alike)}"
        rows.append(_row("", where, map(statistics.median, zip(*map(_split, alike), strict=True)), _sharing(bench)))
        unknown, cost = [None] * (len(PROFILE) + 1), bench["whole"]["cpu_ms"]["median"]
        rows.append(_row("", "in the runs of `onsight bench`", (*unknown, cost), _idle(bench)))
    return table(("network", "CPU ms a frame", *PROFILE, "else", "sum", ""), rows)


def _warn(cases):
    warnings = ((title, warning) for title, case in cases.items() for warning in case["bench"]["warnings"])
    return "\n".join(f"- {title}, `onsight bench`: {warning}" for title, warning in warnings)


def _row(title, where, milliseconds, note):
    return title, where, *("" if each is None else f"{each:.2f}" for each in milliseconds), note


def _split(shares):
    """Milliseconds of a frame in each stage of the profile, in what is none, and in all."""
    stages = [shares["stages"][name] for name in PROFILE]
    parts = (*stages, shares["cpu"] - sum(stages), shares["cpu"])
    return [1000 * seconds / shares["frames"] for seconds in parts]


def _idle(bench):
    """The part of the cores that did nothing in the runs of the bench."""
    cores, whole = bench["machine"]["cores"], bench["whole"]
    rounds = zip(whole["fps"]["rounds"], whole["cpu_ms"]["rounds"], strict=True)
    return f"idle of the cores: {spread([1 - fps * cpu / (1000 * cores) for fps, cpu in rounds], '.1%')}"


def _sharing(bench):
    together = bench["together"]
    if together is None:
        return ""
    ratio, bound = together["ratio"]["rounds"], together["bound"]["rounds"]
    return (
        f"{together['inferences']} inferences at once cost {spread(ratio, '.2f')} times one alone: "
        f"efficiency ≤ {spread(bound, '.2f')}"
    )


def _beside(shares):
    """The part of the CPU time that is neither the decoder's nor the model's."""
    stages = shares["stages"]
    return 1 - (stages["decode"] + stages["infer"] + stages["resize, results"]) / shares["cpu"]
