"""ResNet-12 files, against the residual net written out with torch's functions."""

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from tests.foreign.recipes import passed

FILTERS = (3, 4, 5, 6)


def drawn(*, prefix, head, flat):
    random = torch.Generator().manual_seed(2)
    state, wide = {}, 3
    for number, filters in enumerate(FILTERS, 1):
        at = f"{prefix}layer{number}.0."
        for n, channels in enumerate((wide, filters, filters), 1):
            state[f"{at}conv{n}.weight"] = torch.randn(filters, channels, 3, 3, generator=random) / 3
            state |= norm(f"{at}bn{n}.", filters, random)
        state[f"{at}downsample.0.weight"] = torch.randn(filters, wide, 1, 1, generator=random)
        state |= norm(f"{at}downsample.1.", filters, random)
        wide = filters
    if head:
        width = FILTERS[-1] * (4 if flat else 1)
        state |= {f"{head}.weight": torch.randn(7, width, generator=random), f"{head}.bias": torch.randn(7)}
    return state


def norm(at, filters, random):
    draws = {word: torch.randn(filters, generator=random) for word in ("weight", "bias", "running_mean")}
    return {f"{at}{word}": value for word, value in draws.items()} | {
        f"{at}running_var": torch.rand(filters, generator=random) + 0.5
    }


def plain(state, x, *, prefix, head, flat, running):
    def normed(z, at):
        scale, shift, mean, var = (
            state[at + word].double() for word in ("weight", "bias", "running_mean", "running_var")
        )
        return F.batch_norm(z, *((mean, var) if running else (None, None)), scale, shift, training=not running)

    for number in range(1, 5):
        at, z = f"{prefix}layer{number}.0.", x
        for n in (1, 2, 3):
            z = normed(F.conv2d(z, state[f"{at}conv{n}.weight"].double(), padding=1), f"{at}bn{n}.")
            z = F.leaky_relu(z, 0.1) if n < 3 else z
        short = normed(F.conv2d(x, state[f"{at}downsample.0.weight"].double()), f"{at}downsample.1.")
        x = F.max_pool2d(F.leaky_relu(z + short, 0.1), 2)
    features = x.flatten(1) if flat else x.mean((2, 3))
    if head is None:
        return features
    return F.linear(features, state[f"{head}.weight"].double(), state[f"{head}.bias"].double())


@pytest.mark.parametrize(
    ("prefix", "head", "flat"),
    [("encoder.", None, False), ("", "classifier", False), ("module.features.", "fc", False), ("", "classifier", True)],
)
@pytest.mark.parametrize("running", [False, True])
def test_logits(prefix, head, flat, running, tmp_path):
    state = drawn(prefix=prefix, head=head, flat=flat)
    torch.save(state, tmp_path / "a.pth")
    found = load_foreign(tmp_path / "a.pth", image=(3, 32, 32))
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = passed(found, x, running=running)
    got = ours.features[0] if head is None else ours.logits[0]
    wanted = plain(state, x, prefix=prefix, head=head, flat=flat, running=running)
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)
    assert found.method.norm.statistics == "running"


def test_the_one_row_of_unicorn_starts_every_class(tmp_path):
    state = drawn(prefix="encoder.", head="fcone", flat=False)
    state |= {"fcone.weight": state["fcone.weight"][:1], "fcone.bias": state["fcone.bias"][:1]}
    leftover = {"encoder.fc.weight": torch.ones(5, FILTERS[-1]), "encoder.fc.bias": torch.ones(5)}
    torch.save({"params": {**leftover, **state}}, tmp_path / "a.pth")
    x = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for way in (None, 3, 9):
        found = load_foreign(tmp_path / "a.pth", image=(3, 32, 32), way=way)
        rows = way or 5
        assert found.experiment.way == rows
        assert found.left_out == ("tensors encoder.fc.weight, encoder.fc.bias",)
        wanted = plain(state, x, prefix="encoder.", head="fcone", flat=False, running=True).expand(-1, rows)
        torch.testing.assert_close(passed(found, x, running=True).logits[0], wanted, rtol=1e-6, atol=1e-6)
    assert any("norms by running moments in the inner loop too" in line for line in found.assumed)


def test_deeper_nets_are_others_and_further_parts_are_left_out(tmp_path):
    state = drawn(prefix="", head="fc", flat=False)
    torch.save(state | {"slf_attn.fc.weight": torch.ones(6, 6)}, tmp_path / "a.pth")
    assert load_foreign(tmp_path / "a.pth").left_out == ("tensors slf_attn.fc.weight",)
    torch.save(state | {"layer1.1.conv1.weight": torch.ones(3, 3, 3, 3)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="must hold a net of a family that is known"):
        load_foreign(tmp_path / "a.pth")
