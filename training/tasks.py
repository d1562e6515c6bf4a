"""Which keys of a recipe are for classifiers alone and which for detectors: none is passed over in silence."""

from __future__ import annotations

from pipeline.errors import ConfigError
from pipeline.terms import Task
from training.recipe import Recipe

_KEYS: dict[Task, dict[str, tuple[str, ...]]] = {
    "classify": {
        "data": ("slice", "per_class", "balance"),
        "model": ("dropout", "drop_path", "aux_weight"),
        "input": ("crop_pct",),
        "augment": (
            *("crop", "scale", "ratio", "padding", "policy", "rand_ops", "rand_magnitude", "erasing"),
            *("mixup", "cutmix", "mix_chance", "sizes"),
        ),
        "loss": ("label_smoothing",),
    },
    "detect": {
        "model": ("backbone", "width", "depth"),
        "augment": ("mosaic", "scale_jitter", "zoom_out", "zoom_sides", "iou_crop", "crop_sides"),
    },
}
_VALUES: dict[Task, dict[str, tuple[str, ...]]] = {
    "classify": {"run.monitor": ("accuracy", "loss"), "input.rule": ("crop",), "augment.flip": ("alternate",)},
    "detect": {"run.monitor": ("map",)},
}
_NAMES: dict[Task, str] = {"classify": "classifiers", "detect": "detectors"}


def check_task(recipe: Recipe) -> None:
    """Whether all that `recipe` sets is for what its model does.

    Raises:
        ConfigError: a key or a value is for models of another kind.
    """
    task: Task = recipe.model.task
    other: Task = "detect" if task == "classify" else "classify"
    for part, keys in _KEYS[other].items():
        spec = getattr(recipe, part)
        fresh = type(spec).model_fields
        for key in keys:
            if getattr(spec, key) != fresh[key].get_default(call_default_factory=True):
                raise ConfigError(
                    f"'{part}.{key}' is for {_NAMES[other]}, and the model {recipe.model.name} is none: leave it out"
                )
    for name, values in _VALUES[other].items():
        part, _, key = name.partition(".")
        if (value := getattr(getattr(recipe, part), key)) in values:
            raise ConfigError(
                f"{name}={value} is for {_NAMES[other]}, and the model {recipe.model.name} is none: leave it out"
            )
