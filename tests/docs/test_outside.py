"""Links out of docs/: where the site sends them, and what is left alone."""

import pytest

from tests.docs.test_tutorials import hook

outside = hook("outside")
PAGES = {
    "index.md", "changelog.md", "howto/data.md", "results/index.md", "results/gallery/index.md",
    "results/gallery/oh_boil.md", "results/gallery/omniglot/kao_omniglot.md", "benchmarks/index.md",
}  # fmt: skip


@pytest.mark.parametrize(
    ("place", "link", "moved", "files"),
    [
        (
            "docs/howto/data.md",
            "![a](../../figures/oh_boil.png)",
            "![a](../figures/oh_boil.png)",
            "figures/oh_boil.png",
        ),
        ("docs/howto/data.md", "[a](../../figures/oh_boil.png)", "[a](../results/gallery/oh_boil.md)", ""),
        ("docs/howto/data.md", "[a](../../analyses/oh_boil.py)", "[a](../results/gallery/oh_boil.md)", ""),
        (
            "docs/speed.md",
            "[a](../figures/omniglot/kao_omniglot.png)",
            "[a](results/gallery/omniglot/kao_omniglot.md)",
            "",
        ),
        ("docs/results/index.md", "[a](../../figures/omniglot)", "[a](gallery/index.md)", ""),
        ("docs/results/index.md", "[a](../../figures)", "[a](gallery/index.md)", ""),
        ("docs/results/index.md", "[a](../../CHANGELOG.md#x)", "[a](../changelog.md#x)", ""),
        ("CHANGELOG.md", "[a](docs/howto/data.md)", "[a](howto/data.md)", ""),
        ("benchmarks/README.md", "[a](../docs/howto/data.md)", "[a](../howto/data.md)", ""),
        ("benchmarks/README.md", "[a](results.csv)", "[a](results.csv)", "benchmarks/results.csv"),
        ("docs/speed.md", "[a](../README.md)", "[a](index.md)", ""),
        ("docs/speed.md", "[a](../mamlprobe/cli.py)", "[a](source/mamlprobe/cli.py.md)", "mamlprobe/cli.py"),
        (
            "docs/speed.md",
            "[![a](../figures/oh_boil.png)](x.md)",
            "[![a](figures/oh_boil.png)](x.md)",
            "figures/oh_boil.png",
        ),
    ],
)
def test_a_link_leads_to_the_same_thing_in_the_site(place: str, link: str, moved: str, files: str) -> None:
    assert outside.linked(link, place, PAGES) == (moved, {files} - {""})


@pytest.mark.parametrize(
    "text",
    [
        "[a](https://example.org/figures/oh_boil.png)",
        "[a](no_such_page.md)",
        "[a](../../../etc/passwd)",
        "[a](#here)",
        "```python\nx[0](../figures/oh_boil.png)\n```",
    ],
)
def test_others_are_left_for_the_build_to_judge(text: str) -> None:
    assert outside.linked(text, "docs/speed.md", PAGES) == (text, set())


def test_a_formula_becomes_mathml_and_code_stays() -> None:
    formulas = hook("formulas")
    inline = '<p>so <span class="arithmatex">\\(a &lt; b_1\\)</span></p>'
    made = formulas.with_formulas(inline)
    assert 'display="inline"' in made
    assert "<msub>" in made
    assert "&lt;" in made or "&#x0003C;" in made
    assert 'display="block"' in formulas.with_formulas('<div class="arithmatex">\\[x\\]</div>')
    assert formulas.with_formulas("<code>$x$</code>") == "<code>$x$</code>"


def test_bars_in_the_code_of_a_table_are_bars() -> None:
    row = "| `a\\|b <c>` | x \\| `y` |\n"
    assert outside.with_bars(row) == "| <code>a&#124;b &lt;c&gt;</code> | x \\| `y` |\n"
    assert outside.with_bars("text `a\\|b`\n") == "text `a\\|b`\n"
