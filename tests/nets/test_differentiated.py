"""Whether passes are differentiated twice: said for a block of one thread; attention is fused if they are not."""

from dataclasses import replace
from threading import Thread

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, _cur_sdpa_kernel_backends

from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.differentiated import derived_once, derived_twice
from mamlprobe.nets.params import add_task_axis
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.representation.layer_similarity import similarity
from tests.zoo import tasks_for


class Attends(nn.Module):
    """It notes which kernels of attention are allowed while it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[bool] = SEEN
        self.body, self.fc = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        SEEN.add(_cur_sdpa_kernel_backends() == [SDPBackend.MATH])
        z = torch.tanh(self.body(x)).view(-1, 2, 2, 2)
        return self.fc(nn.functional.scaled_dot_product_attention(z, z, z).flatten(1))


SEEN: set[bool] = set()


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    net, episodes = wrap(Attends(), "fc", inputs=torch.randn(6, 4)), tasks_for("mlp", tasks=2)
    rows = {side: getattr(episodes, side).flatten(2)[..., :4] for side in ("support_x", "query_x")}
    episodes = replace(episodes, **rows)
    theta = init(net, seed=0)
    net(add_task_axis(theta.net), episodes.support_x[:1])
    return net, theta, episodes


def short(name):
    return replace(METHODS[name], inner=replace(METHODS[name].inner, steps=2, test_steps=2))


@pytest.mark.parametrize(
    ("work", "plain"),
    [
        (lambda case: meta_gradient(*case, short("maml")), True),
        (lambda case: meta_gradient(*case, short("fomaml")), False),
        (lambda case: meta_gradient(*case, short("anil")), False),
        (
            lambda case: meta_gradient(*case, replace(short("imaml"), inner=replace(short("imaml").inner, lr=0.01))),
            True,
        ),
        (lambda case: evaluate(*case, {"keep": short("maml")}), False),
        (lambda case: similarity(*case, short("maml"), measures=("cka_debiased",)), False),
    ],
    ids=["maml", "fomaml", "anil", "imaml", "evaluate", "similarity"],
)
def test_attention_is_fused_where_nothing_is_differentiated_twice(case, work, plain):
    SEEN.clear()
    work(case)
    assert {plain} == SEEN
    assert _cur_sdpa_kernel_backends() != [SDPBackend.MATH]


def test_what_is_said_holds_inside_alone():
    assert derived_twice()
    with derived_once():
        assert not derived_twice()
        with derived_once(False):
            assert derived_twice()
        assert not derived_twice()
    assert derived_twice()


def test_an_error_ends_it():
    def failing():
        with derived_once():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    assert derived_twice()


def test_it_is_said_of_one_thread_alone():
    seen = []
    with derived_once():
        thread = Thread(target=lambda: seen.append(derived_twice()))
        thread.start()
        thread.join()
        assert not derived_twice()
    assert seen == [True]
