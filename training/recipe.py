"""The recipe of a training run: everything that decides its result, validated before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.terms import Interpolation, Task
from training.overrides import read_values, validate

T = TypeVar("T")
Fraction = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(gt=0, le=4)]
Count = Annotated[int, Field(gt=0)]
Epochs = Annotated[int, Field(ge=0)]
Rgb = tuple[float, float, float]
_DETECTORS = re.compile(r"(torchvision:)?(fcos|retinanet|ssd|(faster|mask|keypoint)rcnn)")
Precision = Literal["32-true", "16-mixed", "bf16-mixed", "16-true", "bf16-true", "64-true"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataSpec(_Part):
    """Which pictures, how they are split and how they are loaded.

    `layout`: `auto` looks at the folder. `val_fraction`, `test_fraction`: of the training pictures, where the data set
    brings no such split; seeded by `seed` and stratified. `slice`: the column of a CSV, or the number of a folder level
    below the class (1 is the folder right in it), by which evaluation is broken down. `per_class`: train on no more
    than so many pictures of a class, drawn by `seed`.
    `balance`: against unequal classes, draw rare ones more often (`sampler`) or weigh them more (`loss`).
    `batch`: pictures of a step on one device. `workers`: processes that decode and augment; None: chosen by the
    machine. `cache`: GiB of memory that decoded training pictures may take; more than that and none is kept.
    """

    path: Path
    layout: Literal["auto", "folders", "csv", "cifar", "imagenet"] = "auto"
    val_fraction: Share = 0.15
    test_fraction: Share = 0.15
    seed: int = 0
    slice: str | int | None = None
    per_class: Count | None = None
    balance: Literal["none", "sampler", "loss"] = "none"
    batch: Count = 32
    workers: Annotated[int, Field(ge=0)] | None = None
    cache: NotNegative = 1.0


class ModelSpec(_Part):
    """Which network, from which weights.

    `name`: `cifarnet`, `cifarnet-large`, `torchvision:resnet18`, `timm:tf_efficientnet_lite0`, or a bare name. Of a
    detector: one of torchvision's, as `fcos_resnet50_fpn`, or a family, `fcos`, `retinanet` or `ssdlite`, on a
    `backbone`, which is a classifier with feature maps. `width`, `depth`: channels of the pyramid of `fcos` and
    `retinanet`, and convolutions of their heads.
    `weights`: `pretrained` (the library's own, downloaded), `none`, `package:efficientnet-lite0`, or a local
    `.safetensors` or `.pth` file; of the backbone, if there is one. `dropout`, `drop_path`: None leaves the network's
    own. `aux_weight`: of the loss of auxiliary heads (Inception v3, GoogLeNet).
    `trainable`: from an epoch on, how many blocks train, counted from the head: `{0: head, 2: 4, 5: all}`. The head of
    a detector is all that is not its backbone's own.
    """

    name: str
    backbone: str | None = None
    width: Count = 256
    depth: Annotated[int, Field(ge=1, le=4)] = 4
    weights: str = "none"
    dropout: Share | None = None
    drop_path: Share | None = None
    aux_weight: NotNegative = 0.4
    trainable: dict[Epochs, Count | Literal["head", "all"]] = Field(default_factory=dict)

    @property
    def task(self) -> Task:
        """What it does, by its name."""
        return "detect" if _DETECTORS.match(self.name) else "classify"


class InputSpec(_Part):
    """How a picture becomes the input of the network; None: as the network's weights were trained. `rule`: None is
    `crop` for a classifier, `stretch` for an SSD and `letterbox` for the other detectors.
    """

    size: Annotated[int, Field(ge=8, le=2048)] | None = None
    rule: Literal["crop", "stretch", "letterbox"] | None = None
    interpolation: Interpolation | None = None
    crop_pct: Annotated[float, Field(gt=0, le=1)] | None = None
    mean: Rgb | None = None
    std: tuple[Positive, Positive, Positive] | None = None


class AugmentSpec(_Part):
    """What happens to training pictures, in this order; 0 or none: nothing.

    `crop`: `random-resized` (area between `scale`, sides between `ratio`), `pad` (reflected by `padding` pixels, then
    cut at random) or `none` (as in validation). `flip`, `flip_vertical`, `erasing`: chances; `flip: alternate` mirrors
    half of the pictures, and in the next epoch the other half (arXiv:2404.00498). `rotation`: degrees.
    `policy`: RandAugment (`rand_ops`, `rand_magnitude`) or TrivialAugment. `mixup`, `cutmix`: alpha of the Beta
    distribution; with both, each batch takes one of them; `mix_chance`: of a batch to be mixed at all. `sizes`: from an
    epoch on, the pixels of a side that training pictures are made smaller to; validation keeps the input's size.
    For detectors, before the flips: `mosaic`: chance that four pictures meet in one; `scale_jitter`: from how many to
    how many times as large everything is shown, in a picture of the same size (Ghiasi et al. 2021); `zoom_out`: chance
    that a picture lies somewhere on a grey one of up to `zoom_sides` times its sides; `iou_crop`: chance of a part, of
    `crop_sides` of its sides, that shows objects wholly or in part (Liu et al. 2016).
    """

    crop: Literal["random-resized", "pad", "none"] = "random-resized"
    scale: tuple[Positive, Positive] = (0.35, 1.0)
    ratio: tuple[Positive, Positive] = (3 / 4, 4 / 3)
    padding: Count = 4
    flip: Fraction | Literal["alternate"] = 0.5
    flip_vertical: Fraction = 0.0
    rotation: Annotated[float, Field(ge=0, le=180)] = 0.0
    brightness: NotNegative = 0.0
    contrast: NotNegative = 0.0
    saturation: NotNegative = 0.0
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    policy: Literal["none", "rand", "trivial"] = "none"
    rand_ops: Count = 2
    rand_magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    erasing: Fraction = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0
    mix_chance: Fraction = 1.0
    sizes: dict[Epochs, Annotated[int, Field(ge=8)]] = Field(default_factory=dict)
    mosaic: Fraction = 0.0
    scale_jitter: tuple[Factor, Factor] | None = None
    zoom_out: Fraction = 0.0
    zoom_sides: Annotated[float, Field(gt=1, le=8)] = 2.0
    iou_crop: Fraction = 0.0
    crop_sides: tuple[Positive, Fraction] = (0.3, 1.0)

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in ("scale", "ratio", "scale_jitter", "crop_sides"):
            low, high = getattr(self, name) or (0, 0)
            if low > high:
                raise ValueError(f"'{name}' begins with its smaller number, not with {low}")
        return self


class OptimiserSpec(_Part):
    """`lr`: the highest, of the head; it is not scaled with the batch, the devices or the accumulation.
    `layer_decay`: each block learns so many times slower than the one after it; 1: all alike. `weight_decay` leaves
    norms and biases alone. `clip`: the largest norm of the gradient. `accumulate`: batches of a step.
    `muon` is for training from scratch: it makes the steps of matrices and convolutions orthogonal; AdamW takes the
    head, norms and biases, at `fallback` times the rate.
    """

    name: Literal["sgd", "adam", "adamw", "muon"] = "adamw"
    lr: Positive = 1e-3
    momentum: Share = 0.9
    nesterov: bool = True
    betas: tuple[Share, Share] = (0.9, 0.999)
    weight_decay: NotNegative = 0.05
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    fallback: Positive = 0.05
    clip: Positive | None = None
    accumulate: Count = 1


class ScheduleSpec(_Part):
    """The learning rate, step by step. `warmup`: epochs of a straight rise, for all but `one-cycle`. `rise`: the part
    of a `one-cycle` run that rises. `final`: the last rate ÷ the highest. `steps`: epochs at which `step` multiplies by
    `gamma`. `linear` falls straight to `final`.
    """

    name: Literal["cosine", "linear", "one-cycle", "step", "constant"] = "cosine"
    warmup: NotNegative = 1.0
    rise: Annotated[float, Field(gt=0, lt=1)] = 0.3
    final: Fraction = 0.01
    steps: tuple[Epochs, ...] = ()
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1


class LossSpec(_Part):
    """Cross-entropy. `label_smoothing`: the share of the target spread over all classes."""

    label_smoothing: Share = 0.0


class RunSpec(_Part):
    """How the work is carried out. `ema`: decay of the averaged weights, which are validated and kept; None: no
    averaging. `monitor`: None is `accuracy` for a classifier and `map` for a detector, the mean average precision.
    `patience`: validations without a better `monitor` before the run ends; None: never. `devices`, `nodes`,
    `accelerator`, `strategy` and `precision` are Lightning's own words.
    """

    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    monitor: Literal["accuracy", "map", "loss"] | None = None
    patience: Count | None = None
    validate_every: Count = 1
    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: Count = 1
    strategy: str = "auto"
    precision: Precision = "32-true"
    sync_batchnorm: bool = False
    channels_last: bool = False
    compile: bool = False
    deterministic: bool = False

    @model_validator(mode="after")
    def _average_is_exact(self) -> Self:
        if self.ema is not None and self.precision in ("16-true", "bf16-true", "64-true"):
            raise ValueError(f"'ema' averages in float32: take a mixed precision, or 'ema: null', not {self.precision}")
        return self


class Recipe(_Part):
    """A whole run. Immutable; `model_dump(mode="json")` is what recipe.yaml and checkpoints hold."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")] = "run"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    epochs: Count = 10
    data: DataSpec
    model: ModelSpec
    input: InputSpec = InputSpec()
    augment: AugmentSpec = AugmentSpec()
    optimiser: OptimiserSpec = OptimiserSpec()
    schedule: ScheduleSpec = ScheduleSpec()
    loss: LossSpec = LossSpec()
    run: RunSpec = RunSpec()

    @property
    def monitor(self) -> Literal["accuracy", "map", "loss"]:
        """By which checkpoints are judged; the loss is better where it is lower, the others where they are higher."""
        return self.run.monitor or ("map" if self.model.task == "detect" else "accuracy")

    def to_json(self) -> dict[str, Any]:
        """Plain values; `Recipe.model_validate` reads them back."""
        return self.model_dump(mode="json")


def at_epoch(steps: Mapping[int, T], epoch: int) -> T | None:
    """What holds in `epoch`, of values that each hold from an epoch on; None: before the first of them."""
    reached = [at for at in steps if at <= epoch]
    return steps[max(reached)] if reached else None


def load_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in the YAML file `path`, with `overrides` such as `optimiser.lr=0.1` on top.

    Raises:
        ConfigError: an unreadable file, an unknown key (with the nearest known one) or a value that does not fit.
    """
    return validate(Recipe, read_values(Path(path), overrides), str(path))
