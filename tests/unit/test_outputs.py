from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import RunConfig
from pipeline.errors import SinkError, SourceError, StopStream
from pipeline.outputs import Outputs, plan_outputs
from pipeline.sinks.encoder import CODECS
from pipeline.sinks.memory import MemorySink
from pipeline.tally import Tally
from pipeline.types import Annotated, Classification, Frame, Media, Redacted


@dataclass
class Named:
    """A source as far as outputs look at it."""

    name: str
    stream: int = 0
    media: Media = field(default_factory=Media)

    def close(self) -> None:
        pass

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        return iter(())


class Broken(MemorySink):
    """Fails when it is closed."""

    def close(self, whole: bool = True) -> None:
        super().close(whole)
        raise SinkError("the disk is full")


LIVE = Media(live=True)
IMAGE = Media(still=True, frames=1)
FOLDER = Media(still=True, frames=9)


def item(stream: int = 0, source: str = "clip.mp4") -> Annotated:
    frame = Frame(np.zeros((16, 16, 3), np.uint8), source, 0, 0.0, stream)
    return Annotated(Redacted(frame, Classification(np.zeros(0, np.int64), np.zeros(0, np.float32), ())), frame.image)


def sources_of(*medias: Media) -> list[Named]:
    return [Named(f"source-{i}.mp4", i, media) for i, media in enumerate(medias)]


def tallies_of(sources: Sequence[Named]) -> list[Tally]:
    return [Tally(source.name) for source in sources]


def outputs_of(
    own: Sequence[Sequence[MemorySink]], shared: Sequence[MemorySink], *medias: Media
) -> tuple[Outputs, list[Tally]]:
    sources = sources_of(*medias)
    tallies = tallies_of(sources)
    return Outputs(own, shared, sources, tallies), tallies


def plan(sources: Sequence[Named], **options: object) -> Outputs:
    config = RunConfig(sources=tuple(source.name for source in sources), model="m.onnx", **options)
    return plan_outputs(config, sources, tallies_of(sources), 1)


def refusal(sources: Sequence[Named], **options: object) -> str:
    with pytest.raises(SinkError) as caught:
        plan(sources, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Which sink gets what


def test_a_frame_goes_to_the_sinks_of_its_source_and_to_the_shared_ones() -> None:
    own, shared = [[MemorySink()], [MemorySink()]], MemorySink()
    outputs, _ = outputs_of(own, [shared], LIVE, LIVE)
    items = [item(0), item(1), item(0)]
    with outputs:
        for each in items:
            outputs.write(each)
    assert own[0][0].items == [items[0], items[2]]
    assert own[1][0].items == [items[1]]
    assert shared.items == items


def test_sinks_may_be_added() -> None:
    added = MemorySink()
    outputs, _ = outputs_of([[]], [], Media())
    outputs.add([added])
    with outputs:
        outputs.write(item())
    assert len(added.items) == 1
    assert added.whole is True


@pytest.mark.parametrize(
    ("own", "shared", "draws"),
    [
        ([], [], False),
        ([True], [], True),
        ([], [True], True),
        ([False], [False], False),
        ([False], [False, True], True),
    ],
)
def test_results_are_drawn_if_any_sink_shows_them(own: list[bool], shared: list[bool], draws: bool) -> None:
    outputs, _ = outputs_of([[MemorySink(draw) for draw in own]], [MemorySink(draw) for draw in shared], Media())
    assert outputs.draws is draws


# When they are closed, and whether whole


def test_the_sinks_of_a_file_are_closed_when_the_next_file_begins() -> None:
    first, second, shared = MemorySink(), MemorySink(), MemorySink()
    outputs, _ = outputs_of([[first], [second]], [shared], Media(), Media())
    with outputs:
        outputs.write(item(0))
        assert first.whole is None
        outputs.write(item(1))
        assert (first.whole, second.whole, shared.whole) == (True, None, None)
    assert (second.whole, shared.whole) == (True, True)


def test_a_live_source_between_two_frames_of_a_file_closes_nothing() -> None:
    film, camera = MemorySink(), MemorySink()
    outputs, _ = outputs_of([[film], [camera]], [], Media(), LIVE)
    with outputs:
        for stream in (0, 1, 0, 1):
            outputs.write(item(stream))
        assert (film.whole, camera.whole) == (None, None)
    assert len(film.items) == len(camera.items) == 2


def test_a_source_that_failed_leaves_its_own_output_and_the_shared_ones_partial() -> None:
    sinks, shared = [MemorySink() for _ in range(3)], MemorySink()
    outputs, tallies = outputs_of([[sink] for sink in sinks], [shared], *[Media()] * 3)
    with outputs:
        outputs.write(item(0))
        tallies[0].error = SourceError("truncated")
        outputs.write(item(1))
        outputs.write(item(2))
    assert [sink.whole for sink in sinks] == [False, True, True]
    assert shared.whole is False


@pytest.mark.parametrize("fault", [ZeroDivisionError, KeyboardInterrupt, SinkError])
def test_after_a_fault_nothing_is_whole(fault: type[BaseException]) -> None:
    own, shared = MemorySink(), MemorySink()
    outputs, _ = outputs_of([[own]], [shared], Media())
    with pytest.raises(fault), outputs:
        raise fault
    assert (own.whole, shared.whole) == (False, False)


@pytest.mark.parametrize(("count", "whole"), [(0, False), (1, True)])
def test_by_the_users_wish_what_was_written_is_whole(count: int, whole: bool) -> None:
    own, shared = MemorySink(), MemorySink()
    outputs, _ = outputs_of([[own]], [shared], Media())
    with pytest.raises(StopStream), outputs:  # noqa: PT012
        for _ in range(count):
            outputs.write(item())
        raise StopStream
    assert outputs.written == count
    assert (own.whole, shared.whole) == (whole, whole)


@pytest.mark.parametrize("place", ["own", "shared"])
def test_a_sink_that_cannot_be_closed_is_told_and_all_others_are_closed(place: str) -> None:
    own, shared = [[MemorySink()], [MemorySink()], [MemorySink()]], [MemorySink(), MemorySink()]
    (own[0] if place == "own" else shared).insert(0, Broken())
    outputs, _ = outputs_of(own, shared, *[Media()] * 3)
    with pytest.raises(SinkError, match="disk is full"), outputs:
        pass
    assert all(sink.whole is not None for sinks in (*own, shared) for sink in sinks)


def test_a_fault_is_not_hidden_by_a_sink_that_cannot_be_closed() -> None:
    outputs, _ = outputs_of([[Broken()]], [Broken()], Media())
    with pytest.raises((ZeroDivisionError, SinkError)) as caught, outputs:
        raise ZeroDivisionError
    assert isinstance(caught.value, ZeroDivisionError) or isinstance(caught.value.__context__, ZeroDivisionError)


# What is planned


def test_without_outputs_there_are_none() -> None:
    outputs = plan(sources_of(Media()))
    assert outputs.draws is False
    with outputs:
        outputs.write(item())


@pytest.mark.parametrize(
    ("medias", "options", "hint"),
    [
        ([Media()], {"output": "out.xyz"}, ".mp4"),
        ([IMAGE], {"output": "out.mp4"}, ".png"),
        ([Media(), Media()], {"output": "out.mp4"}, "give --output a folder"),
        ([FOLDER], {"output": "out.png"}, "give --output a folder"),
        ([Media()], {"records": "out.txt"}, ".jsonl"),
        ([Media()], {"output": "missing/out.mp4"}, "missing"),
        ([Media()], {"output": "missing/folder/"}, "missing"),
        ([Media()], {"records": "missing/out.csv"}, "missing"),
        ([Media()], {"counts": "missing/out.csv"}, "missing"),
        ([Media()], {"counts": "out.jsonl"}, ".csv"),
        ([Media()], {"events": "out.jsonl"}, ".csv"),
        ([Media()], {"heatmap": "out.jpg"}, ".png"),
        ([Media()], {"heatmap": "missing/out.png"}, "missing"),
        ([Media(), Media()], {"heatmap": "out.png"}, "one source at a time"),
        ([FOLDER], {"heatmap": "out.png"}, "one video or camera"),
        ([Media()], {"records": "out.csv", "counts": "./out.csv"}, "two outputs cannot go into one file"),
        ([Media()], {"events": "out.csv", "counts": "./out.csv"}, "two outputs cannot go into one file"),
        ([IMAGE], {"output": "out.png", "heatmap": "out.png"}, "two outputs cannot go into one file"),
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, medias: list[Media], options: dict[str, str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hint in refusal(sources_of(*medias), **options)
    assert list(tmp_path.iterdir()) == []


SUFFIXES = {"output": "mp4", "records": "jsonl", "counts": "csv", "events": "csv", "heatmap": "png"}


@pytest.mark.parametrize("option", SUFFIXES)
def test_a_source_is_never_overwritten(tmp_path: Path, option: str) -> None:
    path = tmp_path / f"clip.{SUFFIXES[option]}"
    path.write_bytes(b"precious")
    other_way = tmp_path / "." / "x" / ".." / path.name
    (tmp_path / "x").mkdir()
    source = Named("clip", media=Media(files=(other_way,)))
    assert "choose another output" in refusal([source], **{option: str(path)})
    assert path.read_bytes() == b"precious"


@pytest.mark.parametrize("option", SUFFIXES)
def test_a_source_is_not_overwritten_by_a_partial_file(tmp_path: Path, option: str) -> None:
    suffix = SUFFIXES[option]
    source = tmp_path / f"labelled.partial.{suffix}"
    reason = refusal([Named("clip", media=Media(files=(source,)))], **{option: str(tmp_path / f"labelled.{suffix}")})
    assert reason.startswith(f"{source} is a source: choose another output")
    assert list(tmp_path.iterdir()) == []


def test_a_source_in_the_output_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"precious")
    source = Named("clip.mp4", media=Media(files=(tmp_path / "clip.mp4",)))
    assert "choose another output" in refusal([source], output=str(tmp_path))


@pytest.mark.parametrize("other_way", [False, True])
def test_an_output_folder_that_holds_a_source_image_is_refused(tmp_path: Path, other_way: bool) -> None:
    """Its labelled picture, or that of another image of this name, would take its place."""
    for name in "ab":
        (tmp_path / name).mkdir()
    files = (tmp_path / "b" / "x.png", tmp_path / "b" / ".." / "a" / "x.png" if other_way else tmp_path / "a" / "x.png")
    images = Named("images", media=Media(still=True, frames=2, files=files))
    assert "holds x.png, a source: choose another output folder" in refusal([images], output=str(tmp_path / "a"))
    single = [Named(str(file), i, Media(still=True, frames=1, files=(file,))) for i, file in enumerate(files)]
    assert "holds x.png, a source: choose another output folder" in refusal(single, output=str(tmp_path / "a"))


def test_a_video_beside_its_labelled_images_is_allowed(tmp_path: Path) -> None:
    film = Named("film.mp4", 0, Media(files=(tmp_path / "film.avi",)))
    image = Named("x.png", 1, Media(still=True, frames=1, files=(tmp_path / "in" / "x.png",)))
    assert plan([film, image], output=str(tmp_path)).draws


def test_names_that_meet_a_partial_name_are_kept_apart(tmp_path: Path) -> None:
    sources = [Named(f"a/{name}", i) for i, name in enumerate(("x.partial.mp4", "x.mp4", "X.PARTIAL.mp4"))]
    with plan(sources, output=str(tmp_path / "out")) as outputs:
        for stream in range(3):
            outputs.write(item(stream))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["X.PARTIAL-1.mp4", "x-1.mp4", "x.partial.mp4"]


def test_a_folder_is_made_and_gets_a_file_for_each_source(tmp_path: Path) -> None:
    names = ["a/clip.mp4", "b/clip.mp4", "b/Clip.avi", "rtsp://camera:554/main?x=1", "0"]
    medias = [Media(), Media(), Media(), LIVE, LIVE]
    sources = [Named(name, i, media) for i, (name, media) in enumerate(zip(names, medias, strict=True))]
    folder = tmp_path / "out"
    outputs = plan(sources, output=str(folder))
    with outputs:
        for stream in (0, 1, 2, 3, 4):
            outputs.write(item(stream))
    made = sorted(path.name for path in folder.iterdir())
    assert made == ["Clip-2.mp4", "camera-0.mp4", "camera_554_main_x_1.mp4", "clip-1.mp4", "clip.mp4"]


def test_records_are_written(tmp_path: Path) -> None:
    records = tmp_path / "out.jsonl"
    with plan(sources_of(Media()), records=str(records)) as outputs:
        outputs.write(item())
        assert not records.exists()
    assert len(records.read_text().splitlines()) == 1


# The preset of a labelled video


@pytest.mark.parametrize(
    ("media", "preset", "taken"),
    [(LIVE, "auto", "ultrafast"), (LIVE, "fast", "fast"), (Media(), "fast", "fast"), (Media(), "auto", None)],
)
def test_only_a_file_waits_for_its_preset_to_be_found(
    media: Media, preset: str, taken: str | None, tmp_path: Path
) -> None:
    outputs = plan(sources_of(media), output=str(tmp_path / "x.mp4"), preset=preset)
    with outputs:
        outputs.write(item())
        assert outputs._own[0][0].preset == taken


def test_each_source_tells_the_preset_of_its_video(tmp_path: Path) -> None:
    sources = sources_of(Media(), Media(), LIVE)
    tallies = tallies_of(sources)
    names = tuple(source.name for source in sources)
    config = RunConfig(sources=names, model="m.onnx", output=str(tmp_path / "out"), preset="superfast")
    with plan_outputs(config, sources, tallies, 1) as outputs:
        outputs.write(item(0))
        outputs.write(item(1))
        assert [tally.preset for tally in tallies] == ["superfast", None, None]
    assert [tally.encoder for tally in tallies] == ["x264", "x264", None]
    assert [tally.preset for tally in tallies] == ["superfast", "superfast", None]


@pytest.mark.parametrize("media", [LIVE, Media()])
def test_an_encoder_that_cannot_be_had_is_found_out_before_anything_is_written(
    media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sinks.nvenc.why_no_nvenc", lambda: "no such luck")
    with pytest.raises(SinkError, match="nvenc cannot be used: no such luck"):
        plan(sources_of(media), output=str(tmp_path / "x.mp4"), encoder="nvenc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("media", [LIVE, Media()])
def test_a_video_that_nvenc_does_not_open_for_is_told_to_be_of_x264(
    media: Media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.sinks.nvenc.why_no_nvenc", lambda: None)
    monkeypatch.setitem(CODECS, "nvenc", "libx264")  # refuses NVENC's preset
    sources = sources_of(media)
    tallies = tallies_of(sources)
    config = RunConfig(sources=sources[0].name, model="m.onnx", output=str(tmp_path / "x.mp4"), encoder="auto")
    with plan_outputs(config, sources, tallies, 1) as outputs:
        outputs.write(item())
    assert (tallies[0].encoder, tallies[0].preset) == ("x264", "ultrafast")
    with (
        pytest.raises(SinkError, match="use --encoder x264 or auto"),
        plan(sources, output=str(tmp_path / "y.mp4"), encoder="nvenc") as outputs,
    ):
        outputs.write(item())
    assert [path.name for path in tmp_path.iterdir()] == ["x.mp4"]


def test_a_preset_that_nvenc_does_not_take_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("pipeline.sinks.nvenc.why_no_nvenc", lambda: None)
    plan(sources_of(LIVE, Media()), output=str(tmp_path), encoder="auto", preset="medium")
    assert caplog.messages == ["videos are encoded by NVENC with its own preset p4: medium is one of x264"]
