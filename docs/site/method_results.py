"""Writes the tables of the pages on methods, between marks: ``python -m docs.site.method_results``.

``<!-- settings: PAGE -->`` is followed by the settings of a quick training, of the published one as it is here, and by
what paper and code say of each (`method_settings.csv`); ``<!-- ours: PAGE -->`` by what the committed claims say beside
what was published; ``<!-- methods -->`` by a row a method; ``<!-- coverage -->``, on the page on uncertainty, by how
often intervals cover.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from mamlprobe.base.nested import flatten
from mamlprobe.draw.table_text import markdown
from mamlprobe.methods.method import METHODS, Method
from mamlprobe.recipes import recipe
from mamlprobe.recipes.published import PUBLISHED
from mamlprobe.reproduce.readme import ours
from mamlprobe.runs.experiment import Experiment

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "methods"
UNCERTAINTY = ROOT / "docs" / "theory" / "uncertainty.md"
FIGURES = ("", "omniglot")
"""Folders of figures/ that have claims."""


class About(NamedTuple):
    """What a page is about."""

    methods: tuple[str, ...]
    """Names in `METHODS`."""
    quick: str
    """Recipe of the quick training; empty: there is none."""
    published: str
    """Recipe with the settings of the paper, in its largest size."""
    claims: Mapping[str, str]
    """Id of a claim -> pattern that its words must have."""


ALL = ""

PAGES = {
    "maml": About(
        ("maml",),
        "maml",
        "finn-mini-5way-1shot",
        {"R2": ALL, "R3": ALL, "R4": ALL, "R11": ALL, "R12": ALL, "R14": ALL, "R16": "after MAML", "quick": "^MAML"}
        | {"chance": "^MAML", "F1": ALL, "N1": "^MAML", "N5": "^MAML", "I1": "MAML: error|unrolled|recomputed"}
        | {"A1": "seed of MAML falls", "B2": "^MAML", "B3": "^MAML", "B4": "^MAML", "C1": "^maml", "D4": "^MAML, "}
        | {"L1": ALL, "L2": ALL, "L3": ALL, "O4": "^MAML: ", "P2": "MAML"},
    ),
    "fomaml": About(
        ("fomaml",),
        "fomaml",
        "kao-random-mini-5way-1shot",
        {"K6": ALL, "K13": "second order", "N5": "^FOMAML", "C1": "^fomaml", "G1": "^fomaml"},
    ),
    "anil": About(
        ("anil", "fo_anil"),
        "anil",
        "raghu-anil-mini-5way-1shot",
        {"R5": ALL, "R6": ALL, "R7": ALL, "R8": ALL, "R14": ALL, "R10": "ANIL", "R16": "after ANIL", "quick": "^ANIL"}
        | {"chance": "^ANIL", "B3": "^ANIL", "C1": "^(fo_)?anil", "D4": "^ANIL", "G1": "^anil", "O4": "^ANIL"}
        | {"P2": "ANIL"},
    ),
    "nil": About(("nil",), "nil", "nil", {"R9": ALL, "R10": "NIL training", "R17": "with NIL"}),
    "boil": About(
        ("boil",), "boil", "oh-boil-mini-5way-1shot", {"B2": "BOIL", "B3": "BOIL", "B4": "BOIL", "D4": "^BOIL"}
    ),
    "mamlpp": About(
        ("mamlpp",),
        "mamlpp",
        "antoniou-mini-5way-1shot",
        {"A1": ALL, "A6": ALL, "D4": r"^MAML\+\+", "G1": "^mamlpp"},
    ),
    "meta-sgd": About(("meta_sgd",), "meta-sgd", "li-meta-sgd-mini-5way-1shot", {"S1": ALL}),
    "reptile": About(
        ("reptile",),
        "reptile",
        "nichol-reptile-mini-5way-1shot",
        {"N1": "^Reptile", "N5": "^Reptile", "G1": "^reptile"},
    ),
    "imaml": About(("imaml",), "imaml", "rajeswaran-imaml-omniglot-5way-1shot", {"I1": ALL, "G1": "^imaml"}),
    "proto-maml": About(("proto_maml",), "proto-maml", "proto-maml", {}),
    "prototypical": About(("protonet",), "protonet", "protonet", {"D2": ALL, "D5": "prototype"}),
    "matching": About(("matching",), "matching", "matching", {"R10": "NIL training"}),
    "siamese": About(("siamese",), "siamese", "siamese", {}),
    "relation": About((), "", "", {}),
    "multitask": About(
        ("multitask",),
        "multitask",
        "multitask",
        {"R10": "multiclass|multitask|random", "R16": "multitask|random", "R17": ALL, "N1": "joint", "F1": "joint"}
        | {"C1": "no inner loop"},
    ),
    "zeroing": About(
        ("maml_zeroing",),
        "fomaml-zeroing",
        "kao-zeroing-mini-5way-1shot",
        dict.fromkeys(("K2", "K3", "K4", "K5", "K9", "K10", "K11", "K12", "K13", "K14", "weights"), ALL)
        | {"K6": "zeroing", "D1": "zeroing", "O4": "[Zz]ero", "P1": "zeroing"},
    ),
    "contrastive": About(
        ("contrastive",),
        "contrastive",
        "contrastive",
        dict.fromkeys(("D1", "D2", "D3", "D4", "D5", "K1", "K7", "K8", "P1", "P2"), ALL),
    ),
}
"""Pages of docs/methods."""

NO_PAGE = ("T1", "T2", "T3", "K11-K14")
"""Claims on probes and data sets, about no single learner: planted tasks, and how hard test characters are."""


def read_claims(root: Path = ROOT) -> pd.DataFrame:
    """Read the committed claims, with ``figure``, the picture that shows each, from the root of the repository."""
    tables = []
    for folder in FIGURES:
        place = root / "figures" / folder
        table = pd.read_csv(place / "claims.csv", keep_default_na=False, na_values={"low": "", "high": ""}, dtype=TEXTS)
        shown = {
            (claim["id"], claim["claim"]): (place / f"{path.stem}.png").relative_to(root).as_posix()
            for path in sorted((place / "provenance").glob("*.json"))
            for claim in json.loads(path.read_text())["claims"]
        }
        tables.append(table.assign(figure=[shown[key] for key in zip(table["id"], table["claim"], strict=True)]))
    return pd.concat(tables, ignore_index=True)


TEXTS = dict.fromkeys(("id", "claim", "published", "published_source", "unit", "tasks"), str)


def claims_of(page: str, claims: pd.DataFrame) -> pd.DataFrame:
    """Select the claims that a page shows."""
    wanted = PAGES[page].claims
    at = [
        key in wanted and bool(re.search(wanted[key], words))
        for key, words in zip(claims["id"], claims["claim"], strict=True)
    ]
    return claims[at]


def ours_beside_published(page: str, claims: pd.DataFrame) -> str:
    """Lay out the claims of a page, a row each: first those on built-in data with a published number, others folded."""
    chosen = claims_of(page, claims)
    if not len(chosen):
        return "No committed claim is about this learner yet."
    first = (chosen["published"] != "") & ~chosen["figure"].str.contains("/omniglot/")
    shown, others = (chosen[first], chosen[~first]) if first.any() else (chosen, chosen[:0])
    if not len(others):
        return _rows(shown)
    summary = f"{len(others)} more: on Omniglot, or without a published number"
    return f"{_rows(shown)}\n\n<details>\n<summary>{summary}</summary>\n\n{_rows(others)}\n\n</details>"


def _rows(claims: pd.DataFrame) -> str:
    rows = [
        {
            "claim": f"[{row['id']}](../../{row['figure']}) {row['claim']}",
            "published": " ".join(filter(None, (row["published"], _source(row["published_source"])))),
            "ours": ours({str(name): value for name, value in row.items()}),
            "verdict": row["verdict"],
            "on": f"{row['dataset']}, {row['preset']}, seeds: {row['seeds']}"
            + (f", tasks: {float(row['tasks']):g}" if row["tasks"] else ""),
        }
        for row in claims.to_dict("records")
    ]
    return markdown(pd.DataFrame(rows)).strip()


def _source(text: str) -> str:
    """Shorten the name of the result files of Kao et al. 2022, and put the source in brackets."""
    short = text.replace("Kao et al. 2022, published_results.csv", "result files")
    return f"({short})" if short else ""


def settings_in(experiment: Experiment) -> dict[str, str]:
    """Say the settings of a training in words, by what they set."""
    data, net, method = experiment.data, experiment.net, experiment.method
    inner, outer = method.inner, method.outer
    size = f", {data.size} pixels" if data.size else ""
    rates = {"fixed": "", "layer_step": ", learned by tensor and step", "parameter": ", learned by weight"}[inner.rates]
    loop = inner.steps or inner.test_steps
    words = {
        "data": f"{data.dataset}{size}",
        "tasks": f"{experiment.way}-way {experiment.shot}-shot, {experiment.query} query items a class"
        + (f"; {experiment.train_shot} shots in training" if experiment.train_shot else "")
        + ("; labels by class" if experiment.labels == "class" else ""),
        "net": f"{net.blocks} blocks, {net.filters} filters, {net.order}, {net.down}",
        "what adapts": ", ".join(f"`{each}`" for each in inner.adapts) if loop and inner.adapts else "nothing",
        "inner rate": f"{inner.lr:g}{rates}" + (", Adam" if inner.optimizer == "adam" else "") if loop else "none",
        "inner steps": f"{inner.steps} in training, {inner.test_steps} at test",
        "outer loop": f"{outer.optimizer} {outer.lr:g}"
        + ("" if outer.schedule == "constant" else f", {outer.schedule} to {outer.final_lr:g}")
        + (f", clamped at {outer.clip:g}" if outer.clip else ""),
        "tasks an update": str(experiment.tasks),
        "updates": f"{experiment.updates:,}",
    }
    if inner.proximal:
        words["proximal weight, CG steps"] = f"{inner.proximal:g}, {outer.cg_steps}"
    if inner.batch:
        words["rows an inner step"] = str(inner.batch)
    return words


def settings_table(page: str, printed: pd.DataFrame) -> str:
    """Lay out the settings of a page: quick, as published in this package's words, and what the sources say."""
    about, rows = PAGES[page], []
    about_page = printed[printed["page"] == page]
    texts = {
        str(name): rest
        for name, *rest in zip(*(about_page[name] for name in ("setting", "printed", "source")), strict=True)
    }
    quick = settings_in(recipe(about.quick, "quick")) if about.quick else {}
    paper = settings_in(recipe(about.published, "paper")) if about.published else {}
    known = PUBLISHED.get(about.published)
    if known is not None:
        spread = f" ± {known.spread:g} ({known.over})" if known.spread is not None else ""
        texts.setdefault("accuracy", [f"{known.accuracy:g} %{spread}", known.source])
    for setting in [*dict.fromkeys([*quick, *paper]), *(name for name in texts if name not in {**quick, **paper})]:
        said, source = texts.get(setting, ["", ""])
        cells = {"setting": setting, "quick": quick.get(setting, ""), f"`{about.published}`": paper.get(setting, "")}
        rows.append(cells | {"in the paper": said, "source": source})
    return markdown(pd.DataFrame(rows)).strip()


def read_settings() -> pd.DataFrame:
    """Read what papers and their code say of settings."""
    return pd.read_csv(Path(__file__).parent / "method_settings.csv", keep_default_na=False)


def differences(method: Method) -> str:
    """Name the settings in which a method is not MAML."""
    usual = flatten(METHODS["maml"])
    fields = {name: value for name, value in flatten(method).items() if usual[name] != value and name != "name"}
    return ", ".join(f"`{name}` {_said(value)}" for name, value in fields.items()) or "it is MAML"


def _said(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"`{each}`" for each in value) or "nothing"
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def method_table() -> str:
    """Lay out a row a method: its page, where it comes from, and what is not as in MAML."""
    rows = []
    for page, about in PAGES.items():
        for name in about.methods:
            differs = differences(METHODS[name])
            row = {"method": f"[{name}]({page}.md)", "paper": SOURCES[name], "not as in MAML": differs}
            rows.append(row | {"train": f"`mamlprobe train {name.replace('_', '-')}`"})
    return markdown(pd.DataFrame(rows)).strip()


SOURCES = {
    "maml": "Finn et al. 2017",
    "fomaml": "Finn et al. 2017",
    "anil": "Raghu et al. 2020",
    "fo_anil": "Collins et al. 2022",
    "nil": "Raghu et al. 2020",
    "boil": "Oh et al. 2021",
    "mamlpp": "Antoniou et al. 2019",
    "meta_sgd": "Li et al. 2017",
    "reptile": "Nichol et al. 2018",
    "imaml": "Rajeswaran et al. 2019",
    "proto_maml": "Triantafillou et al. 2020",
    "protonet": "Snell et al. 2017",
    "matching": "Vinyals et al. 2016",
    "siamese": "Koch et al. 2015",
    "multitask": "Raghu et al. 2020",
    "maml_zeroing": "Kao et al. 2022",
    "contrastive": "Kao et al. 2022",
}
"""Where methods come from."""


def coverage_table() -> str:
    """Lay out the lowest and highest coverage in percent, by estimator and number of seeds."""
    table = pd.read_csv(ROOT / "benchmarks" / "coverage.csv")
    ends = table.groupby(["estimator", "seeds"])["coverage"].agg(["min", "max"]).mul(100).round().astype(int)
    seeds = sorted(table["seeds"].unique())
    rows = []
    for estimator in table["estimator"].unique():
        known = ends.loc[estimator]
        cells = {f"{n} seeds" if n > 1 else "1 seed": _span(known, n) for n in seeds}
        rows.append({"interval": estimator, **cells})
    return markdown(pd.DataFrame(rows)).strip()


def _span(ends: pd.DataFrame, seeds: int) -> str:
    return " to ".join(str(ends.loc[seeds, word]) for word in ("min", "max")) if seeds in ends.index else ""


def refreshed(text: str, claims: pd.DataFrame, printed: pd.DataFrame) -> str:
    """Return the page with what stands between its marks written anew."""

    def written(match: re.Match[str]) -> str:
        what, page = match["what"], match["page"]
        table = {
            "ours": lambda: ours_beside_published(page, claims),
            "settings": lambda: settings_table(page, printed),
            "methods": method_table,
            "coverage": coverage_table,
        }[what]()
        return f"{match['begin']}\n{table}\n<!-- /{what} -->"

    return MARKED.sub(written, text)


MARKED = re.compile(
    r"(?P<begin><!-- (?P<what>ours|settings|methods|coverage)(?:: (?P<page>[\w-]+))? -->)\n.*?<!-- /(?P=what) -->",
    re.DOTALL,
)


def pages() -> Iterator[tuple[Path, str]]:
    """Yield the pages that have such tables, each with the text that it should have."""
    claims, printed = read_claims(), read_settings()
    for path in (*sorted(FOLDER.glob("*.md")), UNCERTAINTY):
        yield path, refreshed(path.read_text(), claims, printed)


if __name__ == "__main__":
    for path, text in pages():
        if path.read_text() != text:
            path.write_text(text)
            print(path.relative_to(ROOT))
