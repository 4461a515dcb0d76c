"""Numbers of a report against other ways to them, and what a report asks of which runs."""

import gc
import shlex
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy import stats

import mamlprobe as mp
from mamlprobe.cli import main
from mamlprobe.foreign.write import write_foreign
from mamlprobe.recipes.sinusoids import INNER_LR
from mamlprobe.reports import report as reports
from mamlprobe.reports.schema import ALWAYS
from tests.fuzz.box import net_of_ones_own
from tests.tiny import SMALL
from tests.zoo import ZOO, made, tasks_for

BY_HAND = {"rel": 1e-12, "abs": 1e-12}


def interval(values):
    """Student's interval, by scipy."""
    if np.ptp(values) == 0:  # scipy has no distribution of no width
        return np.mean(values), np.mean(values)
    return stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))


def scores(folder, tasks, names="keep,zero_at_test,nil,freeze"):
    """Accuracy by variant and task, from evaluate."""
    run = mp.load_run(folder)
    table = mp.evaluate(run.net(), run.theta(), tasks, mp.variants(run.net(), run.config.method, names))
    return table.pivot_table(index="task", columns="variant", values="value")


def row(table, **where):
    for name, value in where.items():
        table = table[table[name] == value]
    assert len(table) == 1, where
    return table.iloc[0]


def test_levels_and_paired_differences_of_one_run_by_hand(anil, tasks, whole):
    by_hand = scores(anil, tasks)
    of_run = whole.tables["accuracy"][whole.tables["accuracy"]["learner"] == anil.name]
    assert set(of_run["variant"]) == {*by_hand.columns} - {"freeze:none"}
    for variant in of_run["variant"]:
        seen = row(of_run, variant=variant)
        assert seen["value"] == pytest.approx(by_hand[variant].mean(), **BY_HAND)
        assert tuple(seen[["low", "high"]]) == pytest.approx(interval(by_hand[variant]), **BY_HAND)
        assert (seen["interval"], seen["seeds"], seen["tasks"]) == ("t over tasks", 1, 6)
    differences = whole.tables["differences"]
    for variant in ("zero_at_test", "nil"):
        seen, paired = row(differences, learner=anil.name, variant=variant), by_hand[variant] - by_hand["keep"]
        assert seen["value"] == pytest.approx(paired.mean(), **BY_HAND)
        assert tuple(seen[["low", "high"]]) == pytest.approx(interval(paired), **BY_HAND)
        assert (seen["against"], seen["estimator"]) == ("keep", "mean of paired differences")
    assert "keep" not in set(differences["variant"])


def test_three_seeds_are_one_learner_with_an_interval_over_seeds(seeds, tasks, whole):
    by_seed = [scores(folder, tasks) for folder in seeds]
    for name, change in (
        ("accuracy", lambda each: each["nil"]),
        ("differences", lambda each: each["nil"] - each["keep"]),
    ):
        centres = [change(each).mean() for each in by_seed]
        seen = row(whole.tables[name], learner="maml-smoke", variant="nil")
        assert seen["value"] == pytest.approx(np.mean(centres), **BY_HAND)
        assert tuple(seen[["low", "high"]]) == pytest.approx(interval(centres), **BY_HAND)
        assert (seen["interval"], seen["seeds"], seen["tasks"]) == ("t over seeds", 3, 6)
        by_run = whole.by_run[name]
        of_runs = by_run[(by_run["learner"] == "maml-smoke") & (by_run["variant"] == "nil")]
        assert of_runs["value"].tolist() == pytest.approx(centres, **BY_HAND)
        assert set(of_runs["interval"]) == {"t over tasks"}
    assert whole.tables["runs"]["learner"].tolist() == ["maml-smoke"] * 3 + [whole.tables["runs"]["learner"].iloc[-1]]
    assert row(whole.tables["settings"], learner="maml-smoke", setting="seed")["value"] == "0, 1, 2"


def test_the_other_tables_are_means_of_the_probes(anil, tasks, whole):
    run = mp.load_run(anil)
    case = run.net(), run.theta(), tasks, run.config.method
    similar = mp.similarity(*case, measures=["cka_debiased"]).groupby("layer")
    cosines = mp.cosine_classes(*case).groupby("quantity")["value"].mean()
    moved = mp.weight_distance(*case).groupby(["layer", "quantity"])["value"].mean()
    terms = mp.contrast_table(*case).groupby(["quantity", "part"])["value"].mean()
    of_run = {name: table[table["learner"] == anil.name] for name, table in whole.tables.items() if "learner" in table}
    for layer in run.net().layers:
        seen = row(of_run["similarity"], measure="cka_debiased", layer=layer)
        wanted = similar.get_group(layer)[["value", "floor"]].mean()
        assert tuple(seen[["value", "floor"]]) == pytest.approx(tuple(wanted), **BY_HAND)
    for (layer, quantity), value in moved.items():
        seen = row(of_run["distance"], layer=layer, quantity=quantity)["value"]
        assert seen == pytest.approx(value, nan_ok=True, **BY_HAND)
    for (quantity, part), value in terms.items():
        seen = row(of_run["contrast"], quantity=quantity, part=part)["value"]
        assert seen == pytest.approx(value, nan_ok=True, **BY_HAND)
    for quantity, value in cosines.items():
        assert row(of_run["cosine"], quantity=quantity)["value"] == pytest.approx(value, rel=1e-6)
    shares = of_run["contrast"][of_run["contrast"]["quantity"] == "share"]
    assert shares["value"].sum() == pytest.approx(1, abs=1e-5)


def test_numbers_of_tasks_are_those_of_the_commands(seeds, tmp_path):
    """The same tasks as `evaluate` and `probe` draw, the same manifest."""
    made = mp.report(seeds[0], episodes=4, questions="accuracy,similarity", store=False)
    assert main(["evaluate", seeds[0], "--episodes", "4", "--variants", "nil", "--out", str(tmp_path / "a.csv")]) == 0
    assert main(["probe", "layers", seeds[0], "--episodes", "4", "--out", str(tmp_path / "l.csv")]) == 0
    table, layers = pd.read_csv(tmp_path / "a.csv"), pd.read_csv(tmp_path / "l.csv")
    seen = row(made.tables["accuracy"], variant="nil")
    assert (seen["value"], seen["episodes"]) == (table["value"].mean(), table["episodes"].iloc[0])
    layers = layers[layers["measure"] == "svcca"].groupby("layer")[["value", "floor"]].mean()
    for layer, wanted in layers.iterrows():
        seen = row(made.tables["similarity"], measure="svcca", layer=layer)
        assert tuple(seen[["value", "floor"]]) == pytest.approx(tuple(wanted), nan_ok=True)


def test_losses_of_sine_curves_by_a_plain_loop(waves_run):
    made = mp.report(waves_run, episodes=5, store=False)
    run = mp.load_run(waves_run)
    method, weights = run.config.method, run.theta().net
    from mamlprobe.base.keys import key
    from mamlprobe.data.sinusoids import FORMULAS

    source = FORMULAS["sinusoids"]
    drawn = source.sample(split="test", shot=10, query=10, tasks=5, seed=key("evaluation"))
    layers = [name.removesuffix(".weight") for name in weights if name.endswith("weight")]

    def predicted(params, x):
        for layer in layers[:-1]:
            x = torch.relu(F.linear(x, params[f"{layer}.weight"], params[f"{layer}.bias"]))
        return F.linear(x, params[f"{layers[-1]}.weight"], params[f"{layers[-1]}.bias"])

    losses = []
    for task in range(5):
        params = {name: value.clone().requires_grad_() for name, value in weights.items()}
        for _ in range(method.inner.test_steps):
            loss = F.mse_loss(predicted(params, drawn.support_x[task]), drawn.support_y[task]) / 2
            slopes = torch.autograd.grad(loss, list(params.values()))
            params = {
                name: (value - INNER_LR * slope).detach().requires_grad_()
                for (name, value), slope in zip(params.items(), slopes)
            }
        answer = predicted(params, drawn.query_x[task]).detach()
        losses.append(float(F.mse_loss(answer, drawn.query_y[task]) / 2))
    seen = row(made.tables["accuracy"], variant="keep")
    assert seen["quantity"] == "loss"
    assert seen["value"] == pytest.approx(np.mean(losses), rel=1e-3)
    left_out = made.tables["left_out"].set_index("question")["reason"]
    assert left_out["contrast"] == "the terms are those of classes, and the targets are numbers"
    assert left_out["cosine"] == "the targets are numbers, not classes"
    assert {"differences", "similarity", "distance", "log"} <= {name for name, each in made.tables.items() if len(each)}
    assert made.tables["claims"].empty


@pytest.mark.parametrize("name", ["residual", "transformer", "lstm", "conv"])
def test_modules_of_ones_own_in_both_precisions(name, set_threads):
    set_threads(2)
    tables = {}
    for dtype in (torch.float64, torch.float32):
        tasks = tasks_for(name, tasks=4).to(dtype=dtype)
        net = mp.wrap(made(name).to(dtype), head=ZOO[name].head, inputs=tasks.support_x[0])
        method = mp.METHODS["maml"]
        method = replace(method, inner=replace(method.inner, steps=1, test_steps=2))
        model = mp.Model(net=net, theta=mp.init(net, seed=0), method=method)
        report = mp.report({"mine": model}, episodes=tasks)
        assert report.tables["left_out"].empty or set(report.tables["left_out"]["question"]) <= {"contrast"}
        by_hand = mp.evaluate(net, model.theta, tasks, {"keep": method})["value"]
        assert row(report.tables["accuracy"], variant="keep")["value"] == pytest.approx(by_hand.mean(), **BY_HAND)
        assert "nil" in set(report.tables["differences"]["variant"])
        tables[dtype] = report.tables
    for question in ("similarity", "distance", "cosine"):
        one, other = (tables[dtype][question]["value"].to_numpy() for dtype in tables)
        assert other == pytest.approx(one, rel=2e-2, abs=1e-2, nan_ok=True)
    assert tables[torch.float64]["settings"]["setting"].str.startswith("method.").all()


def test_an_encoder_has_the_questions_that_it_admits(tmp_path, images, capsys):
    from torch import nn

    def block(into, out):
        return nn.Sequential(nn.Conv2d(into, out, 3, padding=1), nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2))

    encoder = nn.ModuleDict({"encoder": nn.Sequential(block(1, 4), block(4, 4))})
    torch.save(encoder.state_dict(), tmp_path / "enc.pt")
    words = ["--image", "1", "10", "10", "--way", "3", "--dataset", str(images), "--norm", "batch"]
    assert main(["import", str(tmp_path / "enc.pt"), "--out", str(tmp_path / "enc"), *words]) == 0
    capsys.readouterr()
    asked = ["report", str(tmp_path / "enc"), "--query", "2", "--episodes", "3", "--tables", str(tmp_path / "tables")]
    assert main(asked) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
    assert len(lines) == 1
    for word in ("similarity, distance", "contrast", "log"):
        assert word in lines[0]
    accuracy = pd.read_csv(tmp_path / "tables" / "accuracy.csv")
    assert accuracy["variant"].tolist() == ["keep", "nil"]
    understood = pd.read_csv(tmp_path / "tables" / "understood.csv")
    assert set(understood["kind"]) == {"seen", "assumed", "stated"}
    stated = understood[understood["kind"] == "stated"]["fact"].tolist()
    assert stated == [
        "norm batch (--norm)",
        "image 1 10 10 (--image)",
        "way 3 (--way)",
        f"dataset {images} (--dataset)",
    ]


def test_two_imports_are_two_learners(tmp_path, images):
    from tests.foreign.recipes import RECIPES

    for number in range(2):
        torch.manual_seed(number)
        torch.save(RECIPES["learn2learn OmniglotCNN"].made().saved, tmp_path / f"{number}.pt")
        write_foreign(mp.load_foreign(tmp_path / f"{number}.pt"), tmp_path / f"run{number}")
    made = mp.report([tmp_path / "run0", tmp_path / "run1"], questions="settings,understood")
    assert made.tables["runs"]["learner"].tolist() == ["run0", "run1"]
    assert made.tables["runs"]["imported"].all()


def test_only_what_is_asked_is_computed(seeds, monkeypatch):
    computed = []
    for name, answer in list(reports.ANSWERS.items()):
        counted = replace(
            answer, look=lambda *args, name=name, answer=answer: computed.append(name) or answer.look(*args)
        )
        monkeypatch.setitem(reports.ANSWERS, name, counted)
    made = mp.report(seeds[0], questions=["differences", "accuracy"], episodes=2, store=False)
    assert computed == ["scores"]
    assert set(made.tables) == {"accuracy", "differences", *ALWAYS}
    computed.clear()
    monkeypatch.setattr(reports, "opened", lambda *args: pytest.fail("no weights are needed"))
    made = mp.report(seeds, questions="settings,log")
    assert computed == []
    assert len(made.tables["log"]) == 6


def test_the_weights_of_one_run_are_there_at_a_time(seeds, anil, monkeypatch):
    seen, whole = [], reports.opened

    def opened(*args):
        gc.collect()
        assert [each for each in seen if each() is not None] == []
        subject = whole(*args)
        seen.append(weakref.ref(subject.theta))
        return subject

    monkeypatch.setattr(reports, "opened", opened)
    mp.report([*seeds, anil], questions="accuracy", episodes=2, store=False)
    assert len(seen) == 4


def test_mistakes(seeds, tasks):
    net = net_of_ones_own()
    with pytest.raises(mp.UserError, match="question must be a known one, got 'acuracy'; did you mean accuracy"):
        mp.report(seeds, questions="acuracy")
    with pytest.raises(mp.UserError, match="at least one run must be named, got none"):
        mp.report([])
    with pytest.raises(mp.UserError, match="the run folder must exist"):
        mp.report("nowhere")
    with pytest.raises(mp.UserError, match="tasks that are given must say all of them, got split too"):
        mp.report(seeds[0], episodes=tasks, split="test")
    wrapped = mp.wrap(net, head="4", inputs=torch.ones(3, 1, 2, 2))
    model = mp.Model(net=wrapped, theta=mp.init(wrapped, seed=0), method=mp.METHODS["maml"])
    with pytest.raises(mp.UserError, match="'model' is a model, which names no data: its tasks must be given"):
        mp.report(model, episodes=3)


def test_the_log_with_its_intervals(seeds):
    made = mp.report(seeds[0], questions="log")
    log = mp.load_run(seeds[0]).log
    value, half = (
        log[(log["update"] == 2) & (log["split"] == "val") & (log["quantity"] == f"accuracy{end}")]["value"].iloc[0]
        for end in ("", "_half_width")
    )
    seen = row(made.tables["log"], update=2, split="val", quantity="accuracy")
    assert tuple(seen[["value", "low", "high"]]) == pytest.approx((value, value - half, value + half))
    train = row(made.tables["log"], update=2, split="train", quantity="accuracy")
    assert (train["interval"], train["estimator"]) == ("", "mean over training tasks since the row before")
    assert not made.tables["log"]["quantity"].str.contains("half").any()


NET = """
import torch
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 3, 3)
        self.fc = torch.nn.Linear(3, 3)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
"""


def test_a_run_of_a_module_needs_it_for_its_weights_alone(tmp_path, images, monkeypatch):
    (tmp_path / "netsofmine.py").write_text(NET)
    monkeypatch.syspath_prepend(str(tmp_path))
    import netsofmine

    torch.save(netsofmine.Net().state_dict(), tmp_path / "net.pt")
    words = ["--module", "netsofmine:Net", "--head", "fc", "--dataset", str(images), "--image", "1", "10", "10"]
    assert main(["import", "state_dict", str(tmp_path / "net.pt"), "--out", str(tmp_path / "run"), *words]) == 0
    asked = {"questions": "accuracy,differences", "episodes": tasks_of(images)}
    plain = mp.report(tmp_path / "run", questions="settings,understood")
    assert "module netsofmine:Net (--module)" in set(plain.tables["understood"]["fact"])
    with pytest.raises(mp.UserError, match="must come from you"):
        mp.report(tmp_path / "run", **asked)
    one = mp.report(tmp_path / "run", module=netsofmine.Net, **asked)
    other = mp.report(mp.load_run(tmp_path / "run", module="netsofmine:Net"), **asked)
    pd.testing.assert_frame_equal(one.tables["differences"], other.tables["differences"], check_exact=True)
    assert len(list((tmp_path / "run" / "answers").iterdir())) == 1


def tasks_of(images):
    pool = mp.load_pool(images, size=10)
    return mp.sample(pool, split="test", way=3, shot=1, query=2, tasks=3, seed=1)


@pytest.mark.parametrize(
    ("recipe", "left_out", "variants"),
    [
        ("reptile", {"contrast"}, {"keep", "zero_at_test", "freeze:1", "freeze:1,2"}),
        ("mamlpp", {"contrast"}, {"keep", "zero_at_test", "nil", "freeze:1", "freeze:1,2"}),
        ("protonet", {"contrast", "similarity", "distance"}, {"keep", "nil"}),
        ("multiclass", {"contrast", "similarity", "distance", "differences"}, {"nil"}),
    ],
)
def test_learners_of_other_kinds(recipe, left_out, variants, images, tmp_path):
    words = [*shlex.split(SMALL), "--dataset", str(images), "--out", str(tmp_path)]
    words += ["--train-shot", "2", "--query", "2"] if recipe == "reptile" else []
    assert main(["train", recipe, *words]) == 0
    made = mp.report(next(tmp_path.iterdir()), episodes=2, store=False)
    assert set(made.tables["left_out"]["question"]) == left_out
    assert set(made.tables["accuracy"]["variant"]) == variants
    assert made.to_html()


@pytest.mark.parametrize("count", [1, 2])
def test_models_that_are_no_runs_have_every_kind_of_file(tmp_path, count):
    net = mp.conv4(image=(1, 8, 8), way=3, filters=4, blocks=2)
    x = torch.randn(2, 6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(3).repeat(2, 2)
    tasks = mp.Episodes(support_x=x, support_y=labels, query_x=x, query_y=labels)
    models = {
        f"mine{seed}": mp.Model(net=net, theta=mp.init(net, seed=seed), method=mp.METHODS["maml"])
        for seed in range(count)
    }
    report = mp.report(models, questions="accuracy", episodes=tasks)
    report.to_html(tmp_path / "report.html")
    report.to_csv(tmp_path / "csv")
    report.to_latex(tmp_path / "latex")
    report.to_parquet(tmp_path / "parquet")
    assert "mine0" in (tmp_path / "report.html").read_text()
