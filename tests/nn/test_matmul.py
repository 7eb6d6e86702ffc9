import pytest
import torch

from ganshift.nn.matmul import product


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "k", "m"), [(1, 1, 1), (2, 7, 33), (33, 7, 2), (1, 64, 5), (5, 64, 1), (40, 1, 40)])
def test_product_of_any_strides(n, k, m, dtype):
    """Contiguous, transposed, sliced and expanded matrices, all against double precision."""
    torch.manual_seed(0)

    def forms(rows, columns):
        plain = torch.randn(rows, columns, dtype=dtype)
        return (
            plain,
            plain.t().contiguous().t(),
            torch.randn(rows + 1, 2 * columns, dtype=dtype)[1:, ::2],
            torch.randn(rows, 1, dtype=dtype).expand(rows, columns),
        )

    for left in forms(n, k):
        for right in forms(k, m):
            result = product(left, right)
            assert result.dtype == dtype
            torch.testing.assert_close(result.double(), left.double() @ right.double(), rtol=1e-5, atol=1e-5)


def test_product_has_all_derivatives():
    torch.manual_seed(0)
    left, right = (torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((4, 3), (3, 2)))
    assert torch.autograd.gradcheck(product, (left, right))
    assert torch.autograd.gradgradcheck(product, (left, right))


def test_product_spares_what_needs_no_gradient():
    left, right = torch.ones(2, 3), torch.ones(3, 4, requires_grad=True)
    product(left, right).sum().backward()
    assert left.grad is None
    torch.testing.assert_close(right.grad, torch.full((3, 4), 2.0))


def test_product_keeps_the_precision_of_the_right_under_autocast():
    torch.manual_seed(0)
    left, right = torch.randn(4, 3), torch.randn(3, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = product(left, right)
        rounded = product(left.bfloat16(), right)
    torch.testing.assert_close(result, left @ right)
    torch.testing.assert_close(rounded, left.bfloat16().float() @ right)
