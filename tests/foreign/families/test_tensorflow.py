"""Nets of TensorFlow, against their layers computed by torch's functions in the file's own layout, in float64."""

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.foreign.load_foreign import load_foreign
from mamlprobe.runs.inner import InnerWords
from tests.foreign.recipes import passed
from tests.foreign.tf1_files import write_bundle
from tests.foreign.tf_nets import (
    CHARACTERS,
    FILTERS,
    MINI,
    WAY,
    as_keras,
    finn_arrays,
    finn_logits,
    flat,
    keras_arrays,
    keras_features,
    numbered,
    reptile_arrays,
    reptile_logits,
    rows,
)


def far(found, x, wanted, **options):
    return (passed(found, x, **options).logits[0] - wanted).abs().max() > 1e-3


@pytest.mark.parametrize("image", [CHARACTERS, MINI])
def test_finn(image, tmp_path):
    arrays = finn_arrays(image)
    write_bundle(tmp_path / "model5999", arrays)
    found = load_foreign(tmp_path / "model5999")
    assert found.seen[1].startswith("Finn et al., TensorFlow 1: 4 blocks")
    assert (found.experiment.net.image, found.left_out, found.theta.moments) == (image, (), {})
    x = rows(image)
    wanted = finn_logits(arrays, x)
    torch.testing.assert_close(passed(found, x).logits[0], wanted, rtol=1e-6, atol=1e-6)
    for place in range(4):  # which the norm takes away again
        theirs = arrays["model/Variable" + numbered(place)]
        assert np.array_equal(found.theta.net[f"conv{place + 1}.conv.bias"].numpy(), theirs)
    for wrong in ("conv 3 1 1, norm, relu, pool 2 2", "conv 3 1 1, relu, norm 0.001, pool 2 2"):
        if image == MINI:
            assert far(load_foreign(tmp_path / "model5999", blocks=wrong), x, wanted)
    if image == CHARACTERS:
        padded = "; ".join(["conv 3 2 1, norm 0.001, relu"] * 3 + ["conv 3 2 1, norm 0.001, relu, mean"])
        assert far(load_foreign(tmp_path / "model5999", blocks=padded, image=image), x, wanted)


@pytest.mark.parametrize(
    ("image", "way", "lr", "steps"), [(MINI, 5, 0.05, 5), (CHARACTERS, 5, 2, 1), (CHARACTERS, 20, 2, 5)]
)
def test_the_inner_loop_of_finn_is_told_in_our_units(image, way, lr, steps, tmp_path):
    write_bundle(tmp_path / "m", finn_arrays(image, way))
    found = load_foreign(tmp_path / "m")
    inner = found.method.inner
    assert inner.lr == pytest.approx(lr)
    assert (inner.steps, inner.test_steps, inner.adapts) == (steps, 10, ("*", "!*.norm.*"))
    why = f"inner lr {lr:g} is the authors' {lr / way:g}, on a loss summed over classes, times {way} classes"
    assert f"assumed: {why}" in found.lines
    assert "!" not in str(load_foreign(tmp_path / "m", inner=InnerWords(adapts="*")).method.inner.adapts)
    stated = load_foreign(tmp_path / "m", inner=InnerWords(inner_lr=0.1))
    assert not any("the authors'" in line for line in stated.lines)


@pytest.mark.parametrize("running", [False, True])
@pytest.mark.parametrize("image", [CHARACTERS, MINI])
def test_reptile(image, running, tmp_path):
    arrays = reptile_arrays(image)
    write_bundle(tmp_path / "model.ckpt-99", arrays)
    found = load_foreign(tmp_path / "model.ckpt-99.index")
    assert found.seen[1].startswith("Reptile, TensorFlow 1: 4 blocks")
    assert found.experiment.net.image == image
    assert found.left_out == ("tensors an optimizer's",)
    x = rows(image)
    wanted = reptile_logits(arrays, x, running=running)
    torch.testing.assert_close(passed(found, x, running=running).logits[0], wanted, rtol=1e-6, atol=1e-6)
    assert far(found, x, wanted, running=not running)
    wrong = "conv 3 1 1, norm 0.001, relu, pool 2 2" if image == MINI else "conv 3 2 1, norm 0.001, relu"
    if image == MINI:  # pools without SAME give 25 places for 36
        with pytest.raises(UserError, match=r"head.weight in model.ckpt-99 must be \[5, 100\], got \[5, 144\]"):
            load_foreign(tmp_path / "model.ckpt-99", blocks=wrong, image=image)
        wrong = "conv 3 1 1, norm, pool 2 2 same, relu"
    assert far(load_foreign(tmp_path / "model.ckpt-99", blocks=wrong), x, wanted, running=running)


def test_the_inner_loop_of_reptile_is_adam(tmp_path):
    write_bundle(tmp_path / "m", reptile_arrays(CHARACTERS))
    method = load_foreign(tmp_path / "m").method
    assert (method.inner.optimizer, method.inner.lr, method.inner.steps, method.inner.test_steps) == (
        "adam",
        1e-3,
        3,
        5,
    )
    assert (method.norm.statistics, method.inner.adapts) == ("batch", ("*",))


def test_a_head_on_no_square_map(tmp_path):
    arrays = reptile_arrays(CHARACTERS) | {"dense/kernel": np.ones((FILTERS * 3, WAY), np.float32)}
    write_bundle(tmp_path / "m", arrays)
    with pytest.raises(UserError, match=r"dense/kernel must stand on a square map of 4 channels, got \[12, 5\]"):
        load_foreign(tmp_path / "m")


@pytest.mark.parametrize("norm_name", ["batch_normalization", "batch_normalization_v2"])
@pytest.mark.parametrize("image", [CHARACTERS, MINI])
def test_keras(image, norm_name, tmp_path):
    """Our features are theirs in the order C, H, W, which changes no distance."""
    arrays = keras_arrays(image, norm_name)
    (tmp_path / "a.h5").write_bytes(as_keras(arrays))
    found = load_foreign(tmp_path / "a.h5")
    assert found.seen[1].startswith("Keras prototypical networks (schatty): 4 blocks")
    assert (found.experiment.net.headless, found.method.norm.statistics, found.left_out) == (True, "running", ())
    x, side = rows(image), 5 if image == MINI else 1
    for running in (False, True):
        wanted = keras_features(arrays, norm_name, x, running=running)
        got = passed(found, x, running=running).features[0].unflatten(1, (FILTERS, side, side))
        torch.testing.assert_close(flat(got), wanted, rtol=1e-6, atol=1e-6)
        wrong = passed(load_foreign(tmp_path / "a.h5", blocks="conv 3 1 1, norm, relu, pool 2 2"), x, running=running)
        assert (flat(wrong.features[0].unflatten(1, (FILTERS, side, side))) - wanted).abs().max() > 1e-4


def test_two_dense_layers_are_another_net(tmp_path):
    arrays = reptile_arrays(CHARACTERS, slots=False)
    write_bundle(tmp_path / "m", arrays | {"dense_1/kernel": arrays["dense/kernel"]})
    with pytest.raises(UserError, match="must hold a net of a family that is known"):
        load_foreign(tmp_path / "m")


@pytest.mark.parametrize("lacking", ["batch_normalization_2/beta", "conv2d_1/kernel", "model/conv2", "model/3/beta"])
def test_what_is_missing(lacking, tmp_path):
    arrays = finn_arrays(MINI) if lacking.startswith("model") else reptile_arrays(MINI, slots=False)
    del arrays[lacking]
    write_bundle(tmp_path / "m", arrays)
    with pytest.raises(UserError) as info:
        load_foreign(tmp_path / "m")
    assert "\n" not in str(info.value)
