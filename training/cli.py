"""The commands `train`, `find-lr` and `tune`. Imports nothing heavy at its top, so that help stays fast."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.extras import needing

_RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
_OVERRIDES = click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")


@click.command()
@_RECIPE
@_OVERRIDES
@click.option("--resume", metavar="last.ckpt", type=click.Path(path_type=Path), help="Go on from this checkpoint.")
@click.option(
    "--output", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the run.  [runs/<date>-<time>-<name>]"
)
def train(recipe: Path, overrides: tuple[str, ...], resume: Path | None, output: Path | None) -> int:
    """Train a classifier or a detector as the YAML file RECIPE says.

    Single keys are set as in: onsight train finetune.yaml data.path=photos/ optimiser.lr=1e-3
    """
    with needing("training"):
        from training.measure_best import summarise
        from training.recipe import load_recipe
        from training.train import train as run

    outcome = run(load_recipe(recipe, overrides), output, resume)
    if outcome.metrics is not None:
        click.echo(f"{outcome.split} {summarise(outcome.metrics)}")
        click.echo(f"best checkpoint: {outcome.folder / 'best.ckpt'}")
    return outcome.code


@click.command("find-lr")
@_RECIPE
@_OVERRIDES
@click.option(
    "--steps", type=click.IntRange(20), default=100, show_default=True, help="Steps to try, each at a higher rate."
)
@click.option("--plot", metavar="FILE.png", type=click.Path(path_type=Path), help="Draw loss over learning rate.")
def find_lr(recipe: Path, overrides: tuple[str, ...], steps: int, plot: Path | None) -> None:
    """Suggest a learning rate for the YAML file RECIPE.

    The rate rises from step to step until the loss explodes; the best lies where it falls most steeply. It is the rate
    of the head, on one device.
    """
    with needing("training"):
        from training.finder import find_rate
        from training.recipe import load_recipe

    rate = find_rate(load_recipe(recipe, overrides), steps, plot)
    click.echo(f"optimiser.lr={rate:.2g}")


@click.command()
@_RECIPE
@click.argument("keys", nargs=-1, required=True, metavar="KEY=LOW..HIGH|KEY=A,B|KEY=VALUE...")
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="Runs to make.")
@click.option(
    "--output", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the search.  [runs/<date>-<time>-tune]"
)
def tune(recipe: Path, keys: tuple[str, ...], trials: int, output: Path | None) -> int:
    r"""Search good values of recipe keys.

    \b
    optimiser.lr=1e-4..1e-1:log     between two numbers, on a logarithmic scale
    epochs=2..10                    whole numbers, since both ends are
    optimiser.name=sgd,adamw        one of these
    data.path=photos/               an override as in `onsight train`

    A search that is run again with the same --output goes on.
    """
    with needing("training"):
        from training.search import search

    found = search(recipe, keys, trials, output)
    if found.values:
        click.echo(f"best of {found.trials} trials: {found.score:.4f}")
        click.echo(" ".join(f"{key}={json.dumps(value)}" for key, value in found.values.items()))
    return found.code
