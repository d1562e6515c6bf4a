"""Parameter groups, optimisers and the learning rate step by step."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from timm.optim import muon
from timm.optim.muon import Muon, zeropower_via_newtonschulz
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from training.blocks import depths
from training.recipe import OptimiserSpec, ScheduleSpec

_FIRST = 25  # a one-cycle run begins at its highest rate ÷ this


def group_parameters(network: nn.Module, spec: OptimiserSpec) -> list[dict[str, Any]]:
    """Groups for an optimiser: one for each learning rate, with and without weight decay.

    Norms, biases, and what a network itself names in `no_weight_decay()`, are not decayed. Frozen parameters are in
    their groups, too: they may be unfrozen later. A parameter that the network never trains is not.
    """
    spared = set(getattr(network, "no_weight_decay", set)())
    depth_of = depths(network)
    last = max(depth_of.values())
    groups: dict[tuple[int, bool, bool], dict[str, Any]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        decayed = parameter.ndim > 1 and name not in spared
        depth = depth_of[name] if spec.layer_decay < 1 else last
        fallback = spec.name == "muon" and (not decayed or depth_of[name] == last)
        group = groups.setdefault(
            (depth, decayed, fallback),
            {
                "params": [],
                "lr": spec.lr * spec.layer_decay ** (last - depth),
                "weight_decay": spec.weight_decay if decayed else 0.0,
                **({"use_fallback": True} if fallback else {}),
            },
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def build_optimiser(network: nn.Module, spec: OptimiserSpec) -> torch.optim.Optimizer:
    """The optimiser of a recipe over all parameters of `network`."""
    groups = group_parameters(network, spec)
    if spec.name == "sgd":
        nesterov = spec.nesterov and spec.momentum > 0
        return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum, nesterov=nesterov)
    if spec.name == "muon":
        if not has_bf16():
            # timm iterates in bfloat16 and lets nobody choose; without such arithmetic that takes forty times as long.
            muon.zeropower_via_newtonschulz = partial(zeropower_via_newtonschulz, dtype=torch.float32)
        return Muon(
            groups,
            lr=spec.lr,
            momentum=spec.momentum,
            nesterov=spec.nesterov,
            betas=spec.betas,
            adjust_lr_fn="original",
            fallback_lr_scale=spec.fallback,
        )
    kind = torch.optim.Adam if spec.name == "adam" else torch.optim.AdamW
    return kind(groups, lr=spec.lr, betas=spec.betas)


def has_bf16() -> bool:
    """Whether this machine computes in bfloat16 rather than imitating it: a GPU, or a CPU with AVX-512 BF16 or AMX."""
    return torch.cuda.is_available() or any(
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def build_schedule(optimiser: torch.optim.Optimizer, spec: ScheduleSpec, steps: int, epochs: int) -> LRScheduler:
    """The learning rate of a run of so many `steps` in so many `epochs`; it is stepped after every step."""
    if spec.name == "one-cycle":
        return OneCycleLR(
            optimiser,
            max_lr=[group["lr"] for group in optimiser.param_groups],
            total_steps=max(steps, 1),
            pct_start=spec.rise,
            cycle_momentum=False,
            div_factor=_FIRST,
            final_div_factor=1 / (_FIRST * max(spec.final, 1e-8)),
        )
    return LambdaLR(optimiser, lambda step: rate_at(step, spec, steps, epochs))


def rate_at(step: int, spec: ScheduleSpec, steps: int, epochs: int) -> float:
    """The learning rate of a step ÷ the highest one, for the schedules that are no cycle."""
    per_epoch = steps / epochs
    warmup = min(spec.warmup * per_epoch, steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if spec.name == "cosine":
        done = (step - warmup) / max(steps - warmup, 1)
        return spec.final + (1 - spec.final) * (1 + math.cos(math.pi * min(done, 1))) / 2
    if spec.name == "linear":
        return spec.final + (1 - spec.final) * (1 - (step - warmup) / max(steps - warmup, 1))
    if spec.name == "step":
        return spec.gamma ** sum(step >= at * per_epoch for at in spec.steps)
    return 1.0
