from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from ganshift.nn.matmul import factored_gradients, no_weight_gradients, product


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


@pytest.mark.parametrize("transposed", [False, True])
def test_factors_stand_for_the_gradient(transposed):
    """Two products, of which the gradient of the second is added to that of the first; of many rows it is formed."""
    torch.manual_seed(0)
    weight = torch.randn(6, 5, 2, 2, dtype=torch.float64, requires_grad=True)
    small, large = (torch.randn(n, 20 if transposed else 6, dtype=torch.float64) for n in (2, 9))

    def loss(*inputs):
        return torch.stack([product(rows, weight, transposed).square().sum() for rows in inputs]).sum()

    loss(small, small + 1, large).backward()
    expected, weight.grad = weight.grad, None
    with factored_gradients() as factors:
        loss(small, small + 1, large).backward()
    (pairs,) = factors.values()
    assert list(factors) == [weight]
    assert [left.shape[0] for left, _ in pairs] == [2, 2]
    found = weight.grad + sum(left.t() @ right for left, right in pairs).view_as(weight)
    torch.testing.assert_close(found, expected)

    weight.grad = None
    loss(small).backward()  # outside the block
    assert weight.grad is not None


def test_factors_of_a_second_derivative():
    """A penalty on a slope: the weight has one summand from each of the two passes."""
    torch.manual_seed(0)
    weight = torch.randn(8, 9, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(1, 8, dtype=torch.float64, requires_grad=True)

    def penalty():
        with no_weight_gradients():
            (slope,) = torch.autograd.grad(product(rows, weight).pow(3).sum(), rows, create_graph=True)
        return slope.square().sum()

    penalty().backward()
    expected, weight.grad = weight.grad, None
    with factored_gradients() as factors:
        penalty().backward()
    assert weight.grad is None
    torch.testing.assert_close(sum(left.t() @ right for left, right in factors[weight]), expected)


def test_each_thread_has_factors_of_its_own():
    weight = torch.ones(4, 4, requires_grad=True)
    with factored_gradients() as factors, ThreadPoolExecutor() as pool:
        pool.submit(lambda: product(torch.ones(1, 4), weight).sum().backward()).result()
    assert not factors
    torch.testing.assert_close(weight.grad, torch.ones(4, 4))
