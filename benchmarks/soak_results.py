"""What `soak.py` has seen: figures, faults and tables. A sample holds the time `at`, in seconds since the beginning."""

from itertools import pairwise
from statistics import mean, median

CAMERAS = ("north", "east", "south", "west")
GROWTH = 0.05  # of the memory, at most
LATER = 1.5  # times the first window's p99 of latency is flat: one that grows without end has passed it long since
KEPT = 0.9  # of their rate that the other cameras keep while one is disturbed, at least
NOTICED = ("kill", "pause")  # what makes a gap in any case
SOON = 20.0  # seconds in which a camera is live again: the longest wait for the next try, and a try


def measure(samples, disturbances, seconds, settled, minute, rate):
    before = [each for each in samples if settled - minute <= each["at"] < settled]
    after = [each for each in samples if each["at"] >= seconds - minute]
    span = samples[-1]["at"] - samples[0]["at"]
    return {
        "memory": {**levels(before, after, "memory"), "minutes": minutes(samples, "memory")},
        "threads": levels(before, after, "threads"),
        "files": levels(before, after, "files"),
        "cores": round((samples[-1]["cpu"] - samples[0]["cpu"]) / span, 3),
        "busy": busy(samples),
        "cameras": {name: measure_camera(samples, name, disturbances, settled) for name in CAMERAS},
        "disturbances": [measure_disturbance(samples, each, rate) for each in disturbances],
    }


def busy(samples):
    """The share of the whole machine that was at work, for whomever."""
    return round(mean(each["busy"] for each in samples), 3)


def levels(before, after, what):
    first, last = (median(each[what] for each in part) for part in (before, after))
    return {"settled": first, "last": last, "growth": round(last / first - 1, 4)}


def minutes(samples, what):
    by_minute = {}
    for each in samples:
        by_minute.setdefault(int(each["at"] // 60), []).append(each[what])
    return [median(values) for values in by_minute.values()]


def measure_camera(samples, name, disturbances, window):
    last = samples[-1]["cameras"][name]
    own = [each for each in disturbances if each.camera == name and each.began is not None]
    opened = [
        (later["at"], later["cameras"][name]["gaps"] - earlier["cameras"][name]["gaps"])
        for earlier, later in pairwise(samples)
    ]
    unexplained = sum(
        count for at, count in opened if not any(each.began <= at <= (each.back or at) + 1 for each in own)
    )
    return {
        "fps": median(each["cameras"][name]["fps"] for each in samples),
        "latency_p99": latencies(samples, name, window),
        "unexplained": unexplained + samples[0]["cameras"][name]["gaps"],
        **{key: last[key] for key in ("frames", "dropped", "withheld", "gaps", "gap_seconds")},
    }


def latencies(samples, name, window):
    """Of each window the median and the highest of the 99th percentiles, each of five seconds; in seconds."""
    by_window = {}
    for each in samples:
        if (latency := each["cameras"][name]["latency"]) is not None:
            by_window.setdefault(int(each["at"] // window), []).append(latency)
    return [{"median": round(median(all_), 4), "highest": round(max(all_), 4)} for all_ in by_window.values()]


def measure_disturbance(samples, disturbance, rate):
    end = disturbance.back or samples[-1]["at"]
    meanwhile = [each for each in samples if disturbance.began <= each["at"] <= end]
    first, last = meanwhile[0], meanwhile[-1]

    def grown(name, what):
        return last["cameras"][name][what] - first["cameras"][name][what]

    others = min(grown(name, "frames") for name in CAMERAS if name != disturbance.camera)
    return {
        "camera": disturbance.camera,
        "kind": disturbance.kind,
        "at": round(disturbance.began, 1),
        "back_after": disturbance.back and round(disturbance.back - disturbance.well, 1),
        "gaps": grown(disturbance.camera, "gaps"),
        "gap_seconds": round(grown(disturbance.camera, "gap_seconds"), 1),
        "others": round(others / (last["at"] - first["at"]) / rate, 3),
        "busy": busy(meanwhile),
    }


def find_faults(results):
    if results["memory"]["growth"] > GROWTH:
        yield f"memory grew by {results['memory']['growth']:.1%}"
    for name, camera in results["cameras"].items():
        if camera["unexplained"]:
            yield f"{name}: {camera['unexplained']} gaps that nothing explains"
        if camera["withheld"]:
            yield f"{name}: {camera['withheld']} frames were withheld"
    yield from find_rise(results["cameras"].values())
    for each in results["disturbances"]:
        what = f"{each['kind']} of {each['camera']}"
        if each["back_after"] is None or each["back_after"] > SOON:
            yield f"{what}: it was not back within {SOON:g} s"
        if each["kind"] in NOTICED and not each["gaps"]:
            yield f"{what}: no gap was noticed"
        if each["others"] < KEPT:
            yield f"{what}: another camera showed {each['others']:.0%} of its frames"
    if results["end"]["code"]:
        yield f"the server ended with code {results['end']['code']}"


def find_rise(cameras):
    """Their mean is judged, window by window: after each lost connection, chance has it anew whose frames coincide, and
    one camera waits where another waited before.
    """
    by_camera = [[part["median"] for part in each["latency_p99"]] for each in cameras]
    windows = [mean(medians) for medians in zip(*by_camera, strict=False)]
    if len(windows) > 1 and windows[-1] > LATER * windows[0]:
        yield f"the p99 of the latency rose from {1e3 * windows[0]:.0f} to {1e3 * windows[-1]:.0f} ms"


def show(results):
    memory = results["memory"]
    first, last = (memory[when] / 1e6 for when in ("settled", "last"))
    print(f"\nmemory   {first:.1f} MB, at the end {last:.1f} MB: {memory['growth']:+.1%}")
    for what in ("threads", "files"):
        print(f"{what:<8} {results[what]['settled']:g}, at the end {results[what]['last']:g}")
    print(f"cores    {results['cores']:.2f}, with all that ran beside it {results['busy']:.0%} of the machine")
    print(f"events   {results['events']}, of them with clips {results['clips']}")
    print(f"ended    with code {results['end']['code']} after {results['end']['seconds']:.1f} s\n")
    print("camera    fps  frames  dropped  gaps  unexplained  p99 of latency in ms, median (highest)")
    for name, each in results["cameras"].items():
        late = "  ".join(f"{1e3 * part['median']:.0f} ({1e3 * part['highest']:.0f})" for part in each["latency_p99"])
        counts = f"{each['frames']:>6}  {each['dropped']:>7}  {each['gaps']:>4}  {each['unexplained']:>11}"
        print(f"{name:<6} {each['fps']:6.1f}  {counts}  {late}")
    print("\nat s    camera  disturbance  gaps  seconds  back after s  others' frames  machine busy")
    for each in results["disturbances"]:
        what = f"{each['at']:<6}  {each['camera']:<6}  {each['kind']:<11}  {each['gaps']:>4}  {each['gap_seconds']:>7}"
        print(f"{what}  {each['back_after'] or '-':>12}  {each['others']:>14.0%}  {each['busy']:>12.0%}")
