"""Files of easyfsl's residual nets, against the net written out with torch's functions."""

import pytest
import torch
import torch.nn.functional as F

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from tests.foreign.families.test_resnet12 import norm
from tests.foreign.recipes import passed

PLANES, DEPTHS = (4, 5, 6, 7), (1, 1, 2, 1)
"""As in easyfsl's ResNet-12, but few filters; the first layer is as wide as the stem and has no downsample."""


def drawn(*, prefix="", rows=7, kernel=3):
    random = torch.Generator().manual_seed(2)
    state = {f"{prefix}conv1.weight": torch.randn(4, 3, kernel, kernel, generator=random) / 3}
    state |= norm(f"{prefix}bn1.", 4, random)
    wide = 4
    for number, (filters, depth) in enumerate(zip(PLANES, DEPTHS, strict=True), 1):
        for block in range(depth):
            at = f"{prefix}layer{number}.{block}."
            for n, channels in enumerate((wide, filters), 1):
                state[f"{at}conv{n}.weight"] = torch.randn(filters, channels, 3, 3, generator=random) / 3
                state |= norm(f"{at}bn{n}.", filters, random)
            if wide != filters or (number > 1 and block == 0):
                state[f"{at}downsample.0.weight"] = torch.randn(filters, wide, 1, 1, generator=random)
                state |= norm(f"{at}downsample.1.", filters, random)
            wide = filters
    if rows:
        state[f"{prefix}fc.weight"] = torch.randn(rows, wide, generator=random)
        state[f"{prefix}fc.bias"] = torch.randn(rows, generator=random)
    return state


def plain(state, x, *, prefix="", running):
    def normed(z, at):
        scale, shift, mean, var = (
            state[at + word].double() for word in ("weight", "bias", "running_mean", "running_var")
        )
        return F.batch_norm(z, *((mean, var) if running else (None, None)), scale, shift, training=not running)

    def conv(z, at, **options):
        return F.conv2d(z, state[f"{at}.weight"].double(), **options)

    x = normed(conv(x, f"{prefix}conv1", padding=1), f"{prefix}bn1.").relu()
    for number, depth in enumerate(DEPTHS, 1):
        for block in range(depth):
            at, stride = f"{prefix}layer{number}.{block}.", 2 if number > 1 and block == 0 else 1
            z = normed(conv(x, f"{at}conv1", padding=1, stride=stride), f"{at}bn1.").relu()
            z = normed(conv(z, f"{at}conv2", padding=1), f"{at}bn2.")
            if f"{at}downsample.0.weight" in state:
                x = normed(conv(x, f"{at}downsample.0", stride=stride), f"{at}downsample.1.")
            x = (z + x).relu()
    return x.mean((2, 3))


@pytest.mark.parametrize(("prefix", "rows"), [("", 7), ("backbone.", 0), ("module.", 64)])
@pytest.mark.parametrize("running", [False, True])
def test_logits_and_features(prefix, rows, running, tmp_path):
    state = drawn(prefix=prefix, rows=rows)
    torch.save({"state_dict": state}, tmp_path / "a.tar")
    found = load_foreign(tmp_path / "a.tar", image=(3, 21, 21))
    assert found.family == "ResNet of basic blocks (easyfsl)"
    x = torch.randn(6, 3, 21, 21, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours, wanted = passed(found, x, running=running), plain(state, x, prefix=prefix, running=running)
    torch.testing.assert_close(ours.features[0], wanted, rtol=1e-6, atol=1e-6)
    assert found.method.norm.statistics == "running"
    if rows == 7:
        logits = F.linear(wanted, state["fc.weight"].double(), state["fc.bias"].double())
        torch.testing.assert_close(ours.logits[0], logits, rtol=1e-6, atol=1e-6)
    else:
        assert found.experiment.net.headless
    assert found.experiment.net.stack[1] == "basic 4 1"
    assert found.experiment.net.stack[4:] == ("basic 6 1", "basic 7 2, mean")


def test_other_residual_nets_are_not_taken_for_it(tmp_path):
    for state in (drawn(kernel=7), drawn() | {"layer1.0.conv3.weight": torch.ones(4, 4, 1, 1)}):
        torch.save(state, tmp_path / "a.pth")
        with pytest.raises(UserError, match="must hold a net of a family that is known"):
            load_foreign(tmp_path / "a.pth")
