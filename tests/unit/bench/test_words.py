import pytest
from support.benches import clip_bench, streams_bench

from pipeline.bench.words import number, spread, the_limit, what_was_measured


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0.0, "0.000"),
        (0.0123, "0.012"),
        (0.5, "0.500"),
        (8.0, "8.00"),
        (99.94, "99.9"),
        (99.96, "100"),
        (1234.5, "1234"),
    ],
)
def test_three_digits_that_count(value, said):
    assert number(value) == said


def test_a_spread_names_its_ends():
    assert spread(clip_bench(100).whole.fps) == "100 (99.0 to 101)"


@pytest.mark.parametrize(
    ("resource", "share", "said"),
    [
        ("infer", 0.84, "inference is the limit: 84 % of the CPU time of a frame"),
        ("decode", None, "decoding is the limit: one thread does it, however many cores there are"),
    ],
)
def test_the_limit_of_a_cpu_is_named(resource, share, said):
    limit = clip_bench().limit.model_copy(update={"resource": resource, "share": share})
    assert the_limit(clip_bench().model_copy(update={"limit": limit})) == said


@pytest.mark.parametrize(
    ("resource", "said"), [("encode", "encoding is the limit"), ("the cores", "the cores are the limit")]
)
def test_the_limit_beside_a_gpu_is_named(resource, said):
    bench = clip_bench()
    limit = bench.limit.model_copy(update={"resource": resource, "share": None})
    model = bench.model.model_copy(update={"device": "cuda"})
    assert the_limit(bench.model_copy(update={"limit": limit, "model": model})) == said


def test_a_device_that_was_not_taken_is_told_with_its_reason():
    model = clip_bench().model.model_copy(update={"reason": "no NVIDIA driver"})
    told = " ".join(what_was_measured(clip_bench().model_copy(update={"model": model})))
    assert "on cpu (no NVIDIA driver), CPUExecutionProvider" in told


def test_another_decoder_than_the_usual_one_is_told():
    assert "decoded" not in " ".join(what_was_measured(clip_bench()))
    told = " ".join(what_was_measured(clip_bench().model_copy(update={"decoder": "nvdec"})))
    assert "frames decoded with nvdec" in told


def test_what_was_measured_names_rounds_and_warm_up():
    assert "5 rounds of 500 frames after a warm-up of 50 frames" in " ".join(what_was_measured(clip_bench()))
    assert "records and labelled video (fast) go to" in " ".join(what_was_measured(clip_bench(preset="fast")))
    told = " ".join(what_was_measured(clip_bench(encoder="nvenc", preset="p4")))
    assert "records and labelled video (nvenc, p4) go to" in told
    assert "live pictures of 160x120 at 30 fps" in " ".join(what_was_measured(streams_bench({1: True})))
