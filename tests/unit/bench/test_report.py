import re

import pytest
from support.benches import clip_bench, quiet, streams_bench
from support.pages import Page

from pipeline.bench.plots import plot_timeline
from pipeline.bench.report import render
from pipeline.bench.result import Gpu, Percentiles
from pipeline.bench.spans import Span
from pipeline.bench.table import print_bench
from pipeline.bench.trace import cut_out

SPANS = [
    Span(stage, thread, 0, i, 1, i / 10 + begin, i / 10 + begin + 0.02, 0.05)
    for i in range(30)
    for stage, thread, begin in (("decode", "a<b>.mp4", 0), ("infer", "worker 0", 0.02), ("write", "MainThread", 0.04))
]


@pytest.mark.parametrize(
    ("bench", "plots"), [(clip_bench(), 4), (streams_bench({1: True, 2: False}), 2)], ids=["clip", "streams"]
)
def test_the_page_needs_nothing_beside_it(bench, plots):
    text = render(bench, SPANS)
    page = Page(text)
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert not re.search(r"@import|url\((?!#)", text)
    assert page.tags.count("svg") == plots


def test_the_page_says_what_the_figures_say():
    text = Page(render(clip_bench(warnings=("the clip is <short>",)), SPANS)).text
    assert "Inference is the limit: 80 % of the CPU time of a frame" in text
    assert "5 rounds of 500 frames after a warm-up of 50 frames" in text
    assert "The clip is <short>." in text
    assert "A CPU <fast>" in text
    assert "on cpu, CPUExecutionProvider, 9 of 9 nodes on the CPU" in text


@pytest.mark.parametrize(("memory", "told"), [(3 * 2**30, True), (None, False)])
def test_the_memory_of_a_gpu_is_told_where_there_is_one(memory, told, capsys):
    bench = clip_bench(conditions=quiet(gpu_memory_bytes=memory))
    print_bench(bench)
    texts = (capsys.readouterr().out, Page(render(bench, SPANS)).text)
    for text in texts:
        assert text.count("GPU memory in use") == told
        assert text.count("3072 MiB") == told


@pytest.mark.parametrize(
    ("reasons", "told"), [(None, "GPU unknown"), ((), "GPU never"), (("power limit", "heat"), "GPU power limit, heat")]
)
def test_what_slowed_a_gpu_down_is_told_where_there_is_one(reasons, told):
    bench = clip_bench(conditions=quiet(gpu_throttled=reasons))
    assert "GPU" not in Page(render(bench, SPANS)).text
    gpu = Gpu.model_validate({**dict.fromkeys(Gpu.model_fields), "name": "A GPU", "driver": "580"})
    machine = bench.machine.model_copy(update={"gpu": gpu})
    assert f"CPU quota unknown, {told}" in Page(render(bench.model_copy(update={"machine": machine}), SPANS)).text


def test_the_page_of_streams_tells_the_memory_of_a_gpu_too():
    bench = streams_bench({1: True}, conditions=quiet(gpu_memory_bytes=3 * 2**30))
    assert "GPU memory in use 3072 MiB at most" in Page(render(bench, SPANS)).text


@pytest.mark.parametrize(
    ("device", "shared", "copies"), [("cpu", "all stages;", False), ("cuda", "all stages but inference;", True)]
)
def test_the_efficiency_is_explained_as_it_is_on_the_device(device, shared, copies):
    bench = clip_bench()
    bench = bench.model_copy(update={"model": bench.model.model_copy(update={"device": device})})
    text = Page(render(bench, SPANS)).text
    assert f"the cores, which share the CPU time of {shared}" in text
    assert ("the GPU, whose copies and inferences run side by side" in text) == copies


def test_the_page_says_how_old_frames_are_at_the_end_and_how_it_was_measured():
    bench = clip_bench(workers=3)
    written = Percentiles(p50=41.0, p95=52.0, p99=63.0, n=500)
    whole = bench.whole.model_copy(update={"written": written})
    text = Page(render(bench.model_copy(update={"whole": whole}), SPANS)).text
    assert "Age when written 41.0 ms p95 52.0, p99 63.0 ms" in text
    assert "Workers 3, which infer side by side" in text
    assert "5 of about 5 s, after a warm-up" in text
    assert "5 of 5 s, after a warm-up" in Page(render(streams_bench({1: True}), SPANS)).text


def test_threads_of_streams_have_their_numbers_in_order_and_room_of_their_own():
    def read(streams):
        return [
            Span("decode", f"synthetic:160x90@30?live=1&seed={stream}", stream, i, 1, i / 30, (i + 1) / 30, 0)
            for stream in range(streams)
            for i in range(90)
        ]

    def height(svg):
        return float(re.search(r'viewBox="0 0 [\d.]+ ([\d.]+)"', svg)[1])

    many = plot_timeline(cut_out(read(16), 0.05))
    assert re.findall(r">stream (\d+)<", many) == [str(number) for number in range(1, 17)]
    assert "synthetic" not in many
    assert height(many) > 16 * 15 > height(plot_timeline(read(2)))  # 72 to an inch; letters are 9.5 high


def test_the_timeline_shows_every_stream():
    """The frames of each come one after the other, as those of cameras that were started in turn."""
    read = [
        Span(stage, f"camera {stream}", stream, i, 1, begin, begin + 0.001, 0)
        for i in range(60)
        for stream in range(30)
        for stage, begin in (("decode", i + stream / 30), ("write", i + stream / 30))
    ]
    assert len(set(re.findall(r">stream (\d+)<", render(streams_bench({30: True}), read)))) == 30


def test_streams_begin_with_the_answer():
    text = Page(render(streams_bench({1: True, 2: False}), SPANS)).text
    assert "This machine takes 1 camera, but not 2 of 160x120 at 30 fps." in text


def test_a_run_without_spans_has_a_page_too():
    assert Page(render(clip_bench(), [])).tags.count("svg") == 3


def test_threads_are_named_as_plain_text():
    assert "a&lt;b&gt;.mp4" in render(clip_bench(), SPANS)
