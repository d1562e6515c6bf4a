"""The blocks of any network in the order of the data: what layer-wise learning rates and unfreezing count in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from pipeline.errors import ConfigError
from training.raw_heads import Detector
from training.recipe import at_epoch

_NORMS = (_BatchNorm, nn.LayerNorm, nn.GroupNorm, nn.modules.instancenorm._InstanceNorm)


def blocks_of(network: nn.Module) -> list[list[nn.Module]]:
    """The modules that hold parameters, first to last; plain containers are opened, a norm joins what it follows.

    The last block is the head: of a detector, everything that is not its backbone's own.
    """
    if isinstance(network, Detector):
        body, *further = network.backbone.children()
        return [*blocks_of(body), [*further, network.head]]
    blocks: list[list[nn.Module]] = []
    for _, module in open_containers(network):
        if not any(True for _ in module.parameters()):
            continue
        if blocks and (isinstance(module, _NORMS)):
            blocks[-1].append(module)
        else:
            blocks.append([module])
    return blocks


def open_containers(module: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The children of `module` with their names in it, first to last; plain containers are opened."""
    for name, child in module.named_children():
        if type(child) in (nn.Sequential, nn.ModuleList):
            yield from open_containers(child, f"{prefix}{name}.")
        else:
            yield prefix + name, child


def depths(network: nn.Module) -> dict[str, int]:
    """For each parameter the number of its block, from 0; those of the network itself belong to the first."""
    block_of = {id(p): i for i, block in enumerate(blocks_of(network)) for m in block for p in m.parameters()}
    return {name: block_of.get(id(parameter), 0) for name, parameter in network.named_parameters()}


class Freezer:
    """Freezes blocks by the epoch, as `model.trainable` of a recipe says.

    Args:
        network: its parameters that are frozen already stay so.
        trainable: from an epoch on, how many blocks train, counted from the head.

    Raises:
        ConfigError: more blocks than the network has.
    """

    def __init__(self, network: nn.Module, trainable: dict[int, int | Literal["head", "all"]]) -> None:
        self._blocks = blocks_of(network)
        count = len(self._blocks)
        self._steps = {at: {"head": 1, "all": count}.get(str(what), what) for at, what in trainable.items()}
        self._direct = [p for p in network.parameters(recurse=False) if p.requires_grad]
        self._parameters = [[p for m in block for p in m.parameters() if p.requires_grad] for block in self._blocks]
        for number in self._steps.values():
            if int(number) > count:
                raise ConfigError(f"'model.trainable' asks for {number} blocks, but the network has {count}")

    def open_blocks(self, epoch: int) -> int:
        """How many blocks train in `epoch`."""
        reached = at_epoch(self._steps, epoch)
        return len(self._blocks) if reached is None else int(reached)

    def apply(self, epoch: int) -> int:
        """Freezes and unfreezes for `epoch`; norms of frozen blocks keep their statistics. Returns the blocks open."""
        count = self.open_blocks(epoch)
        closed = len(self._blocks) - count
        for i, (block, parameters) in enumerate(zip(self._blocks, self._parameters, strict=True)):
            for parameter in parameters:
                parameter.requires_grad_(i >= closed)
            for module in block:
                module.train(i >= closed)
        for parameter in self._direct:
            parameter.requires_grad_(closed == 0)
        return count
