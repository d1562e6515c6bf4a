"""The whole chain as one module: frames in, what the contract promises out."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from export.origin import Origin
from export.resizing import GraphResize


class FrameModel(nn.Module):
    """From frames uint8 [B, H, W, 3], BGR, to the outputs of the contract (docs/contract.md), in evaluation mode.

    Args:
        origin: network and head; they are used as they are, but for `half` a copy of the network.
        half: the network computes in float16, what comes before and after it in float32.
        resize: bring frames of any size to the input's size; boxes then come out in pixels of the frame.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, origin: Origin, *, half: bool = False, resize: bool = False) -> None:
        super().__init__()
        mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (origin.mean, origin.std))
        self.register_buffer("scale", 1 / (255 * std))
        self.register_buffer("shift", -mean / std)
        self.resize = GraphResize(origin.contract.input, origin.contract.resize) if resize else None
        self.network = _Half(origin.network) if half else origin.network
        self.head = origin.head
        self.eval()

    def forward(self, frames: Tensor) -> Tensor | tuple[Tensor, ...]:
        pictures = frames.permute(0, 3, 1, 2).flip(1).float()  # whole planes: seven times faster than pixels
        inputs = pictures if self.resize is None else self.resize(pictures)
        raw = self.network(inputs * self.scale + self.shift)
        outputs = self.head(*raw) if isinstance(raw, tuple) else self.head(raw)
        if self.resize is None or isinstance(outputs, Tensor):
            return outputs
        boxes, *others = outputs
        return self.resize.to_frame(boxes, pictures), *others


class _Half(nn.Module):
    """A network in float16 with float32 around it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        found = self.network(images.half())
        return tuple(each.float() for each in found) if isinstance(found, tuple) else found.float()
