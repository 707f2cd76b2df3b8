"""The optimizers by name."""

from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from nasdepth.training.recipe import TrainingConfig


def optimizer_of(network: nn.Module, config: TrainingConfig) -> Optimizer:
    """Optimizer of a network's parameters; biases and norms do not decay."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups = [
        {
            "params": [p for p in parameters if p.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "adamw":
        return AdamW(groups, lr=config.learning_rate, fused=True)
    return SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.momentum > 0,
        fused=True,
    )
