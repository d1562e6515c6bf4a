"""The whole chain as one module: frames in, what the contract promises out."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from export.origin import Origin
from export.resizing import GraphResize
from training.frames import FrameNetwork, to_pictures


class FrameModel(FrameNetwork):
    """A `FrameNetwork` that is to become a file.

    Args:
        origin: network and head; they are used as they are, but for `half` a copy of the network.
        half: the network computes in float16, what comes before and after it in float32.
        resize: bring frames of any size to the input's size; boxes then come out in pixels of the frame.
    """

    def __init__(self, origin: Origin, *, half: bool = False, resize: bool = False) -> None:
        super().__init__(_Half(origin.network) if half else origin.network, origin.head, origin.mean, origin.std)
        self.resize = GraphResize(origin.contract.input, origin.contract.resize) if resize else None
        self.eval()

    def forward(self, frames: Tensor) -> Tensor | tuple[Tensor, ...]:
        pictures = to_pictures(frames)
        if self.resize is None:
            return self.recognise(pictures)
        outputs = self.recognise(self.resize(pictures))
        if isinstance(outputs, Tensor):
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
