"""Facts about the running average of weights."""

import pytest
import torch
from torch import nn

from nasdepth.training.averaging import WeightAverage


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten()
    )


def state(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_mean_of_the_added_weights_is_applied():
    module = nn.Linear(1, 1, bias=False)
    average = WeightAverage(module)
    for value in (1.0, 2.0, 6.0):
        nn.init.constant_(module.weight, value)
        average.add()

    with average.applied(lambda: None):
        assert module.weight.item() == pytest.approx(3.0)

    assert module.weight.item() == 6.0


def test_everything_is_put_back():
    module = network().train()
    average = WeightAverage(module)
    average.add()
    before = state(module)

    with average.applied(lambda: module(torch.randn(8, 1, 9, 9))):
        assert not same(before, state(module))

    assert same(before, state(module))
    assert module[1].momentum == 0.1
    assert all(part.training for part in module.modules())


def test_everything_is_put_back_after_an_exception():
    module = network()
    average = WeightAverage(module)
    average.add()
    nn.init.constant_(module[0].weight, 5.0)
    before = state(module)

    with pytest.raises(KeyError), average.applied(lambda: None):
        raise KeyError

    assert same(before, state(module))


def test_statistics_are_those_of_the_estimation_batches():
    module = network().eval()
    average = WeightAverage(module)
    average.add()
    batches = torch.randn(5, 16, 1, 9, 9)

    def estimate() -> None:
        for batch in batches:
            module(batch)

    with average.applied(estimate), torch.no_grad():
        outputs = module[0](batches.flatten(0, 1))
        expected = outputs.mean(dim=(0, 2, 3))
        assert torch.allclose(module[1].running_mean, expected, atol=1e-5)


def test_norm_alone_is_in_training_mode_while_estimating():
    module = network().train()
    average = WeightAverage(module)
    average.add()
    seen = []

    with average.applied(lambda: seen.extend(part.training for part in module)):
        pass

    assert seen == [False, True, False, False]


def test_network_without_batch_norm_is_not_run():
    module = nn.Linear(2, 2)
    average = WeightAverage(module)
    average.add()

    with average.applied(lambda: pytest.fail("was run")):
        pass


def test_estimation_builds_no_gradient():
    module = network()
    average = WeightAverage(module)
    average.add()

    with average.applied(lambda: seen.append(module(torch.randn(4, 1, 9, 9)))):
        pass

    assert not seen[0].requires_grad


seen: list[torch.Tensor] = []
