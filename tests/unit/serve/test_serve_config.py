from pathlib import Path
from typing import Any

import pytest
import yaml

import pipeline
from pipeline.errors import ConfigError
from pipeline.serve.config import CameraSpec, ServeConfig, check_name, read_camera, read_config

EXAMPLE = Path(pipeline.__file__).parent.parent / "configs" / "pipeline" / "live.yaml"
URL = "rtsp://anna:hush@192.0.2.1/stream"


def read(folder: Path, **values: Any) -> ServeConfig:
    file = folder / "live.yaml"
    file.write_text(yaml.safe_dump({"model": "m.onnx", **values}))
    return read_config(file)


def test_the_example_is_one(monkeypatch):
    monkeypatch.setenv("ONSIGHT_YARD", URL)
    config = read_config(EXAMPLE)
    assert config.cameras["yard"].url == URL
    assert [rule.name for rule in config.rules] == ["someone", "at night"]
    assert (config.web.port, config.store.keep, config.store.max_size) == (8000, 14 * 86400.0, 20 * 10**9)


def test_a_camera_in_short(tmp_path):
    config = read(tmp_path, cameras={"webcam": 0, "yard": URL, "door": {"source": 1}})
    assert {name: camera.url for name, camera in config.cameras.items()} == {"webcam": "0", "yard": URL, "door": "1"}


def test_secrets_from_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "url").write_text(f"{URL}\n")
    monkeypatch.setenv("ONSIGHT_TEST", URL)
    cameras = {"a": {"source": {"file": str(tmp_path / "url")}}, "b": {"source": {"env": "ONSIGHT_TEST"}}}
    store = {"url": {"env": "ONSIGHT_TEST"}}
    config = read(tmp_path, cameras=cameras, store=store)
    assert [camera.url for camera in config.cameras.values()] == [URL, URL]
    assert "hush" not in f"{config} {config!r} {config.model_dump()} {config.model_dump_json()}"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"camera": {}}, "unknown key 'camera'; did you mean 'cameras'?"),
        ({"web": {"prot": 1}}, "unknown key 'web.prot'; did you mean 'port'?"),
        ({"cameras": {"web": {"source": URL, "mask": "m"}}}, "unknown key 'cameras.web.mask'; did you mean 'masks'?"),
        (
            {"cameras": {URL: {"sorce": 1}}},
            "unknown key 'cameras.rtsp://192.0.2.1/stream.sorce'; did you mean 'source'?",
        ),
        ({"store": {"clips": {"befor": 1}}}, "unknown key 'store.clips.befor'; did you mean 'before'?"),
        ({"rules": [{"nam": "x"}]}, "unknown key 'rules.0.nam'; did you mean 'name'?"),
        ({"mqtt": {"hosts": "x"}}, "unknown key 'mqtt.hosts'; did you mean 'host'?"),
        ({"rules": [{"name": "x"}, {"name": "x"}]}, "two rules are called 'x': give each a name of its own"),
        ({"rules": [{"name": "x", "zone": "z"}]}, "rule 'x' needs 'track: true': zones and lines know tracked objects"),
        ({"cameras": {"a": {"source": URL, "zones": "z"}}}, "the zones of camera 'a' need 'track: true'"),
        ({"cameras": {"a": {"masks": "m"}}}, "'cameras.a.source' is missing"),
        (
            {"cameras": {"a": {"source": {"env": "NOT_SET"}}}},
            "'cameras.a.source': the environment variable 'NOT_SET' is",
        ),
        (
            {"cameras": {"a": {"source": {"env": URL}}}},
            "'cameras.a.source': the environment variable 'rtsp://192.0.2.1",
        ),
        ({"cameras": {"a/b": URL}}, "'cameras.a/b.[key]': string should match pattern"),
        ({"cameras": {"a": [URL]}}, "'cameras.a': input should be"),
        ({"store": {"keep": "long"}}, "'store.keep': "),
        ({"webhooks": {"x": {"url": URL, "secret": "hush"}}}, "'webhooks.x.url': a webhook is an http:// or https://"),
        ({"model": None}, "'model': input should be a valid string"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(tmp_path, values, told):
    with pytest.raises(ConfigError) as error:
        read(tmp_path, **values)
    assert str(error.value).startswith(f"{tmp_path / 'live.yaml'}: {told}")
    assert "\n" not in str(error.value)
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: [", "is not valid YAML, line 1"),
        ("model: a\nmodel: b", "is not valid YAML, line 2: 'model' comes twice"),
        ("- model", "must hold keys and values, not a list"),
        ("", "'model' is missing"),
    ],
)
def test_what_is_no_configuration_is_told(tmp_path, text, told):
    (tmp_path / "live.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        read_config(tmp_path / "live.yaml")
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "nowhere.yaml")


def test_cameras_of_the_page():
    assert read_camera({"source": "0"}) == CameraSpec.model_validate(0)
    with pytest.raises(ConfigError, match=r"^unknown key 'mask'; did you mean 'masks'"):
        read_camera({"source": URL, "mask": "x"})
    assert check_name("Front door-2") == "Front door-2"
    for name in ("", "a/b", "x" * 65, "a\nb"):
        with pytest.raises(ConfigError, match="the name of a camera is up to 64"):
            check_name(name)


def test_another_port(tmp_path):
    config = read(tmp_path)
    assert config.on_port(None) is config
    assert config.on_port(0).web.port == 0
    assert "notice" not in config.on_port(0).web.model_fields_set
