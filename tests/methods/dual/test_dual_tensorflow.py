from pathlib import Path

import numpy as np
import pytest
import torch

from ganshift.errors import UserError
from ganshift.methods.dual.tensorflow import from_tensorflow

GOLDEN = Path(__file__).parents[2] / "golden"


def variables(name="wgan_global"):
    arrays = np.load(GOLDEN / f"dualgan_{name}.npz")
    return {key.removeprefix("weight:"): arrays[key] for key in arrays.files if key.startswith("weight:")}


@pytest.mark.parametrize(
    ("name", "head", "size"), [("wgan_global", "global", 256), ("classic_patch_l2", "patch", None)]
)
def test_what_is_detected(name, head, size):
    found = from_tensorflow(variables(name))
    gen_ab, critic_a = found.arguments["gen_ab"], found.arguments["critic_a"]
    assert (critic_a["head"], found.size, gen_ab["levels"]) == (head, size, 8)
    assert (gen_ab["in_channels"], gen_ab["out_channels"], gen_ab["width"], critic_a["width"]) == (3, 3, 2, 2)
    assert found.build().keys() == {"gen_ab", "gen_ba", "critic_a", "critic_b"}


def test_everything_is_mapped_once():
    """Each published number shows up in exactly one of our tensors."""
    given = variables()
    numbered = {name: np.full(array.shape, i, np.float32) for i, (name, array) in enumerate(given.items())}
    found = from_tensorflow(numbered)
    values = [tensor.unique() for weights in found.state_dicts.values() for tensor in weights.values()]
    assert sorted(torch.cat(values).tolist()) == list(range(len(given)))


def test_missing_and_unknown_variables_are_listed():
    given = variables()
    del given["A_g_bn_e3/scale"]
    given["A_g_e3_extra/w"] = np.ones(3)
    with pytest.raises(UserError, match=r"missing: A_g_bn_e3/scale; unknown: A_g_e3_extra/w"):
        from_tensorflow(given)
    with pytest.raises(UserError, match="unknown: something"):
        from_tensorflow({"something": np.ones(3)})


@torch.no_grad()
def test_swapped_networks_give_swapped_results():
    plain = from_tensorflow(variables()).build()
    swapped = from_tensorflow(variables(), swap_red_and_blue=True).build()
    images = torch.rand(1, 3, 256, 256) * 2 - 1
    for name in ("gen_ab", "gen_ba"):
        torch.testing.assert_close(swapped[name](images.flip(1)), plain[name](images).flip(1), rtol=0, atol=1e-4)
    for name in ("critic_a", "critic_b"):
        torch.testing.assert_close(swapped[name](images.flip(1)), plain[name](images), rtol=1e-4, atol=1e-4)
