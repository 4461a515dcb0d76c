"""Heads by what they compute: closed forms are right against autograd, or refused in one line."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from mamlprobe.base.errors import UserError
from mamlprobe.learn.evaluate import evaluate
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.learn.task_batch import start_tasks
from mamlprobe.learn.theta import init
from mamlprobe.methods.method import METHODS
from mamlprobe.nets.modules.head_checks import head_facts
from mamlprobe.nets.params import adapting, add_task_axis, head_names
from mamlprobe.nets.wrap import wrap
from mamlprobe.probe.adaptation.label_order import permuted_head, relabelled
from mamlprobe.probe.contrast.decomposition import decompose
from mamlprobe.probe.contrast.shares import contrast_table
from tests.heads import HEADS, Worded
from tests.oracles import close
from tests.zoo import tasks_for


class Module(nn.Module):
    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(36, 5), head

    def forward(self, x: Tensor) -> Tensor:
        z = torch.tanh(self.body(x.flatten(1)))
        return self.fc(features=z) if isinstance(self.fc, Worded) else self.fc(z)


def netted(name: str):
    torch.manual_seed(0)
    return wrap(Module(HEADS[name][0]()).double(), "fc")


def method(name: str, **words: object):
    inner = replace(METHODS[name].inner, steps=1 if name == "contrastive" else 2, test_steps=2, lr=0.3)
    return replace(METHODS[name], inner=replace(inner, test_steps=1) if name == "contrastive" else inner, **words)


EPISODES = tasks_for("mlp", tasks=2)


@pytest.mark.parametrize("name", HEADS)
def test_what_a_head_is(name):
    make, linear, moves = HEADS[name]
    torch.manual_seed(0)
    for shape in ((5,), ()):
        found = head_facts(make().eval(), shape)
        assert (found.linear, found.slope_at_zero) == (linear, moves)
    net = netted(name)
    assert (net.linear, net.slope_at_zero) == (linear, moves)
    assert ("(the head, linear)" in repr(net)) == linear


@pytest.mark.parametrize("shape", [(4, 6, 6), ()])
def test_a_head_that_pools(shape):
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    assert not head_facts(nn.Sequential(*pool, nn.Linear(4, 4), nn.Linear(4, 3)), shape).slope_at_zero
    found = head_facts(nn.Sequential(*pool, nn.Linear(4, 3)), shape)
    assert found.slope_at_zero
    assert not found.linear  # in the input that it is given


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", HEADS)
def test_the_decomposition_is_the_gradient_or_is_refused(name, order):
    net = netted(name)
    anil = method("anil")
    chosen = replace(anil, inner=replace(anil.inner, order=order))
    theta = init(net, seed=0)
    if not net.linear:
        for work in (decompose, contrast_table):
            with pytest.raises(UserError, match="the head must be one linear layer"):
                work(net, theta, EPISODES, chosen)
        return
    found, gradients = decompose(net, theta, EPISODES, chosen), meta_gradient(net, theta, EPISODES, chosen)[0]
    body = {n: v.mean(0) for n, v in found.total.items()}
    head = {n: v.mean(0) for n, v in found.head.items()}
    close(body | head, gradients)


@pytest.mark.parametrize("name", HEADS)
def test_closed_forms_are_right_or_refused(name):
    """The contrastive rule, a head from prototypes, the siamese readout, a scaled head."""
    net = netted(name)
    rule = method("contrastive")
    unrolled = replace(rule, outer=METHODS["anil"].outer)
    proto, siamese = method("proto_maml"), METHODS["siamese"]
    if not net.linear:
        for each in (proto, siamese, method("maml", head_scale=0.5)):
            with pytest.raises(UserError, match="one linear layer"):
                init(net, seed=0, method=each)
        for work in (lambda t: meta_gradient(net, t, EPISODES, rule), lambda t: permuted_head(net, t, rule, (1, 2, 0))):
            with pytest.raises(UserError, match="the head must be one linear layer"):
                work(init(net, seed=0))
        with pytest.raises(UserError, match="one linear layer"):
            evaluate(net, init(net, seed=0), EPISODES, {"a": proto})
        return
    theta = init(net, seed=0)
    close(meta_gradient(net, theta, EPISODES, rule)[0], meta_gradient(net, theta, EPISODES, unrolled)[0])
    moved = permuted_head(net, theta, rule, (1, 2, 0))
    passed, other = (net(add_task_axis(each.net), EPISODES.query_x).logits for each in (theta, moved))
    torch.testing.assert_close(other, passed[..., [1, 2, 0]])
    assert relabelled(EPISODES, (1, 2, 0)).way == 3
    if len(head_names(net)) == 2:
        tasks, start, _ = start_tasks(net, theta, EPISODES, proto, stage="test")
        features, labels = tasks.support(start).features, EPISODES.support_y
        means = torch.stack([features[0][labels[0] == k].mean(0) for k in range(3)])
        weight, bias = (start[key][0] for key in head_names(net))
        torch.testing.assert_close(weight, 2 * means)
        torch.testing.assert_close(bias, -means.square().sum(1))
    assert meta_gradient(net, init(net, seed=0, method=siamese), EPISODES, siamese)[0]["extra.siamese.weight"].any()


@pytest.mark.parametrize("name", HEADS)
def test_a_zeroed_head_moves_or_is_refused(name):
    net = netted(name)
    zeroing, at_test = method("maml_zeroing"), method("maml", head="zero_at_test")
    if not net.slope_at_zero:
        for each in (zeroing, at_test, method("maml", head="zero_once")):
            with pytest.raises(UserError, match="a head whose weights are all zero must have a slope"):
                init(net, seed=0, method=each)
        with pytest.raises(UserError, match="a head whose weights are all zero must have a slope"):
            evaluate(net, init(net, seed=0), EPISODES, {"zero": at_test})
        return
    theta = init(net, seed=0, method=zeroing)
    slopes = meta_gradient(net, theta, EPISODES, zeroing)[0]
    assert all(bool(slopes[name].any()) for name in slopes)
    table = evaluate(net, theta, EPISODES, {"zero": at_test})
    assert (table["value"] > 1 / 3).all()


def test_a_head_by_a_word_is_the_head_by_place():
    torch.manual_seed(0)
    module, other = Module(Worded(5, 3)).double(), Module(nn.Linear(5, 3)).double()
    other.load_state_dict(module.state_dict())
    for name in ("anil", "maml_zeroing"):
        found = [
            meta_gradient(net, init(net, seed=0), EPISODES, method(name))[0]
            for net in (wrap(module, "fc"), wrap(other, "fc"))
        ]
        close(found[0], found[1], 1e-12)


class Masked(nn.Module):
    """Whose head is given two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fc = nn.Linear(36, 5), Scaled(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(torch.tanh(self.body(x.flatten(1))), x.flatten(1).abs().mean(1, keepdim=True))


class Scaled(nn.Linear):
    def forward(self, z: Tensor, size: Tensor) -> Tensor:
        return super().forward(z) * size


def test_a_head_of_two_inputs_never_runs_alone():
    torch.manual_seed(0)
    net = wrap(Masked().double(), "fc")
    theta, anil = init(net, seed=0), method("anil")
    assert net.entries == ()
    whole = method("maml")
    same = replace(whole, inner=replace(whole.inner, adapts=("fc.weight", "fc.bias")))
    close(meta_gradient(net, theta, EPISODES, anil)[0], meta_gradient(net, theta, EPISODES, same)[0])
    assert len(evaluate(net, theta, EPISODES, {"anil": anil})) == 2
    with pytest.raises(UserError, match="a head that runs alone must be given one tensor, got 2 in 'fc'"):
        net.head(add_task_axis(theta.net), torch.zeros(1, 2, 5).double())


@pytest.mark.parametrize("head_first", [False, True])
def test_a_tied_head(head_first):
    """Whichever of the two is registered first: the weight is the body's, and the head alone never takes it along."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            if head_first:
                self.fc, self.words = nn.Linear(6, 7), nn.Embedding(7, 6)
                self.words.weight = self.fc.weight
            else:
                self.words, self.fc = nn.Embedding(7, 6), nn.Linear(6, 7)
                self.fc.weight = self.words.weight
            self.mid = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.tanh(self.mid(self.words(x).mean(1))))

    torch.manual_seed(0)
    net, episodes = wrap(Tied().double(), "fc"), tasks_for("words", tasks=2)
    name = "fc.weight" if head_first else "words.weight"
    assert net.lent == (name,)
    assert net.parameters[name] == "words"
    assert head_names(net) == ("fc.bias",)
    assert not net.linear
    theta = init(net, seed=0)
    assert set(adapting(net, ("*",))) == set(theta.net)
    for patterns in (("head.*",), ("body.*",)):
        with pytest.raises(UserError, match="must adapt with it, or not at all"):
            adapting(net, patterns)
    for work in (
        lambda: decompose(net, theta, episodes, method("maml")),
        lambda: permuted_head(net, theta, method("maml"), (1, 0, 2, 3, 4, 5, 6)),
        lambda: init(net, seed=0, method=method("maml_zeroing")),
        lambda: init(net, seed=0, method=method("proto_maml")),
        lambda: init(net, seed=0, method=METHODS["siamese"]),
    ):
        with pytest.raises(UserError):
            work()
