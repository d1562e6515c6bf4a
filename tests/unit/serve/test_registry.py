import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ConfigError
from pipeline.serve.config import CameraSpec, read_camera
from pipeline.serve.registry import Registry

DOOR, YARD, OTHER = (read_camera(f"rtsp://192.0.2.{number}/") for number in (1, 2, 3))


class Held:
    """`Cameras` that open nothing; a camera whose source is `bad` does not fit."""

    def __init__(self) -> None:
        self.specs: dict[str, CameraSpec] = {}

    def become(self, specs: Mapping[str, CameraSpec], anew: bool = False) -> None:
        self.specs = dict(specs)

    def add(self, name: str, spec: CameraSpec) -> None:
        if name in self.specs or spec.url == "bad":
            raise ConfigError("it does not fit")
        self.specs[name] = spec

    def change(self, name: str, spec: CameraSpec) -> None:
        if spec.url == "bad":
            raise ConfigError("it does not fit")
        self.specs = {**self.specs, name: spec} if self.specs[name] else {}

    def remove(self, name: str) -> None:
        del self.specs[name]


def started(folder: Path, **specs: CameraSpec) -> tuple[Registry, Held]:
    held = Held()
    registry = Registry(held, folder / "cameras.yaml")  # type: ignore[arg-type]
    registry.configure({name.replace("_", "-"): spec for name, spec in specs.items()})
    return registry, held


def test_what_the_page_changes_overrules_the_configuration(tmp_path, caplog):
    registry, held = started(tmp_path, front_door=DOOR, yard=YARD)
    registry.change("front-door", {"source": OTHER.url})
    registry.remove("yard")
    registry.add("on", {"source": "0"})
    after = {"front-door": OTHER, "on": read_camera(0)}
    assert held.specs == after
    caplog.set_level(logging.INFO)
    _, again = started(tmp_path, front_door=DOOR, yard=YARD)
    assert again.specs == after
    assert caplog.messages == [f"{tmp_path / 'cameras.yaml'} overrules the configuration of: front-door, yard"]


def test_the_source_is_shown_without_what_is_secret_and_kept_if_none_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("YARD", "rtsp://me:hush@192.0.2.9/?token=hush")
    secret = {"source": {"env": "YARD"}}
    registry, held = started(tmp_path, yard=read_camera(secret))
    registry.add("door", {**secret, "masks": "m.yaml"})
    for name in ("yard", "door"):
        assert registry.settings(name)["source"] == "rtsp://192.0.2.9/?token=***"
        registry.change(name, {"every": 3})
        assert (held.specs[name].url, held.specs[name].every) == ("rtsp://me:hush@192.0.2.9/?token=hush", 3)
    assert registry.settings("yard").keys() == {"source", "every"}
    assert registry.settings("door").keys() == {"source", "every", "masks"}
    registry.change("door", {"every": 3, "masks": None})
    assert registry.settings("door").keys() == {"source", "every"}
    assert yaml.safe_load((tmp_path / "cameras.yaml").read_text()) == {
        "cameras": {"door": {**secret, "every": 3, "masks": None}, "yard": {"every": 3}}
    }
    monkeypatch.setenv("YARD", "rtsp://me:new@192.0.2.9/")
    _, again = started(tmp_path, yard=read_camera(secret))
    assert [again.specs[name].url for name in ("yard", "door")] == ["rtsp://me:new@192.0.2.9/"] * 2
    with pytest.raises(KeyError):
        registry.settings("none")


def test_a_changed_camera_whose_source_is_gone_is_not_watched(tmp_path, caplog):
    registry, _ = started(tmp_path, yard=YARD, door=DOOR)
    registry.change("yard", {"every": 3})
    _, again = started(tmp_path, door=DOOR)
    assert again.specs == {"door": DOOR}
    assert "camera yard of" in caplog.text
    assert "the configuration has no source of it" in caplog.text


def test_a_name_in_files_that_is_no_camera_is_told(tmp_path, caplog):
    square = {"points": [[0, 0], [1, 0], [1, 1]]}
    masks, zones = tmp_path / "masks.yaml", tmp_path / "zones.yaml"
    masks.write_text(yaml.safe_dump({"masks": {"a": {**square, "sources": ["yard", "yrad"]}, "b": square}}))
    zones.write_text(yaml.safe_dump({"zones": {"c": {**square, "sources": "door"}}}))
    spec = read_camera({"source": "0", "masks": str(masks), "zones": str(zones)})
    started(tmp_path, yard=spec, porch=spec)
    assert caplog.messages == [
        f"{masks} names camera 'yrad', which there is not: add it, or mend the name",
        f"{zones} names camera 'door', which there is not: add it, or mend the name",
    ]


def test_a_camera_that_came_and_went_leaves_nothing(tmp_path):
    registry, _ = started(tmp_path)
    registry.add("yard", {"source": YARD.url})
    registry.remove("yard")
    _, again = started(tmp_path, yard=DOOR)
    assert again.specs == {"yard": DOOR}


def test_only_its_owner_reads_what_it_keeps(tmp_path):
    registry, _ = started(tmp_path)
    spec = {"source": {"env": "PATH"}}  # as it was given, not what stands there
    registry.add("yard", spec)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert yaml.safe_load(file.read_text()) == {"cameras": {"yard": spec}}


def test_what_does_not_fit_is_not_kept(tmp_path):
    registry, held = started(tmp_path, yard=YARD)
    for refused in (
        lambda: registry.add("door", {"source": "bad"}),
        lambda: registry.add("yard", {"source": DOOR.url}),
        lambda: registry.add("a/b", {"source": DOOR.url}),
        lambda: registry.change("yard", {"source": "bad"}),
        lambda: registry.change("yard", {"sorce": DOOR.url}),
    ):
        with pytest.raises(ConfigError):
            refused()
    for missing in (lambda: registry.remove("door"), lambda: registry.change("door", {"source": "0"})):
        with pytest.raises(KeyError):
            missing()
    assert held.specs == {"yard": YARD}
    assert list(tmp_path.iterdir()) == []


def test_a_change_that_cannot_be_kept_holds_for_now(tmp_path, caplog):
    registry, held = started(tmp_path / "nowhere")
    registry.add("yard", {"source": YARD.url})
    assert held.specs == {"yard": YARD}
    assert "the change of camera yard holds until Onsight ends only" in caplog.text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cameras: [", "is not valid YAML, line 1: .*; mend it, or delete it"),
        ("cameras: 1", "holds no 'cameras'; mend it, or delete it"),
        ("cameras: {yard: {sorce: 1}}", "camera 'yard' of .*cameras.yaml: unknown key 'sorce'; did you mean 'source'"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path, text, told):
    (tmp_path / "cameras.yaml").write_text(text)
    with pytest.raises(ConfigError, match=told):
        started(tmp_path)


def test_masks_that_the_configuration_has_gained_since_a_change_hold(tmp_path, caplog):
    for kind in ("masks", "zones"):
        (tmp_path / f"{kind}.yaml").write_text(f"{kind}: {{a: {{points: [[0, 0], [1, 0], [1, 1]]}}}}")
    masked = YARD.model_copy(update={kind: tmp_path / f"{kind}.yaml" for kind in ("masks", "zones")})
    registry, held = started(tmp_path, yard=YARD)
    registry.change("yard", {"every": 3})
    registry.configure({"yard": masked})
    assert held.specs["yard"] == masked.model_copy(update={"every": 3})
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    _, again = started(tmp_path, yard=masked)
    assert again.specs == held.specs


def test_masks_that_were_taken_away_stay_away_and_that_is_told(tmp_path, caplog):
    masks = tmp_path / "masks.yaml"
    masks.write_text("masks: {a: {points: [[0, 0], [1, 0], [1, 1]]}}")
    masked = YARD.model_copy(update={"masks": masks})
    registry, _ = started(tmp_path, yard=masked)
    registry.change("yard", {"masks": None})
    _, again = started(tmp_path, yard=masked)
    assert again.specs == {"yard": YARD}
    assert f"camera yard has other masks in {tmp_path / 'cameras.yaml'} than in the configuration: None" in caplog.text


def test_a_webcam_keeps_its_number(tmp_path):
    (tmp_path / "cameras.yaml").write_text("cameras: {desk: 0}")
    registry, held = started(tmp_path)
    registry.change("desk", {"every": 3})
    assert held.specs["desk"] == read_camera({"source": 0, "every": 3})
    assert started(tmp_path)[1].specs == held.specs


def test_masks_stay_when_the_camera_leaves_the_configuration(tmp_path):
    masks = tmp_path / "masks.yaml"
    masks.write_text("masks: {a: {points: [[0, 0], [1, 0], [1, 1]]}}")
    masked = YARD.model_copy(update={"masks": masks})
    registry, held = started(tmp_path, yard=masked)
    registry.change("yard", {"source": OTHER.url})
    registry.configure({})
    assert held.specs == {"yard": OTHER.model_copy(update={"masks": masks})}


def test_a_camera_that_is_removed_and_added_has_its_masks_again(tmp_path):
    masks = tmp_path / "masks.yaml"
    masks.write_text("masks: {a: {points: [[0, 0], [1, 0], [1, 1]]}}")
    masked = YARD.model_copy(update={"masks": masks})
    registry, held = started(tmp_path, yard=masked)
    registry.remove("yard")
    registry.add("yard", {"source": OTHER.url})
    assert held.specs == {"yard": OTHER.model_copy(update={"masks": masks})}
    _, again = started(tmp_path, yard=masked)
    assert again.specs == held.specs
