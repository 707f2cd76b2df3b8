"""Data sets as tensors on the device, and the one training loop."""
