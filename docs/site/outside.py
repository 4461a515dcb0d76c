"""Brings files that lie beside docs/ into the site: the pages and pictures that a page of docs/ links.

A link out of docs/, as ``../figures/overview.png``, works where the text is read as a file. Here its target becomes a
file of the site, a program a page with its text, and the link points to it.
"""

import html
import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(!?\[[^\[\]]*\]\(|\]\()([^()\s]+)\)")
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks/index.md",
    "tests/README.md": "tests.md",
}
"""Pages outside docs/ -> their place in the site."""


def place_of(target: str, *, picture: bool, pages: set[str]) -> str:
    """Return where a file of the repository, named from its root, is in the site; empty if nowhere.

    A figure that is linked and not shown, and a script, is the page of the gallery that has both.
    """
    path = ROOT / target
    if target in PAGES:
        return PAGES[target]
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if path.is_dir():
        return "results/gallery/index.md" if "results/gallery/index.md" in pages else ""
    entry = f"results/gallery/{target.partition('/')[2].rpartition('.')[0]}.md"
    if entry in pages and not picture and path.suffix in (".png", ".py"):
        return entry
    if path.suffix == ".py":
        return f"source/{target}.md"
    return target if path.is_file() and path.suffix in (".png", ".csv", ".cff", "") else ""


def listing(target: str) -> str:
    """Return the page of a program that is linked: its text."""
    return f"# {target}\n\n```python\n{(ROOT / target).read_text().rstrip()}\n```\n"


def linked(text: str, place: str, pages: set[str]) -> tuple[str, set[str]]:
    """Point the links of a page at places in the site, and list the files outside docs/ among them.

    `place` is the page's, from the root of the repository (``docs/speed.md``).
    """
    home = home_of(place)
    files: set[str] = set()

    def moved(match: re.Match[str]) -> str:
        link, _, anchor = match[2].partition("#")
        target = Path(os.path.normpath(ROOT / Path(place).parent / link))
        if "://" in link or not link or not target.exists() or not target.is_relative_to(ROOT):
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        new = place_of(name, picture=match[1].startswith("!"), pages=pages)
        if not new:
            return match[0]
        if new in (name, f"source/{name}.md"):
            files.add(name)
        ending = f"#{anchor}" if anchor else ""
        return f"{match[1]}{os.path.relpath(new, os.path.dirname(home) or '.')}{ending})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.DOTALL | re.MULTILINE)  # code is left alone
    return "".join(part if number % 2 else LINK.sub(moved, part) for number, part in enumerate(parts)), files


def home_of(place: str) -> str:
    """Return the place in the site of a page of the repository."""
    return PAGES.get(place, place.removeprefix("docs/"))


def origin(file: File) -> str:
    """Return the path of a page's text from the root of the repository."""
    back = {new: old for old, new in PAGES.items() if old != "README.md"}
    return back.get(file.src_uri, f"docs/{file.src_uri}")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and every file outside docs/ that a page links."""
    for old, new in PAGES.items():
        if (ROOT / old).is_file() and new not in files.src_uris:
            files.append(File.generated(config, new, content=(ROOT / old).read_text()))
    pages = set(files.src_uris)
    for file in list(files.documentation_pages()):
        for name in sorted(linked(file.content_string, origin(file), pages)[1] - set(files.src_uris)):
            page = f"source/{name}.md"
            if not name.endswith(".py"):
                files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
            elif page not in files.src_uris:
                files.append(File.generated(config, page, content=listing(name)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the page's links at the site; read folded parts as text, which GitHub does by itself."""
    text, _ = linked(markdown, origin(page.file), set(files.src_uris))
    return with_bars(text).replace("<details>", '<details markdown="1">')


def with_bars(text: str) -> str:
    """Write the bars in code in tables, which GitHub wants escaped, as the site's Markdown takes them."""

    def bars(match: re.Match[str]) -> str:
        code = html.escape(match[1].replace("\\|", "|"), quote=False)
        return f"<code>{code.replace('|', '&#124;')}</code>"

    lines = text.splitlines(keepends=True)
    return "".join(re.sub(r"`([^`]*\\\|[^`]*)`", bars, line) if line.startswith("|") else line for line in lines)
