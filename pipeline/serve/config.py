"""What `onsight serve` is told, in one YAML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pipeline.config import Duration, Recognition, read_yaml, suggest_key
from pipeline.errors import ConfigError
from pipeline.serve.clips import Cut
from pipeline.serve.notify.broker import MqttConfig
from pipeline.serve.notify.webhook import WebhookConfig
from pipeline.serve.retention import size
from pipeline.serve.rules import Rule
from pipeline.serve.secrets import Secret
from pipeline.serve.web.settings import WebSettings
from pipeline.sources.live import hide_all_credentials

CameraName = Annotated[str, Field(pattern=r"^[\w .-]{1,64}$")]
Size = Annotated[int, BeforeValidator(lambda value: size(value) if isinstance(value, str) else value), Field(ge=0)]

_NAME = TypeAdapter(CameraName)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class CameraSpec(_Part):
    """A camera.

    Args:
        source: URL or number of a camera; a secret, since a password may stand in it.
        masks, zones: files as `onsight run` takes them.
        every: the model looks at one frame in so many; None: as for all cameras.
    """

    source: Secret
    masks: Path | None = None
    zones: Path | None = None
    every: Annotated[int, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        """A camera may be given by its URL or number alone."""
        return {"source": value} if isinstance(value, str | int) else value

    @property
    def url(self) -> str:
        return self.source.get_secret_value()


class ClipsConfig(_Part):
    """Seconds that a clip has before and after its event, the longest clip, and what stays free on the disk."""

    before: Duration = 5.0
    after: Duration = 5.0
    longest: Duration = 600.0
    reserve: Size = 10**9

    @property
    def cut(self) -> Cut:
        return Cut(self.before, self.after, self.longest, self.reserve)


class StoreConfig(_Part):
    """Where events are kept, and for how long.

    Args:
        folder: of thumbnails, clips and, unless there is a `url`, the database.
        url: of a database, such as `postgresql://…`; a secret.
        keep: how long after its end an event is kept; None: for ever.
        max_size: bytes of all thumbnails and clips, at most; None: any number.
        clips: None: there are none.
    """

    folder: Path = Path("events")
    url: Secret | None = None
    keep: Duration | None = 14 * 86400.0
    max_size: Size | None = 20 * 10**9
    clips: ClipsConfig | None = ClipsConfig()

    @property
    def keep_for(self) -> timedelta | None:
        return None if self.keep is None else timedelta(seconds=self.keep)


class ServeConfig(Recognition):
    """Everything that `onsight serve` can be told."""

    cameras: Mapping[CameraName, CameraSpec] = Field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    store: StoreConfig = StoreConfig()
    web: WebSettings = WebSettings()
    webhooks: Mapping[str, WebhookConfig] = Field(default_factory=dict)
    mqtt: MqttConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> ServeConfig:
        if twice := {rule.name for rule in self.rules if [each.name for each in self.rules].count(rule.name) > 1}:
            raise ValueError(f"two rules are called '{min(twice)}': give each a name of its own")
        needing = [name for name, camera in self.cameras.items() if camera.zones] if not self.track else []
        if needing:
            raise ValueError(f"the zones of camera '{needing[0]}' need 'track: true'")
        if not self.track and (rules := [rule.name for rule in self.rules if rule.needs_tracks]):
            raise ValueError(f"rule '{rules[0]}' needs 'track: true': zones and lines know tracked objects alone")
        return self

    def on_port(self, port: int | None) -> ServeConfig:
        """The same with the page on another port; None: as it is."""
        if port is None:
            return self
        return self.model_copy(update={"web": self.web.model_copy(update={"port": port})})


def read_config(file: Path) -> ServeConfig:
    """Reads the file.

    Raises:
        ConfigError: it cannot be read, or something in it does not fit.
    """
    try:
        return ServeConfig.model_validate(read_yaml(file))
    except ValidationError as error:
        raise ConfigError(f"{file}: {hide_all_credentials(_explain(error, ServeConfig))}") from None


def check_name(name: str) -> str:
    """`name`, if a camera may be called so.

    Raises:
        ConfigError: it may not.
    """
    try:
        return _NAME.validate_python(name)
    except ValidationError:
        raise ConfigError("the name of a camera is up to 64 letters, digits, spaces, dots, - and _") from None


def read_camera(values: Any) -> CameraSpec:
    """The spec of a camera that was not in the file.

    Raises:
        ConfigError: it does not fit.
    """
    try:
        return CameraSpec.model_validate(values)
    except ValidationError as error:
        raise ConfigError(hide_all_credentials(_explain(error, CameraSpec))) from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    # An unknown key first: it may be why another is missing.
    first = min(error.errors(include_url=False), key=lambda each: each["type"] != "extra_forbidden")
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        *parts, key = first["loc"]
        return f"unknown key '{path}'; {suggest_key(str(key), _keys_at(model, parts))}"
    if first["type"] == "missing":
        return f"'{path}' is missing"
    reason = first["msg"].removeprefix("Value error, ")
    return f"'{path}': {reason[0].lower()}{reason[1:]}" if path else reason


def _keys_at(model: type[BaseModel], path: Sequence[int | str]) -> list[str]:
    """The keys that may stand below `path`, whose other parts are names and numbers of a mapping or list."""
    for part in path:
        if part in model.model_fields:
            model = next(_models_in(model.model_fields[str(part)].annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
