import json
import sys

import gpu_networks
import gpu_page
import gpu_rates
import pytest
from support.benches import PERCENTILES, clip_bench, quiet, rounds, streams_bench

from pipeline.bench.result import Within

BARE, SLOT, WHOLE = "bare, on the GPU", "slot, {} in flight", "pipeline, nothing to resize, {} in flight"
GRAPH = "slot, 1 in flight, CUDA graph"
TORCH = "torch.compile fp16, {}"
USUAL = 2  # in flight on four cores


def measured(cores=4, failed=None, batch=8, name="net", **fps):
    """What gpu.py tells of a network; `fps`: rounds of each way."""
    machine = clip_bench().machine.model_copy(update={"cores": cores, "clock_mhz": 2100.0})
    rates = {way: {"median": None, "rounds": list(values)} for way, values in fps.items()}
    return {
        "kind": "onsight gpu benchmark",
        "machine": machine.model_dump(),
        "versions": {"torch": "2.9", "triton": None},
        "failed": {},
        "skipped": [],
        f"{name}: file": {"precision": "fp16", "input": [224, 224]},
        f"{name}, batch {batch}": {"fps": rates, "failed": failed or {}},
    }


def rows_of(text):
    """Cells of each row by its first; what has one in two tables keeps both."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("| "):
            first, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            rows.setdefault(first, []).extend(cells)
    return rows


def rows(**fps):
    return rows_of(gpu_rates.to_markdown(measured(**fps)))


def test_the_machine_is_told_with_the_versions_that_are_there():
    text = gpu_rates.to_markdown(measured(**{BARE: [1.0]}))
    assert text.splitlines()[0] == "A CPU <fast>, 4 cores of 2.1 GHz; torch 2.9."


def test_rates_without_and_with_nhwc_stand_side_by_side():
    told = rows(**{BARE: [3, 1, 2], f"{BARE}, NHWC": [4, 4, 5], TORCH.format("default"): [7, 7, 7]})
    assert told["batch 8, frames/s, 3 rounds"] == ["`net`, fp16", "`net`, fp16, NHWC"]
    assert told["bare ONNX Runtime"] == ["2 (1 – 3)", "4 (4 – 5)"]
    assert told["torch.compile fp16, default"] == ["", "7 (7 – 7)"]


@pytest.mark.parametrize(("cores", "usual"), [(4, 2), (6, 3)])
@pytest.mark.parametrize(("rate", "verdict"), [(95, "0.95 (0.95 – 0.95), reached"), (94, "0.94 (0.94 – 0.94), missed")])
def test_the_default_number_in_flight_is_held_against_bare_onnx_runtime(cores, usual, rate, verdict):
    told = rows(cores=cores, **{BARE: [100.0], WHOLE.format(usual): [rate], WHOLE.format(16): [rate]})
    assert told[f"all of Onsight, nothing to resize, {usual} in flight (the default) ÷ bare ONNX Runtime"] == [
        "≥ 0.95",
        verdict,
        "",
    ]
    assert told["all of Onsight, nothing to resize, 16 in flight ÷ bare ONNX Runtime"] == ["", verdict[:18], ""]


def test_ratios_are_those_of_each_round():
    told = rows(**{BARE: [100.0, 10.0, 1.0], WHOLE.format(USUAL): [90.0, 9.5, 2.0]})
    (cells,) = [cells for first, cells in told.items() if first.endswith("÷ bare ONNX Runtime")]
    assert cells[1] == "0.95 (0.90 – 2.00), reached, within the spread"


def test_nhwc_is_held_against_nhwc():
    told = rows(
        **{BARE: [100], WHOLE.format(USUAL): [90], f"{BARE}, NHWC": [200], f"{WHOLE.format(USUAL)}, NHWC": [200]}
    )
    (cells,) = [cells for first, cells in told.items() if first.endswith("÷ bare ONNX Runtime")]
    assert cells[1:] == ["0.90 (0.90 – 0.90), missed", "1.00 (1.00 – 1.00), reached"]


def test_the_fastest_is_held_against_the_fastest_that_pytorch_has_compiled_and_both_are_named():
    compiled = {TORCH.format("default"): [50.0], TORCH.format("reduce-overhead"): [100.0], "torch eager fp16": [500.0]}
    bare = {BARE: [60.0], f"{BARE}, CUDA graph": [50.0]}
    ours = {SLOT.format(1): [90.0], SLOT.format(4): [100.0], f"{SLOT.format(4)}, NHWC": [99.0]}
    told = rows(**bare, **ours, **{WHOLE.format(USUAL): [70.0]}, **compiled)
    assert told["the fastest of Onsight's model ÷ the fastest `torch.compile`"] == [
        "≥ 1",
        "1.00 (1.00 – 1.00), reached: 4 in flight ÷ reduce-overhead",
        "0.99 (0.99 – 0.99), missed: 4 in flight ÷ reduce-overhead",
    ]
    assert told["the fastest of bare ONNX Runtime ÷ the fastest `torch.compile`"] == [
        "",
        "0.60 (0.60 – 0.60): I/O binding ÷ reduce-overhead",
        "",
    ]
    (whole,) = [cells for first, cells in told.items() if first.startswith("all of Onsight") and "compile" in first]
    assert whole == ["", "0.70 (0.70 – 0.70): 2 in flight ÷ reduce-overhead", ""]


def test_one_batch_with_a_graph_is_held_against_one_that_pytorch_has_with_a_graph():
    ours = {GRAPH: [90, 120, 80], SLOT.format(8): [500, 500, 500]}
    told = rows(**ours, **{TORCH.format("default"): [200] * 3, TORCH.format("reduce-overhead"): [100] * 3})
    assert told["one batch in flight, CUDA graphs, in both: Onsight's model ÷ `torch.compile`"] == [
        "≥ 1",
        "0.90 (0.80 – 1.20), missed, within the spread: 1 in flight, CUDA graph ÷ reduce-overhead",
        "",
    ]


def test_what_pytorch_has_compiled_without_a_graph_is_no_match_for_one():
    told = rows(**{GRAPH: [90.0], TORCH.format("default"): [100.0]})
    assert not any("in both" in first for first in told)
    assert any("the fastest `torch.compile`" in first for first in told)


def test_without_pytorch_nothing_is_held_against_it():
    assert not any("torch.compile" in first for first in rows(**{SLOT.format(4): [1.0]}))


def test_of_single_frames_the_ways_with_one_in_flight_are_shown():
    told = rows(batch=1, **{BARE: [1.0], SLOT.format(1): [1.0], SLOT.format(4): [1.0], WHOLE.format(USUAL): [1.0]})
    assert list(told) == [
        "batch 1, frames/s, 1 rounds",
        "---",
        "bare ONNX Runtime",
        "Onsight's model, 1 in flight",
        "batch 1",
    ]


def test_what_failed_or_had_no_time_is_told():
    text = gpu_rates.to_markdown(
        measured(failed={WHOLE.format(USUAL): "Traceback\nRuntimeError: no\n"}, **{BARE: [1.0]})
        | {"failed": {"other, batch 8": "Traceback\nMemoryError: much\n"}, "skipped": ["net, batch 32"]}
    )
    whole = "all of Onsight, nothing to resize, 2 in flight (the default)"
    assert rows_of(text)[whole] == ["failed", ""]
    assert rows_of(text)[f"{whole} ÷ bare ONNX Runtime"] == ["≥ 0.95", "", ""]
    assert f"- net, batch 8, {WHOLE.format(USUAL)} failed: RuntimeError: no\n" in text
    assert "- other, batch 8 failed: MemoryError: much\n" in text
    assert text.endswith("- net, batch 32: no time was left\n")


def networks(*results):
    return rows_of(gpu_networks.to_markdown(results))


def test_a_whole_run_of_any_network_is_held_against_bare_onnx_runtime_with_and_without_nhwc():
    whole = WHOLE.format(USUAL)
    told = networks(
        measured(
            **{BARE: [100, 100], whole: [95, 94], WHOLE.format(4): [99, 99]},
            **{f"{BARE}, NHWC": [200, 200], f"{whole}, NHWC": [100, 120]},
        )
    )
    assert told["network"] == [
        "its frames",
        "rounds",
        "frames/s: bare ONNX Runtime",
        "frames/s: all, 2 in flight",
        "frames/s: all, 4 in flight",
        "all, 2 in flight (the default) ÷ bare, mark ≥ 0.95",
    ]
    rates = ["100 (100 – 100)", "94 (94 – 95)", "99 (99 – 99)"]
    assert told["`net`, fp16"] == ["224 × 224", "2", *rates, "0.94 (0.94 – 0.95), missed, within the spread"]
    rates = ["200 (200 – 200)", "110 (100 – 120)", ""]
    assert told["`net`, fp16, NHWC"] == ["224 × 224", "2", *rates, "0.55 (0.50 – 0.60), missed"]


def test_what_nhwc_brings_and_what_a_whole_run_has_of_inference():
    nhwc = {f"{SLOT.format(1)}, NHWC": [9], f"{SLOT.format(4)}, NHWC": [120], f"{WHOLE.format(USUAL)}, NHWC": [70]}
    told = networks(measured(**{SLOT.format(1): [3], SLOT.format(4): [100], WHOLE.format(USUAL): [50]}, **nhwc))
    assert told["network"][5:] == [
        "NHWC ÷ without: inference, 4 in flight",
        "NHWC ÷ without: all, 2 in flight",
        "frames/s: inference, 4 in flight",
        "all, 2 in flight ÷ inference, 4 in flight",
    ]
    ratios = ["1.20 (1.20 – 1.20)", "1.40 (1.40 – 1.40)", "100 (100 – 100)", "0.50 (0.50 – 0.50)"]
    assert told["`net`, fp16"][5:] == ratios


def test_one_number_in_flight_is_enough_to_tell_what_nhwc_brings():
    told = networks(measured(**{SLOT.format(1): [2], f"{SLOT.format(1)}, NHWC": [3], GRAPH: [9]}))
    assert told["`net`, fp16"][4:] == ["1.50 (1.50 – 1.50)", "", "2 (2 – 2)", ""]


def test_without_inference_alone_a_whole_run_is_told_by_itself():
    told = networks(measured(**{BARE: [2], WHOLE.format(USUAL): [1]}))
    assert len(told["network"]) == 5


def test_how_far_networks_of_one_size_of_frames_differ():
    fps = {name: {SLOT.format(4): [10 * by] * 3, WHOLE.format(USUAL): [by, 2, 3]} for name, by in (("a", 1), ("b", 9))}
    told = networks(*(measured(name=name, **each) for name, each in fps.items()))
    assert told["2 networks, frames of 224 × 224"] == ["10 – 90", "2 – 3"]
    assert told["2 networks, frames of 224 × 224, NHWC"] == ["", ""]


def test_networks_of_one_machine_share_a_table_and_those_of_two_do_not():
    one, other = (measured(cores, **{WHOLE.format(2): [1]}) for cores in (4, 2))
    assert gpu_networks.to_markdown([one, one]).count("| network |") == 1
    assert gpu_networks.to_markdown([one, other]).count("| network |") == 2


def test_batches_that_no_run_has_by_default_are_left_out_of_what_nhwc_brings():
    assert gpu_networks.to_markdown([measured(batch=16, **{SLOT.format(4): [1]})]) == ""


def test_runs_of_onsight_bench():
    drawn = clip_bench(100, preset="fast", warnings=("not quiet", "short"), loops=3)
    nvdec = clip_bench(
        200, decoder="nvdec", encode=False, nhwc=True, workers=8, conditions=quiet(gpu_memory_bytes=3 * 2**29)
    )
    text = gpu_page.to_video([drawn, nvdec])
    told = rows_of(text)
    assert "`clip.mp4`, 160 × 120, 500 frames at 25 fps; 5 rounds." in text
    assert told["`m.onnx`, decoder cpu, drawn, encoder x264 fast"] == [
        "100 (99 – 101)",
        "11.0 (10.9 – 11.1)",
        "infer",
        "0.50 (0.49 – 0.51)",
        "1.00",
        "2.00 (1.98 – 2.02)",
        "",
    ]
    assert told["`m.onnx`, decoder nvdec, not drawn, 8 in flight, NHWC"][-1] == "1.5 GiB"
    assert text.endswith("- `m.onnx`, decoder cpu, drawn, encoder x264 fast: not quiet; short\n")


def test_a_column_of_what_no_run_has_told_is_left_out():
    told = rows_of(gpu_page.to_video([clip_bench()]))
    assert "GPU memory in use, at most" not in told["run"]


def test_how_full_the_batches_were_and_how_long_the_decoder_took_in_the_run():
    bench = clip_bench()
    stages = (Within(name="decode", frame_ms=PERCENTILES.model_copy(update={"p50": 1.5})), *bench.whole.stages)
    whole = bench.whole.model_copy(update={"frames_per_inference": rounds(6), "stages": stages})
    told = rows_of(gpu_page.to_video([bench.model_copy(update={"whole": whole}), bench]))
    columns = dict(zip(told["run"], told["`m.onnx`, decoder cpu, drawn, encoder x264"], strict=False))
    assert columns["frames in an inference"] == "6.0 (5.9 – 6.1)"
    assert columns["decoder in the run, ms a frame: median"] == "1.50"


def test_files_of_something_else_and_live_streams_are_refused(tmp_path, monkeypatch, capsys):
    for told in ('{"kind": "soak"}', "{}", streams_bench({1: True}).model_dump_json()):
        path = tmp_path / "other.json"
        path.write_text(told, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["gpu_page.py", str(path)])
        with pytest.raises(SystemExit):
            gpu_page.main()
        assert "other.json was made neither by" in capsys.readouterr().err


def test_a_page_is_not_written_from_a_part_of_what_it_needs(tmp_path, monkeypatch, capsys):
    path, page = tmp_path / "gpu.json", tmp_path / "page.md"
    path.write_text(json.dumps(measured(**{SLOT.format(4): [1], WHOLE.format(2): [1]})), encoding="utf-8")
    page.write_text("<!-- gpu-networks -->\n<!-- /gpu-networks -->\n", encoding="utf-8")
    before = page.read_bytes()
    monkeypatch.setattr(sys, "argv", ["gpu_page.py", str(path), "--write", str(page)])
    with pytest.raises(SystemExit):
        gpu_page.main()
    assert "nothing for gpu, gpu-video" in capsys.readouterr().err
    assert page.read_bytes() == before
