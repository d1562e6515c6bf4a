"""Which networks can be exported, and what comes of it: the table in docs/exporting.md.

    uv run benchmarks/networks.py                       # all of them, about ten minutes on two cores
    uv run benchmarks/networks.py resnet18 ssd300_vgg16 # these
    uv run benchmarks/networks.py --json networks.json
    uv run benchmarks/networks.py --device cuda --precision fp16 --resize graph

Weights are drawn from a seed: nothing is downloaded, and parity does not depend on what a network has learnt. Weights
that begin as zeros are drawn, too, and batch norms take the statistics of photographs, else little of a picture would
reach the end of a deep network; what the head of a detector gives is made to spread, else all its boxes would be
alike. Parity is the largest difference at batch 1, 3 and 8 on photographs of three sizes: of logits as a part of
their range; for a detector of scores, and of coordinates in pixels. A frame is the median time of one frame on the
device. On a GPU the last column names what is heavy and was left to the CPU.
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from export.exporting import export_model
from export.named import open_network
from export.options import ExportOptions
from export.pictures import photographs
from pipeline.errors import OnsightError
from pipeline.model import OnnxModel

HEAVY = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul", "FusedMatMul", "Resize"}
NETWORKS = (
    "cifarnet",
    "cifarnet-large",
    "torchvision:alexnet",
    "torchvision:vgg11_bn",
    "torchvision:vgg16",
    "torchvision:resnet18",
    "torchvision:resnet50",
    "torchvision:wide_resnet50_2",
    "torchvision:resnext50_32x4d",
    "torchvision:inception_v3",
    "torchvision:googlenet",
    "torchvision:densenet121",
    "torchvision:squeezenet1_1",
    "torchvision:mnasnet1_0",
    "torchvision:shufflenet_v2_x1_0",
    "torchvision:mobilenet_v2",
    "torchvision:mobilenet_v3_small",
    "torchvision:mobilenet_v3_large",
    "torchvision:efficientnet_b0",
    "torchvision:efficientnet_v2_s",
    "torchvision:convnext_tiny",
    "torchvision:regnet_y_400mf",
    "torchvision:regnet_x_400mf",
    "torchvision:vit_b_16",
    "torchvision:swin_t",
    "torchvision:maxvit_t",
    "timm:tf_efficientnet_lite0",
    "timm:mobilenetv4_conv_small",
    "timm:resnet50d",
    "timm:regnetz_b16",
    "timm:convnextv2_atto",
    "timm:vit_tiny_patch16_224",
    "timm:fastvit_t8",
    "timm:ghostnet_100",
    "timm:hardcorenas_a",
    "timm:levit_128",
    "timm:repvgg_a0",
    "torchvision:ssdlite320_mobilenet_v3_large",
    "torchvision:ssd300_vgg16",
    "torchvision:retinanet_resnet50_fpn",
    "torchvision:retinanet_resnet50_fpn_v2",
    "torchvision:fcos_resnet50_fpn",
)


class Spread(nn.Module):
    """A raw detector whose class logits have the mean -2 and the deviation 2 on photographs, its regression 1."""

    def __init__(self, network, images_B3HW):
        super().__init__()
        self.network = network
        with torch.inference_mode():
            regression, logits = network(images_B3HW)[:2]
        self.mean, self.factor = float(logits.mean()), 2 / float(logits.std())
        self.size = 1 / float(regression.std())

    def forward(self, images_B3HW):
        regression, logits, *others = self.network(images_B3HW)
        return regression * self.size, (logits - self.mean) * self.factor - 2, *others


def open_random(name, folder):
    torch.manual_seed(0)
    labels = folder / "labels.txt"
    labels.write_text("".join(f"class {i}\n" for i in range(10)))
    origin = open_network(name, "none", str(labels) if name.startswith("cifarnet") else None, None, {})
    size = origin.contract.input
    images = torch.stack([torch.from_numpy(image.copy()) for image in photographs()]).permute(0, 3, 1, 2).float()
    mean, std = (torch.tensor(each).view(1, 3, 1, 1) for each in (origin.mean, origin.std))
    images = (nn.functional.interpolate(images / 255, (size.height, size.width), mode="area") - mean) / std
    if origin.contract.task == "classify":
        for weight in origin.network.parameters():
            if weight.ndim > 1 and not weight.any():
                nn.init.normal_(weight, std=0.02)
        update_bn([images], origin.network)
        return origin
    return replace(origin, network=Spread(origin.network, images).eval())


def export(name, options):
    with tempfile.TemporaryDirectory() as folder:
        origin, began = open_random(name, Path(folder)), time.perf_counter()
        path = Path(folder) / "m.onnx"
        try:
            made = export_model(origin, path, options)
            nodes = OnnxModel(path, options.device).nodes if options.device != "cpu" else {}
        except OnsightError as error:
            return {"network": name, "error": str(error)}
    size, parity = made.contract.input, made.parity
    return {
        "network": name,
        "input": f"{size.width} x {size.height}",
        "logits": parity.logits,
        "scores": parity.scores,
        "pixels": parity.pixels,
        "boxes": parity.boxes,
        "megabytes": round(made.sizes[options.precision] / 1e6, 1),
        "milliseconds": round(made.timings[options.precision], 1 if options.device == "cpu" else 2),
        "heavy_on_the_cpu": sorted(set(nodes.get("CPUExecutionProvider", ())) & HEAVY),
        "seconds_to_export": round(time.perf_counter() - began, 1),
    }


def row(found, options):
    name = f"| `{found['network']}` "
    if "error" in found:
        return f"{name}| no: {found['error']} | | | | |"
    left = f" {', '.join(found['heavy_on_the_cpu']) or 'nothing'} |" if options.device != "cpu" else ""
    parity = (
        f"{found['logits']:.0e}" if found["logits"] is not None else f"{found['scores']:.0e}, {found['pixels']:.0e} px"
    )
    return f"{name}| yes | {found['input']} | {parity} | {found['megabytes']} MB | {found['milliseconds']} ms |{left}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", default=NETWORKS)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["fp32", "fp16"], default="fp32")
    parser.add_argument("--resize", choices=["host", "graph"], default="host")
    arguments = parser.parse_args()
    options = ExportOptions(
        precision=arguments.precision, resize_in_graph=arguments.resize == "graph", device=arguments.device
    )
    found = []
    left = " heavy on the CPU |" if options.device != "cpu" else ""
    print(f"| network | exported | input | parity at batch 1, 3, 8 | file | a frame |{left}")
    print("|---" * (7 if left else 6) + "|")
    for name in arguments.networks:
        found.append(export(name, options))
        print(row(found[-1], options), flush=True)
        if arguments.json:
            arguments.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
