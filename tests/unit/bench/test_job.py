from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pipeline.bench.job import plan_job
from pipeline.bench.measure import _settle
from pipeline.bench.whole import Run
from pipeline.errors import ConfigError

CLIP = "synthetic:64x48?frames=3"


def test_the_encoder_asked_for_is_the_run_s(tmp_path: Path) -> None:
    job = plan_job(CLIP, Path("m.onnx"), "cpu", encode=True, encoder="nvenc")
    config = job.config(str(tmp_path), (CLIP,))
    assert (config.encoder, config.preset) == ("nvenc", "auto")
    assert plan_job(CLIP, Path("m.onnx"), "cpu", encode=True).config(str(tmp_path), (CLIP,)).encoder == "x264"


def test_an_encoder_without_a_video_is_refused() -> None:
    with pytest.raises(ConfigError, match="'encoder' does not go with --no-encode"):
        plan_job(CLIP, Path("m.onnx"), "cpu", encode=False, encoder="auto")


def test_cuda_graphs_and_video_on_the_gpu_are_refused_before_anything_is_opened(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    plan = partial(plan_job, model=Path("m.onnx"), device="cuda", encode=True, cuda_graph=True)
    with pytest.raises(ConfigError, match="'cuda_graph' does not go with the decoder nvdec"):
        plan("missing.mp4", decoder="nvdec")
    with pytest.raises(ConfigError, match="'cuda_graph' does not go with the encoder nvenc"):
        plan("missing.mp4", encoder="nvenc")
    job = plan(CLIP, decoder="auto", encoder="auto")
    assert (job.decoder, job.encoder) == ("cpu", "x264")
    job.config(str(tmp_path), (CLIP,))
    assert len(caplog.messages) == 2  # once each, not again for every round


@pytest.mark.parametrize(
    ("encoder", "preset", "settled"),
    [("x264", "fast", ("x264", "fast")), ("nvenc", "p4", ("nvenc", "auto")), (None, None, ("auto", "auto"))],
)
def test_what_the_warm_up_found_is_kept(
    encoder: str | None, preset: str | None, settled: tuple[str, str], tmp_path: Path
) -> None:
    job = plan_job(CLIP, Path("m.onnx"), "cpu", encode=True, encoder="auto")
    warm_up = Run(3, 1.0, 1.0, 0, 3.0, None, [], 1, encoder, preset)  # type: ignore[arg-type]  # no model is asked for
    found = _settle(job, warm_up)
    assert found == replace(job, encoder=settled[0], preset=settled[1])
    assert found.config(str(tmp_path), (CLIP,)).encoder == settled[0]
