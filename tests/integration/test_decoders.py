"""Runs of a video that stays on a GPU, which here is memory of the host: what is downloaded, and what is not."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from support import clips
from support.faults import fail_at
from support.models import tiny_detector
from support.surfaces import nvdec_on_the_cpu

from pipeline import cli, model
from pipeline.bench.job import plan_job
from pipeline.bench.measure import Plan, measure_clip
from pipeline.contract import Resize
from pipeline.slot import Slot
from pipeline.sources import nvdec, open_source
from pipeline.stream import run

TIMES = tuple(number / 25 for number in range(12))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clips.write_clip(tmp_path / "clip.mp4", TIMES)


@pytest.fixture
def graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that resizes in its graph and is told to be on a GPU, which has a decoder."""
    nvdec_on_the_cpu(monkeypatch)
    monkeypatch.setattr(model, "_choose", lambda device: ("cuda", None))
    monkeypatch.setitem(model.PROVIDERS, "cuda", ["CPUExecutionProvider"])
    monkeypatch.setattr(model, "Slot", partial(Slot, device="cpu"))
    return tiny_detector(tmp_path / "m.onnx", resize=Resize(rule="graph"))


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> list[nvdec.NvdecSurface]:
    """The pictures that were downloaded, each once."""
    seen: list[nvdec.NvdecSurface] = []
    download = nvdec.NvdecSurface.download

    def note(surface: nvdec.NvdecSurface) -> np.ndarray:
        seen.extend([] if surface in seen else [surface])
        return download(surface)

    monkeypatch.setattr(nvdec.NvdecSurface, "download", note)
    return seen


def found(records: Path) -> list[tuple[float, list[str]]]:
    """The time and the classes of each frame."""
    told = [json.loads(line) for line in records.read_text().splitlines()]
    return [(each["pts"], sorted(box["label"] for box in each["results"])) for each in told]


def test_records_alone_download_nothing(clip: Path, graph: Path, downloads: list[object], tmp_path: Path) -> None:
    for decoder in ("cpu", "nvdec"):
        summary = run(str(clip), graph, decoder=decoder, records=str(tmp_path / f"{decoder}.jsonl"))
        assert (summary.frames, summary.sources[0].decoder) == (len(TIMES), decoder)
    assert found(tmp_path / "nvdec.jsonl") == found(tmp_path / "cpu.jsonl")
    assert any(labels for _, labels in found(tmp_path / "nvdec.jsonl"))
    assert not downloads


def test_a_labelled_video_downloads_each_picture(
    clip: Path, graph: Path, downloads: list[object], tmp_path: Path
) -> None:
    given = {"preset": "ultrafast", "records": str(tmp_path / "x.jsonl")}
    for decoder in ("cpu", "nvdec"):
        run(str(clip), graph, decoder=decoder, output=str(tmp_path / f"{decoder}.mp4"), **given)
    assert len(downloads) == len(TIMES)
    shown = [clips.read_all(open_source(str(tmp_path / f"{name}.mp4")))[0] for name in ("cpu", "nvdec")]
    for frame, other in zip(*shown, strict=True):
        assert np.array_equal(frame.image, other.image)


def test_a_model_never_sees_what_is_masked(clip: Path, graph: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks.yaml"
    masks.write_text("masks:\n  all:\n    points: [[0, 0], [1, 0], [1, 1], [0, 1]]\n")
    run(str(clip), graph, decoder="nvdec", masks=str(masks), records=str(tmp_path / "x.jsonl"))
    assert [labels for _, labels in found(tmp_path / "x.jsonl")] == [[]] * len(TIMES)


def test_frames_that_are_not_looked_at_are_left_alone(
    clip: Path, graph: Path, downloads: list[object], tmp_path: Path
) -> None:
    summary = run(str(clip), graph, decoder="nvdec", every=4, records=str(tmp_path / "x.jsonl"))
    assert summary.looked == 3
    assert not downloads


def test_bench_names_the_decoder(clip: Path, graph: Path) -> None:
    job = plan_job(str(clip), graph, "cuda", encode=False, decoder="auto")
    bench, _ = measure_clip(job, Plan(rounds=1, seconds=0.1, batches=(1, 2)), lambda what: None)
    assert (bench.decoder, bench.model.device) == ("nvdec", "cuda")
    assert [each.batch for each in bench.batches] == [1, 2, 8]  # 8: the run's
    assert bench.limit is not None


@pytest.mark.parametrize("batch", [1, 4])
def test_a_run_goes_on_where_nvdec_fails(
    batch: int, clip: Path, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run([str(clip)] * 2, graph, records=str(tmp_path / "cpu.jsonl"))
    fail_at(6, av.error.ExternalError(542398533, "Generic error in an external library"), monkeypatch)
    run([str(clip)] * 2, graph, decoder="auto", batch=batch, records=str(tmp_path / "auto.jsonl"))
    assert found(tmp_path / "auto.jsonl") == found(tmp_path / "cpu.jsonl")


def test_nvdec_that_fails_ends_its_source_alone(
    clip: Path, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = clips.write_clip(tmp_path / "other.mp4", TIMES)
    fail_at(6, av.error.ExternalError(542398533, "Generic error in an external library"), monkeypatch)
    arguments = ["run", str(clip), str(other), "--model", str(graph), "--decoder", "nvdec", "--json", "--records", "-"]
    assert cli.main(arguments) == 2
    told = capsys.readouterr()
    *records, summary = [json.loads(line) for line in told.out.splitlines()]
    counts = [source["frames"] for source in summary["sources"]]
    assert 0 < counts[0] <= 6
    assert [record["source"] for record in records] == [str(clip)] * counts[0] + [str(other)] * len(TIMES)
    reason = "Generic error in an external library; use --decoder cpu"
    assert f"{clip} cannot be decoded with nvdec after {counts[0]} frames: {reason}" in told.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--decoder", "nvdec"], "clip.mp4 cannot be decoded with nvdec: no such luck; use --decoder cpu"),
        (["-o", "x.mp4", "--encoder", "nvenc"], "nvenc cannot be used: no such luck; use --encoder x264"),
    ],
)
def test_what_cannot_be_had_ends_the_command(
    flags: list[str], message: str, clip: Path, detector_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvdec, "why_not", lambda target: "no such luck")
    monkeypatch.setattr("pipeline.sinks.nvenc.why_no_nvenc", lambda: "no such luck")
    monkeypatch.setattr("sys.argv", ["onsight"])
    arguments = ["run", str(clip), "--model", str(detector_path), "--device", "cpu", "--records", "x.jsonl", *flags]
    assert cli.main(arguments) == 2
    assert not list(here.iterdir())
    result = CliRunner().invoke(cli.run, arguments[1:])
    assert message in str(result.exception)
