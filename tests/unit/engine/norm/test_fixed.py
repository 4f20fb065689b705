import torch
from torch import nn

from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d


def loaded_norm() -> FixedBatchNorm2d:
    norm = FixedBatchNorm2d(3)
    norm.load_state_dict(
        {
            "weight": torch.tensor([1.0, 2.0, 0.5]),
            "bias": torch.tensor([0.0, 1.0, -1.0]),
            "running_mean": torch.tensor([0.1, -0.2, 3.0]),
            "running_var": torch.tensor([1.0, 4.0, 0.25]),
            "num_batches_tracked": torch.tensor(7),
        }
    )
    return norm


def test_training_mode_normalises_as_a_plain_batch_norm_does_in_evaluation() -> None:
    norm = loaded_norm().train()
    plain = nn.BatchNorm2d(3).eval()
    plain.load_state_dict(norm.state_dict())
    x = torch.randn(2, 3, 4, 5)

    assert torch.equal(norm(x), plain(x))


def test_training_mode_changes_no_statistic_and_trains_scale_and_shift() -> None:
    norm = loaded_norm().train()
    before = {key: tensor.clone() for key, tensor in norm.state_dict().items()}

    norm(torch.randn(2, 3, 4, 5)).square().sum().backward()

    assert all(torch.equal(before[key], tensor) for key, tensor in norm.state_dict().items())
    assert all(parameter.grad is not None and parameter.grad.all() for parameter in norm.parameters())


def test_an_epsilon_of_zero_leaves_the_variance_as_it_is() -> None:
    norm = loaded_norm()
    norm.eps = 0.0
    normalised = norm(torch.tensor([1.1, 1.8, 3.5]).view(1, 3, 1, 1)).flatten()
    # (1.1 - 0.1) / 1;  (1.8 + 0.2) / 2 * 2 + 1;  (3.5 - 3) / 0.5 * 0.5 - 1
    torch.testing.assert_close(normalised, torch.tensor([1.0, 3.0, -0.5]))
