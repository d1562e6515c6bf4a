"""Which cameras there are: those of the configuration, and what was changed about them while Onsight ran."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from pipeline.config import read_yaml, to_yaml
from pipeline.errors import ConfigError
from pipeline.serve.cameras import Cameras
from pipeline.serve.config import CameraSpec, check_name, read_camera
from pipeline.serve.placed import strangers
from pipeline.serve.types import CameraStatus
from pipeline.sinks.partial import finish, partial_path
from pipeline.sources.live import hide_credentials

_ADVICE = "mend it, or delete it to go back to the configuration"

_LOG = logging.getLogger(__name__)


class Registry:
    """The cameras, as the page may change them. What it changes is kept in `file`, and overrules the configuration.

    Raises:
        ConfigError: the file cannot be read.
    """

    def __init__(self, cameras: Cameras[CameraSpec], file: Path) -> None:
        self._cameras = cameras
        self._file = file
        self._lock = Lock()
        self._own = _read(file)  # None: removed
        self._configured: Mapping[str, CameraSpec] = {}

    def configure(self, specs: Mapping[str, CameraSpec], *, anew: bool = False) -> None:
        """Takes over the cameras of a configuration. See `Cameras.become`.

        Raises:
            ConfigError: a camera cannot be opened as it says; nothing has changed.
        """
        with self._lock:
            own = {name: self._read_own(name, spec, specs) for name, spec in self._own.items()}
            wanted = {name: spec for name, spec in {**specs, **own}.items() if spec is not None}
            if overruled := sorted(specs.keys() & self._own.keys()):
                _LOG.warning("%s overrules the configuration of: %s", self._file, ", ".join(overruled))
            for name, spec in ((each, own[each]) for each in overruled if specs[each].masks):
                if spec is not None and spec.masks != specs[name].masks:
                    _LOG.error(
                        "camera %s has other masks in %s than in the configuration: %s", name, self._file, spec.masks
                    )
            unknown = list(strangers(wanted))
            self._cameras.become(wanted, anew=anew)
            self._configured = dict(specs)
            for file, name in unknown:
                _LOG.warning("%s names camera '%s', which there is not: add it, or mend the name", file, name)

    def status(self) -> list[CameraStatus]:
        return self._cameras.status()

    def settings(self, name: str) -> dict[str, Any]:
        """See `protocols.Cameras.settings`."""
        spec = self._cameras.specs[name]
        values = {**spec.model_dump(mode="json", exclude={"source"}), "source": hide_credentials(spec.url)}
        return {key: value for key, value in values.items() if value is not None}

    def add(self, name: str, spec: Mapping[str, Any]) -> None:
        """See `Cameras.add`; `spec` is as in the configuration, and has the masks and zones of a camera of that name
        there unless it has its own.
        """
        with self._lock:
            self._cameras.add(check_name(name), read_camera(_inherited(self._configured.get(name)) | dict(spec)))
            self._keep(name, dict(spec))

    def change(self, name: str, spec: Mapping[str, Any]) -> None:
        """See `Cameras.change`; `spec` is as in the configuration. A camera keeps the source, masks and zones that the
        spec does not name; None takes masks and zones away.
        """
        with self._lock:
            current = self._cameras.specs[name]
            kept = {key: value for key, value in self.settings(name).items() if key in ("masks", "zones")} | dict(spec)
            self._cameras.change(name, read_camera({"source": current.source} | kept))
            self._keep(name, self._own_source(name) | kept)

    def remove(self, name: str) -> None:
        """See `Cameras.remove`."""
        with self._lock:
            self._cameras.remove(name)
            self._keep(name, None)

    def _own_source(self, name: str) -> dict[str, Any]:
        """The source of a camera as it was given here, such as {env: NAME}; none if it stands in the configuration."""
        own = self._own.get(name)
        return {} if own is None else {key: value for key, value in _long(own).items() if key == "source"}

    def _read_own(self, name: str, spec: Any, configured: Mapping[str, CameraSpec]) -> CameraSpec | None:
        if spec is None:
            return None
        values = _inherited(configured.get(name)) | _long(spec)
        try:
            camera = read_camera({"source": ""} | values)
        except ConfigError as error:
            raise ConfigError(f"camera '{name}' of {self._file}: {error}; {_ADVICE}") from None
        if "source" not in values:
            _LOG.error("camera %s of %s is not watched: the configuration has no source of it", name, self._file)
            return None
        return camera

    def _keep(self, name: str, spec: dict[str, Any] | None) -> None:
        self._own[name] = spec
        if spec is None and name not in self._configured:
            del self._own[name]
        try:
            partial = partial_path(self._file)
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(to_yaml({"cameras": self._own}))
            finish(self._file)
        except OSError as error:
            _LOG.error("the change of camera %s holds until Onsight ends only: %s", name, error)


def _long(spec: Any) -> dict[str, Any]:
    """A camera may be given by its URL or number alone."""
    return spec if isinstance(spec, dict) else {"source": spec}


def _inherited(spec: CameraSpec | None) -> dict[str, Any]:
    """What a camera has of its configuration unless it was given its own."""
    values = {} if spec is None else spec.model_dump(include={"source", "masks", "zones"})
    return {key: value for key, value in values.items() if value is not None}


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        cameras = read_yaml(file, "list of changed cameras").get("cameras", {})
    except ConfigError as error:
        raise ConfigError(f"{error}; {_ADVICE}") from None
    if not isinstance(cameras, dict):
        raise ConfigError(f"the list of changed cameras {file} holds no 'cameras'; {_ADVICE}")
    return cameras
