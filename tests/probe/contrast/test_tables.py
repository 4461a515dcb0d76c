"""Terms by layer and by pairs, and the head: sums that must close, the explicit rule, and loops."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mamlprobe.base.errors import UserError
from mamlprobe.learn.outer import meta_gradient
from mamlprobe.methods.settings import Outer
from mamlprobe.probe.contrast.decomposition import decompose
from mamlprobe.probe.contrast.tables import BODY, alignment, head_table, term_table
from tests.probe.cases import NETS, method, start

NET = NETS["conv"][0]
CASES = [method(), method("head.*", order=2), method(order=2, steps=2), method("head.*", loss="mse", steps=2)]


@pytest.fixture
def episodes(classes):
    return classes(tasks=2, shot=2, query=3)


def cell(table, layer, quantity):
    rows = table[(table["layer"] == layer) & (table["quantity"] == quantity)]
    return rows.pivot_table("value", "task", "term")


@pytest.mark.parametrize("chosen", CASES)
def test_shares_close_in_every_layer_and_pairs_close_in_every_term(chosen, episodes):
    theta = start(NET)
    table = term_table(NET, theta, episodes, chosen)
    gradients = [meta_gradient(NET, theta, episodes.task(b), chosen)[0] for b in range(2)]
    for layer in (BODY, *NET.layers[:-1]):
        share, cosine, norm = (cell(table, layer, name) for name in ("share", "cosine", "norm"))
        whole = [name for name in share.columns if "," not in name]
        np.testing.assert_allclose(share[whole].sum(axis=1), 1.0, atol=1e-9)
        for term in ("contrastive", "noise"):
            parts = share[f"{term}, same"] + share[f"{term}, different"]
            np.testing.assert_allclose(parts, share[term], atol=1e-9)
        names = [n for n, owner in NET.parameters.items() if owner == layer or (layer == BODY and owner != "head")]
        size = [float(torch.cat([g[n].flatten() for n in names]).norm()) for g in gradients]
        np.testing.assert_allclose((cosine * norm)[whole].div(share[whole]).dropna(axis=1).iloc[:, 0], size, rtol=1e-7)


@pytest.mark.parametrize("order", [1, 2])
def test_pairs_of_one_label_are_those_of_the_explicit_rule(order, episodes):
    theta, chosen = start(NET), method("head.*", order=order)
    rule = Outer(rule="contrastive", terms=("contrastive", "noise"), pairs="same")
    found, _ = meta_gradient(NET, theta, episodes, replace(chosen, outer=rule))
    terms = decompose(NET, theta, episodes, chosen, pairs="same").terms
    for name, value in terms["contrastive"].items():
        np.testing.assert_allclose((value + terms["noise"][name]).mean(0), found[name], atol=1e-10)


def test_pairs_must_be_known(episodes):
    with pytest.raises(UserError, match=r"contrast: the word for pairs must be a known one, got 'sme'"):
        decompose(NET, start(NET), episodes, method(), pairs="sme")


def test_alignment_is_the_energy_of_rows_by_loops_and_one_for_all_directions():
    generator = torch.Generator().manual_seed(0)
    weight, features = torch.randn(3, 5, generator=generator), torch.randn(2, 7, 5, generator=generator)
    by_loop = []
    for task in features.double():
        c = sum(torch.outer(f, f) for f in task) / 7
        energy = sum(float(w @ c @ w) for w in weight.double())
        by_loop.append(energy / (float(weight.double().square().sum()) * float(c.trace()) / 5))
    np.testing.assert_allclose(alignment(weight.double(), features), by_loop, rtol=1e-12)
    np.testing.assert_allclose(alignment(torch.eye(5).double(), features), 1.0)
    assert alignment(torch.zeros(3, 5).double(), features).isnan().all()


def test_head_table_reads_the_head_before_the_inner_loop(episodes, classes):
    theta, past = start(NET), classes(tasks=3, shot=1, query=2, seed=5)
    table = head_table(NET, theta, episodes, method(), past=past).set_index(["quantity", "task"])["value"]
    assert table["head norm", 1] == pytest.approx(float(theta.net["head.weight"].norm()))
    params = {name: value[None] for name, value in theta.net.items()}
    logits = NET(params, episodes.query_x).layers["head"].detach().numpy()
    np.testing.assert_allclose([table["initial logits", b] for b in range(2)], logits.std(-1).mean(1))
    assert table["alignment, past", 0] == table["alignment, past", 1]
    moved = head_table(NET, theta, episodes, method(), past=episodes.task(1)).set_index(["quantity", "task"])["value"]
    assert moved["alignment, past", 0] == pytest.approx(moved["alignment, own", 1])
