"""Lightning's trainer, as a recipe wants it."""

from __future__ import annotations

import logging
import os
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only

from pipeline.errors import ConfigError, DeviceError
from training.checkpoint import CheckpointFiles
from training.recipe import Recipe


def build_trainer(
    recipe: Recipe, folder: Path, callbacks: list[Callback], loggers: Any = False, **options: Any
) -> pl.Trainer:
    """Lightning's trainer, quiet, with our checkpoint files.

    Raises:
        DeviceError, ConfigError: it cannot do what the recipe's part `run` asks for.
    """
    quieten()
    run = recipe.run
    strategy = run.strategy
    if strategy in ("auto", "ddp") and recipe.model.trainable and (strategy == "ddp" or _several(recipe)):
        strategy = "ddp_find_unused_parameters_true"  # frozen blocks have no gradients to share
    try:
        return pl.Trainer(
            accelerator=run.accelerator,
            devices=run.devices,
            num_nodes=run.nodes,
            strategy=strategy,
            precision=run.precision,
            max_epochs=recipe.epochs,
            accumulate_grad_batches=recipe.optimiser.accumulate,
            gradient_clip_val=recipe.optimiser.clip,
            check_val_every_n_epoch=run.validate_every,
            sync_batchnorm=run.sync_batchnorm,
            deterministic=run.deterministic or None,
            callbacks=callbacks,
            logger=loggers,
            plugins=[CheckpointFiles()],
            default_root_dir=folder,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            enable_model_summary=False,
            log_every_n_steps=10,
            **options,
        )
    except (MisconfigurationException, ModuleNotFoundError) as error:
        raise DeviceError(first_line(error)) from None
    except (ValueError, TypeError) as error:
        raise ConfigError(f"the part 'run' of the recipe: {first_line(error)}") from None


def _several(recipe: Recipe) -> bool:
    return processes_of(recipe) > 1 or recipe.run.nodes > 1


def processes_of(recipe: Recipe) -> int:
    """How many processes of the run share this machine, one for each device, as far as is known before it begins."""
    run = recipe.run
    if told := os.environ.get("LOCAL_WORLD_SIZE"):
        return int(told)
    if str(run.devices).isdecimal():
        return max(int(run.devices), 1)
    return max(torch.cuda.device_count(), 1) if run.accelerator in ("auto", "gpu", "cuda") else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and speaks."""
    return rank_zero_only.rank == 0  # type: ignore[attr-defined]


def quieten() -> None:
    """Lightning's tips and its advice on things that the recipe decides are not for the user."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    warnings.filterwarnings("ignore", message=r".*(lr_scheduler\.step|isinstance\(treespec|IProgress).*")


def first_line(error: Exception) -> str:
    """Of what an error says."""
    return str(error).strip().partition("\n")[0]
