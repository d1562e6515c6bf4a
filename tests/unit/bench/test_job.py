from dataclasses import replace
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
