"""The compiled norm and gate against torch's, with gradients."""

import pytest
import torch
from torch.nn import functional

from relscale.model import fused


def compare(ours, theirs, *shapes: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    given = [3 * torch.randn(shape, generator=generator) for shape in shapes]
    mine, exact = ([x.clone().to(kind).requires_grad_() for x in given] for kind in (None, torch.float64))
    out, expected = ours(*mine), theirs(*exact)
    torch.testing.assert_close(out, expected.float(), rtol=2e-6, atol=2e-6)
    weight = torch.randn(out.shape, generator=generator)
    (out * weight).sum().backward()
    (expected * weight).sum().backward()
    for a, b in zip(mine, exact, strict=True):
        torch.testing.assert_close(a.grad, b.grad.float(), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("shape", [(7, 64), (5, 4, 16), (0, 32)])
def test_norm(shape):
    compare(
        fused.rms_norm,
        lambda x, weight: functional.rms_norm(x, shape[-1:], weight, torch.finfo(torch.float32).eps),
        shape,
        shape[-1:],
    )


def test_a_row_of_zeros_stays_zero():
    out = fused.rms_norm(torch.zeros(2, 32), torch.ones(32))
    assert (out == 0).all()


def test_gate():
    compare(fused.gated, lambda a, b: functional.silu(a) * b, (9, 48), (9, 48))


def test_the_gate_of_extreme_numbers_is_finite():
    a = torch.tensor([-1e6, -1000.0, -90.0, 0.0, 90.0, 1000.0, 1e30, 1.0] * 2, requires_grad=True)
    out = fused.gated(a, torch.full((16,), 0.5))
    torch.testing.assert_close(out, functional.silu(a) * 0.5, rtol=1e-6, atol=1e-30)
    out.sum().backward()
    assert torch.isfinite(a.grad).all()


def test_other_types_are_computed_in_float32():
    x = torch.randn(4, 32, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    out = fused.rms_norm(x, torch.ones(32))
    assert out.dtype == torch.float32
    out.sum().backward()
    assert x.grad.dtype == torch.bfloat16
