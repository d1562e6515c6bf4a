from pathlib import Path
from typing import Any

import pytest

from pipeline.config import RunConfig, build_config
from pipeline.errors import ConfigError

NEEDED = {"sources": ["clip.mp4"], "model": "m.onnx"}


@pytest.fixture
def yaml(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "run.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def reason(flags: dict[str, Any], file: Path | None = None) -> str:
    """The message of the error, which is one line."""
    with pytest.raises(ConfigError) as caught:
        build_config(flags, file)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_not_said_has_a_default() -> None:
    config = build_config(NEEDED)
    assert config == RunConfig(sources=("clip.mp4",), model="m.onnx")
    assert (config.device, config.mode, config.preset, config.draw, config.progress) == (*["auto"] * 3, True, True)
    assert (config.batch, config.batch_wait, config.workers) == (None, None, None)
    assert (config.threshold, config.iou, config.top_k, config.output, config.records) == (None,) * 5
    assert (config.classes, config.redact, config.redact_style) == ((), (), "blur")
    assert (config.show, config.track, config.status, config.json_summary) == (False, False, False, False)


def test_flags_win_over_the_file(yaml) -> None:
    file = yaml("sources: [a.mp4, b.mp4]\nmodel: a.onnx\nthreshold: 0.5\niou: 0.1\nclasses: [car]\n")
    config = build_config({"sources": ("c.mp4",), "threshold": 0.0, "classes": "cat,dog"}, file)
    assert config.sources == ("c.mp4",)
    assert config.model == "a.onnx"
    assert (config.threshold, config.iou) == (0.0, 0.1)
    assert config.classes == ("cat", "dog")


def test_every_key_may_stand_in_the_file(yaml) -> None:
    text = """
    sources: clip.mp4
    model: m.onnx
    decoder: auto
    output: out.mp4
    encoder: auto
    preset: veryfast
    records: out.jsonl
    show: true
    device: cpu
    threshold: 0.5
    class-thresholds: {car: 0.6, traffic light: 0.4}
    iou: 0.4
    top-k: 3
    classes: [car, traffic light]
    tiles: 3x2
    track: true
    every: 1
    motion-gate: false
    motion-threshold: null
    then: breed.onnx
    on: dog, cat
    zones: zones.yaml
    counts: counts.csv
    masks: masks.yaml
    counts-every: 1h
    events: events.csv
    heatmap: heat.png
    redact: person, face
    redact-model: face.onnx
    redact-style: fill
    draw: false
    status: true
    mode: throughput
    workers: 3
    batch: 4
    batch-wait: 5ms
    cuda-graph: false
    nhwc: false
    progress: false
    json: true
    """
    config = build_config({}, yaml(text))
    assert set(config.model_fields_set) == set(RunConfig.model_fields)
    assert config.top_k == 3
    assert config.redact == ("person", "face")
    assert config.redact_style == "fill"
    assert config.classes == ("car", "traffic light")
    assert config.class_thresholds == {"car": 0.6, "traffic light": 0.4}
    assert config.tiles == (3, 2)
    assert config.counts_every == 3600
    assert (config.then, config.on) == ("breed.onnx", ("dog", "cat"))
    assert config.json_summary is True


@pytest.mark.parametrize("key", ["redact-style", "redact_style"])
def test_a_key_is_written_with_dashes_or_underscores(yaml, key: str) -> None:
    assert build_config(NEEDED, yaml(f"{key}: pixelate")).redact_style == "pixelate"


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ("clip.mp4", ("clip.mp4",)),
        (0, ("0",)),
        ([0, 1], ("0", "1")),
        (["a, b.mp4"], ("a, b.mp4",)),
        (Path("a") / "b.mp4", (str(Path("a") / "b.mp4"),)),
        ([Path("a.mp4"), 1], ("a.mp4", "1")),
        ((Path("a.mp4"), "b.mp4"), ("a.mp4", "b.mp4")),
    ],
)
def test_sources_are_one_or_many(given: object, sources: tuple[str, ...]) -> None:
    assert build_config({"sources": given, "model": "m.onnx"}).sources == sources


def test_paths_may_be_paths() -> None:
    paths = {"model": Path("m.onnx"), "output": Path("a") / "b.mp4", "records": Path("r.csv")}
    config = build_config({"sources": "0", **paths})
    assert {name: getattr(config, name) for name in paths} == {name: str(path) for name, path in paths.items()}


@pytest.mark.parametrize(
    ("given", "names"), [("a,b", ("a", "b")), (" a , b b,", ("a", "b b")), (["a", "b"], ("a", "b")), ("", ())]
)
def test_names_are_a_list_or_a_text_with_commas(given: object, names: tuple[str, ...]) -> None:
    assert build_config({**NEEDED, "classes": given, "redact": given}).classes == names


@pytest.mark.parametrize(
    ("given", "scores"),
    [
        ("a=0.5,b=1", {"a": 0.5, "b": 1.0}),
        (" a b = 0.5 , c=0,", {"a b": 0.5, "c": 0.0}),
        ("a=b=0.5", {"a=b": 0.5}),
        ({"a": 0.5, 7: "0.25"}, {"a": 0.5, "7": 0.25}),
        ("", {}),
    ],
)
def test_scores_of_classes_are_keys_and_values_or_a_text(given: object, scores: dict[str, float]) -> None:
    assert build_config({**NEEDED, "class_thresholds": given}).class_thresholds == scores


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("a=0.5,b", "as in person=0.5,car=0.4"),
        ("=0.5", "as in person=0.5,car=0.4"),
        ("a=0.5,a=0.4", "a class comes twice"),
        ("a=", "valid number"),
        ("a=1.5", "less than or equal to 1"),
        ({"a": -1}, "greater than or equal to 0"),
        (["a"], "dictionary"),
    ],
)
def test_scores_of_classes_that_do_not_fit_are_refused(given: object, told: str) -> None:
    message = reason({**NEEDED, "class_thresholds": given})
    assert message.startswith("'class_thresholds' cannot be ")
    assert told in message


@pytest.mark.parametrize("given", ["2", 2, "0x2", "ax2", "2x", "2x9", "2x2x2", "2,2", "-1x2", "", (2, 2), True])
def test_tiles_are_columns_and_rows(given: object) -> None:
    assert build_config({**NEEDED, "tiles": "8x1"}).tiles == (8, 1)
    assert build_config({**NEEDED, "tiles": None}).tiles is None
    assert reason({**NEEDED, "tiles": given}) == (
        f"'tiles' cannot be {given!r}: write COLUMNSxROWS, each from 1 to 8, as in 2x2"
    )


@pytest.mark.parametrize("key", ["workers", "batch"])
@pytest.mark.parametrize(("given", "number"), [("auto", None), (None, None), ("3", 3), (3, 3)])
def test_a_number_may_be_left_to_onsight(key: str, given: object, number: int | None) -> None:
    assert getattr(build_config({**NEEDED, key: given}), key) == number


@pytest.mark.parametrize(
    ("given", "seconds"), [("auto", None), (None, None), ("5ms", 0.005), ("0", 0.0), (0, 0.0), (0.02, 0.02)]
)
def test_the_wait_for_a_batch_is_a_duration_or_left_to_onsight(given: object, seconds: float | None) -> None:
    assert build_config({**NEEDED, "batch": 4, "batch_wait": given}).batch_wait == seconds


def test_who_waits_for_a_batch_says_of_how_many() -> None:
    for batch, device in ((None, "cpu"), (1, "cpu"), (1, "cuda")):
        given = {**NEEDED, "batch": batch, "device": device}
        assert reason({**given, "batch_wait": "5ms"}).startswith("'batch_wait' needs 'batch'")
        assert build_config({**given, "batch_wait": "0"}).batch_wait == 0
    for device in ("auto", "cuda"):  # a GPU has batches by itself
        assert build_config({**NEEDED, "device": device, "batch_wait": "5ms"}).batch_wait == 0.005


def test_a_preset_needs_a_video() -> None:
    assert reason({**NEEDED, "preset": "fast"}).startswith("'preset' needs 'output'")
    assert build_config({**NEEDED, "preset": "auto"}).output is None
    assert build_config({**NEEDED, "preset": "fast", "output": "x.mp4"}).preset == "fast"


def test_an_encoder_needs_a_video_and_nvenc_has_one_preset() -> None:
    assert reason({**NEEDED, "encoder": "auto"}) == "'encoder' needs 'output': it is what encodes the labelled video"
    given = {**NEEDED, "output": "x.mp4", "preset": "fast"}
    assert reason({**given, "encoder": "nvenc"}).startswith("'preset' does not go with the encoder nvenc")
    assert build_config({**given, "encoder": "auto"}).encoder == "auto"


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("modle", "model"),
        ("mdoe", "mode"),
        ("worker", "workers"),
        ("presets", "preset"),
        ("treshold", "threshold"),
        ("redact-stile", "redact_style"),
        ("ouput", "output"),
        ("js0n", "json"),
    ],
)
def test_an_unknown_key_is_told_what_it_may_have_meant(yaml, key: str, meant: str) -> None:
    file = yaml(f"{key}: 1")
    message = reason(NEEDED, file)
    assert message.startswith(f"unknown key '{key.replace('-', '_')}'")
    assert meant in message
    assert str(file) in message


def test_an_unknown_key_that_is_near_to_none_is_told_all() -> None:
    message = reason({**NEEDED, "xyzzy": 1})
    for name in ("sources", "model", "redact_style", "json"):
        assert name in message


@pytest.mark.parametrize(("missing", "hint"), [("sources", "a camera index or a URL"), ("model", "--model FILE.onnx")])
def test_what_is_missing_is_named(missing: str, hint: str) -> None:
    assert hint in reason({key: value for key, value in NEEDED.items() if key != missing})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", 1.5),
        ("threshold", -0.1),
        ("threshold", "high"),
        ("threshold", float("nan")),
        ("iou", 2),
        ("top_k", 0),
        ("top_k", 1.5),
        ("batch", 0),
        ("batch", 1000),
        ("batch", "many"),
        ("batch_wait", "2s"),
        ("batch_wait", -1),
        ("batch_wait", "soon"),
        ("workers", 0),
        ("workers", -1),
        ("workers", 65),
        ("workers", 1.5),
        ("workers", "all"),
        ("mode", "fast"),
        ("preset", "placebo"),
        ("decoder", "cuda"),
        ("encoder", "h264_nvenc"),
        ("device", "gpu"),
        ("redact_style", "mosaic"),
        ("show", "perhaps"),
        ("classes", 3.5),
        ("sources", []),
        ("model", None),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_name(key: str, value: object) -> None:
    assert reason({**NEEDED, key: value}).startswith(f"'{key}' cannot be {value!r}: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("model: [m.onnx", "not valid YAML, line"),
        ("a: b: c", "not valid YAML, line 1"),
        ("\tmodel: m.onnx", "not valid YAML, line 1"),
        ("? [a]\n: b", "not valid YAML"),
        (b"\xff\xfe\xff", "not valid YAML"),
        (b"model: \x00", "not valid YAML"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not valid YAML"),
        ("- model", "must hold keys and values, not a list"),
        ("model", "must hold keys and values, not a str"),
        ("!!python/object/apply:os.getcwd []", "not valid YAML"),
        ("model: m.onnx\nbatch: 2\nbatch: 4", "not valid YAML, line 3: 'batch' comes twice"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(yaml, text: str | bytes, hint: str) -> None:
    file = yaml(text)
    message = reason(NEEDED, file)
    assert str(file) in message
    assert hint in message


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"zones": "z.yaml"}, "'zones' needs 'track'"),
        ({"zones": "z.yaml", "track": False}, "'zones' needs 'track'"),
        ({"on": "dog"}, "'on' needs 'then'"),
        ({"counts": "c.csv"}, "'counts' needs 'zones'"),
        ({"counts": "c.csv", "track": True}, "'counts' needs 'zones'"),
        ({"events": "e.csv", "track": True}, "'events' needs 'zones'"),
        ({"counts_every": "1h", "zones": "z.yaml", "track": True}, "'counts_every' needs 'counts'"),
        ({"motion_threshold": 0.1}, "'motion_threshold' needs 'motion_gate'"),
    ],
)
def test_what_needs_something_else_says_so(given: dict[str, object], told: str) -> None:
    assert reason({**NEEDED, **given}).startswith(told)


COUNTING = {**NEEDED, "track": True, "zones": "z.yaml", "counts": "c.csv"}


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("1h", 3600),
        ("1d", 86400),
        ("0.5h", 1800),
        ("1h30m", 5400),
        ("90", 90),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_a_duration_is_seconds_or_has_a_unit(given: object, seconds: float) -> None:
    assert build_config({**COUNTING, "counts_every": given}).counts_every == seconds


@pytest.mark.parametrize("given", ["", "-1h", "1y", "h", "nan", "inf", "1e9", True, [1]])
def test_what_is_no_duration_is_refused(given: object) -> None:
    told = reason({**COUNTING, "counts_every": given})
    assert told == f"'counts_every' cannot be {given!r}: write a duration such as 30s, 5m, 1h30m or 14d"


@pytest.mark.parametrize("given", ["0", "0h", 0])
def test_an_interval_lasts_some_time(given: object) -> None:
    assert "greater than 0" in reason({**COUNTING, "counts_every": given})


@pytest.mark.parametrize("key", ["every", "motion_gate"])
def test_what_is_not_looked_at_cannot_be_hidden(key: str) -> None:
    told = reason({**NEEDED, key: 2 if key == "every" else True, "redact": "person", "track": True})
    assert told == f"'{key}' does not go with 'redact': what the model does not look at cannot be hidden"
    assert not build_config({**NEEDED, "every": 1, "redact": "person"}).gated


@pytest.mark.parametrize("key", ["cuda_graph", "nhwc"])
@pytest.mark.parametrize("device", ["cpu", "tensorrt"])
def test_some_options_are_for_cuda(device: str, key: str) -> None:
    told = reason({**NEEDED, key: True, "device": device})
    assert told == f"'{key}' does not go with the device {device}: it is for --device cuda"
    assert getattr(build_config({**NEEDED, key: True, "device": "cuda"}), key)
    assert getattr(build_config({**NEEDED, key: True}), key)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"decoder": "nvdec"}, "the decoder nvdec: nothing else may use CUDA meanwhile; use --decoder cpu or auto"),
        ({"encoder": "nvenc"}, "the encoder nvenc: nothing else may use CUDA meanwhile; use --encoder x264 or auto"),
        ({"decoder": "auto", "encoder": "nvenc"}, "the encoder nvenc: "),
    ],
)
def test_cuda_graphs_do_not_go_with_video_on_the_gpu(given, told: str, yaml) -> None:
    flags = {**NEEDED, "output": "x.mp4", **given}
    assert reason({**flags, "cuda_graph": True}).startswith(f"'cuda_graph' does not go with {told}")
    assert told in reason(flags, yaml("cuda-graph: true"))
    assert build_config(flags).cuda_graph is False


def test_beside_cuda_graphs_auto_is_the_cpu_and_says_why(caplog: pytest.LogCaptureFixture) -> None:
    flags = {**NEEDED, "output": "x.mp4", "decoder": "auto", "encoder": "auto"}
    config = build_config({**flags, "cuda_graph": True})
    assert (config.decoder, config.encoder) == ("cpu", "x264")
    why = "nothing else may use CUDA beside 'cuda_graph'"
    assert caplog.messages == [
        f"videos are decoded on the CPU: {why}",
        f"videos are encoded on the CPU, with x264: {why}",
    ]
    assert build_config(flags).decoder == "auto"
    assert build_config({**NEEDED, "cuda_graph": True}).decoder == "cpu"
    assert len(caplog.messages) == 2


def test_an_empty_file_says_nothing(yaml) -> None:
    assert build_config(NEEDED, yaml("# nothing yet\n")) == build_config(NEEDED)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "run.yaml cannot be read: No such file" in reason(NEEDED, tmp_path / "run.yaml")
    assert "cannot be read: " in reason(NEEDED, tmp_path)
