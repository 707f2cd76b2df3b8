"""Classifies image files with the network in this folder.

    python model.py image.png [more.png ...] [--top 3]

or from Python:

    from model import load, preprocess
    scores = load()(preprocess("image.png"))

Needs torch, safetensors and Pillow, and the files config.json and model.safetensors
beside this one.
"""

import argparse
import json
import struct
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from safetensors.torch import load_file
from torch import Tensor, nn

HERE = Path(__file__).resolve().parent


# network
class Network(nn.Module):
    """Stands here for the exported network."""


# end of network


def read_config(folder: Path = HERE) -> dict[str, Any]:
    """The content of config.json."""
    config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    return config


def load(folder: Path = HERE, device: str = "cpu") -> nn.Module:
    """The trained network, in evaluation mode."""
    network = Network()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.to(device).eval()


def preprocess(path: str | Path, config: dict[str, Any] | None = None) -> Tensor:
    """An image file as a batch of one, `(1, channels, height, width)`.

    Raises:
        ValueError: the file holds no image that can be decoded.
    """
    config = config or read_config()
    return normalise(decode(path, config)[None], config)


def decode(path: str | Path, config: dict[str, Any]) -> Tensor:
    """Pixels of an image file as training saw them, uint8 `(channels, height, width)`.

    The EXIF orientation is applied, transparency laid on black, the colours converted
    to 8-bit grey or RGB, and the whole image scaled to the size of training.
    """
    channels, height, width = config["image_shape"]
    mode = "L" if channels == 1 else "RGB"
    try:
        with Image.open(path) as image:
            image.draft(mode, (2 * width, 2 * height))
            flat = _eight_bit(ImageOps.exif_transpose(image)).convert(mode)
            if flat.size != (width, height):
                flat = flat.resize((width, height), Image.Resampling.BILINEAR)
            pixels = torch.frombuffer(bytearray(flat.tobytes()), dtype=torch.uint8)
    except _UNDECODABLE as error:
        text = " ".join(str(error).split())
        raise ValueError(f"{path} is no image that can be decoded: {text}") from error
    return pixels.view(height, width, channels).permute(2, 0, 1).contiguous()


def normalise(pixels: Tensor, config: dict[str, Any]) -> Tensor:
    """A batch of decoded images as the network wants it."""
    mean, std = (
        torch.tensor(config[name], device=pixels.device).view(1, -1, 1, 1)
        for name in ("mean", "std")
    )
    batch = (pixels.float() - 255 * mean) * (1 / (255 * std))
    if config["upscale"] > 1:
        batch = F.interpolate(batch, scale_factor=config["upscale"], mode="bilinear")
    return batch


def main(arguments: list[str] | None = None) -> int:
    """Print the likeliest classes of every file; 2 if one of them is no image."""
    parser = argparse.ArgumentParser(
        description="Prints the likeliest classes of image files."
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE")
    parser.add_argument("--top", type=int, default=3, metavar="K", help="default: 3")
    given = parser.parse_args(arguments)
    if given.top < 1:
        parser.error(f"--top must be at least 1, but got {given.top}")
    config, network = read_config(), load()
    status = 0
    for path in given.images:
        try:
            batch = preprocess(path, config)
        except ValueError as error:
            print(error, file=sys.stderr)
            status = 2
            continue
        with torch.inference_mode():
            shares = network(batch)[0].softmax(0)
        print(path)
        for index in shares.argsort(descending=True)[: given.top].tolist():
            print(f"  {100 * shares[index].item():6.2f} %  {config['classes'][index]}")
    return status


_UNDECODABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    struct.error,
)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image in 8 bits a channel, without transparency."""
    if image.mode.startswith("I;16") or image.mode in {"I", "F"}:
        return _scaled(image)
    if image.mode in {"LA", "RGBA", "PA"} or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (0, 0, 0, 255))
        return Image.alpha_composite(ground, layer)
    return image


def _scaled(image: Image.Image) -> Image.Image:
    """A 16-bit, 32-bit or float image as 8-bit grey; Pillow itself would clip."""
    short, real = image.mode.startswith("I;16"), image.mode == "F"
    raw = (image.convert("I") if short else image).tobytes()
    kind = torch.float32 if real else torch.int32
    values = torch.frombuffer(bytearray(raw), dtype=kind).double()
    top = max(0.0, values.max().item())
    full = 65535.0 if short or top > 255 else 1.0 if real and top <= 1 else 255.0
    levels = (values.clamp(0, full) * (255 / full)).round().byte()
    return Image.frombytes("L", image.size, bytes(levels.tolist()))


if __name__ == "__main__":
    sys.exit(main())
