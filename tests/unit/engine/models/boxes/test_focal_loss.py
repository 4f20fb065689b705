import pytest
import torch
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss

NUM_CLASSES = 5


def random_case(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Logits ``(3, 40, 5)`` from unsure to very sure, labels with the background, what counts."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 40, NUM_CLASSES, generator=generator, dtype=torch.float64) * 8
    labels = torch.randint(NUM_CLASSES + 1, (3, 40), generator=generator)
    is_counted = torch.rand(3, 40, generator=generator) < 0.7
    return logits.to(dtype).requires_grad_(), labels, is_counted


def torchvisions(logits: Tensor, labels: Tensor, is_counted: Tensor, loss: FocalLoss) -> Tensor:
    wanted = torch.nn.functional.one_hot(labels, NUM_CLASSES + 1)[..., :-1].to(logits.dtype)
    each: Tensor = sigmoid_focal_loss(logits, wanted, alpha=loss.alpha, gamma=loss.gamma)
    return (each * is_counted[..., None]).sum(dim=(1, 2))


@pytest.mark.parametrize("loss", [FocalLoss(alpha=0.25, gamma=2.0), FocalLoss(alpha=0.6, gamma=1.5)])
def test_sums_and_gradients_are_torchvisions(loss: FocalLoss) -> None:
    logits, labels, is_counted = random_case()
    sums, wanted = loss(logits, labels, is_counted), torchvisions(logits, labels, is_counted, loss)
    torch.testing.assert_close(sums, wanted, rtol=1e-10, atol=0)
    weights = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(sums @ weights, logits)
    (wanted_gradient,) = torch.autograd.grad(wanted @ weights, logits)
    torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-8, atol=1e-12)
    assert (gradient[~is_counted] == 0).all()
    assert (gradient[is_counted] != 0).any(dim=-1).all()


def test_the_gradient_is_that_of_the_sums() -> None:
    logits, labels, is_counted = random_case()
    few = logits[:, :6].detach().requires_grad_()
    loss = FocalLoss(alpha=0.25, gamma=2.0)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels[:, :6], is_counted[:, :6]), few)


def test_a_prediction_of_one_half_is_the_table() -> None:
    # Cross entropy log 2, one half squared, times 0.25 for the class that is there and 0.75 for four others.
    loss = FocalLoss(alpha=0.25, gamma=2.0)(
        torch.zeros(1, 1, NUM_CLASSES), torch.tensor([[2]]), torch.ones(1, 1, dtype=torch.bool)
    )
    torch.testing.assert_close(loss, torch.tensor([0.25 * 3.25]) * torch.tensor(2.0).log())


def test_logits_of_reduced_precision_are_summed_in_float32_and_get_a_gradient_of_theirs() -> None:
    logits, labels, is_counted = random_case(torch.bfloat16)
    loss = FocalLoss(alpha=0.25, gamma=2.0)
    sums = loss(logits, labels, is_counted)
    assert sums.dtype == torch.float32
    torch.testing.assert_close(sums, loss(logits.float(), labels, is_counted))
    sums.sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16


def test_without_any_cell_that_counts_the_loss_is_zero_with_a_gradient_of_zero() -> None:
    logits, labels, is_counted = random_case()
    sums = FocalLoss(alpha=0.25, gamma=2.0)(logits, labels, torch.zeros_like(is_counted))
    sums.sum().backward()  # type: ignore[no-untyped-call]
    assert sums.tolist() == [0, 0, 0]
    assert logits.grad is not None
    assert (logits.grad == 0).all()
