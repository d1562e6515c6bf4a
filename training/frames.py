"""A network as the runtime knows models: frames in, what the contract promises out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.dlpack import from_dlpack

from pipeline.contract import ModelContract
from pipeline.model import Outputs
from pipeline.types import Frames
from training.recipe import Rgb


class FrameNetwork(nn.Module):
    """From frames uint8 [B, H, W, 3], BGR, to the outputs of the contract (docs/contract.md), in evaluation mode.

    Args:
        network: takes float32 [B, 3, H, W], RGB, (value ÷ 255 - `mean`) ÷ `std`.
        head: makes the outputs of what the network returns.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, head: nn.Module, mean: Rgb, std: Rgb) -> None:
        super().__init__()
        mean_13, std_13 = (torch.tensor(each).view(1, 3, 1, 1) for each in (mean, std))
        self.register_buffer("scale", 1 / (255 * std_13))
        self.register_buffer("shift", -mean_13 / std_13)
        self.network = network
        self.head = head
        self.eval()

    def forward(self, frames: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.recognise(to_pictures(frames))

    def recognise(self, pictures: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The outputs for float32 [B, 3, H, W], RGB, 0 to 255."""
        raw = self.network(pictures * self.scale + self.shift)
        return self.head(*raw) if isinstance(raw, tuple) else self.head(raw)


def to_pictures(frames: Tensor) -> Tensor:
    """float32 [B, 3, H, W], RGB, of frames uint8 [B, H, W, 3], BGR."""
    return frames.permute(0, 3, 1, 2).flip(1).float()  # whole planes: seven times faster than pixels


class TorchModel:
    """A network in the place of a model file: its pictures take the same way.

    Args:
        network: such as a `FrameNetwork`.
        contract: what it promises.
        device: `cpu` or `cuda`, where the network is.
    """

    def __init__(self, network: Callable[[Tensor], object], contract: ModelContract, device: str = "cpu") -> None:
        self.contract = contract
        self.device = device
        self._network = network

    def infer(self, frames_BHW3: Frames) -> Outputs:
        """See `OnnxModel.infer`."""
        on_host = isinstance(frames_BHW3, np.ndarray)
        frames = torch.from_numpy(frames_BHW3) if on_host else torch.stack([from_dlpack(each) for each in frames_BHW3])
        with torch.inference_mode():
            found = self._network(frames.to(self.device))
        each = found if isinstance(found, tuple) else (found,)
        return {name: value.cpu().numpy() for name, value in zip(self.contract.outputs, each, strict=True)}
