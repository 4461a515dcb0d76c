"""Offers every tutorial as a notebook beside its page."""

import json

import jupytext
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FOLDER = "tutorials/"


def is_tutorial(place: str) -> bool:
    """Tell whether a page is a tutorial."""
    return place.startswith(FOLDER) and place.endswith(".md") and not place.endswith("/index.md")


def notebook(text: str) -> str:
    """Return a page as a notebook: its Python as cells, the rest as text; the same bytes each time."""
    made = json.loads(jupytext.writes(jupytext.reads(text, fmt="md"), fmt="ipynb"))
    for number, cell in enumerate(made["cells"]):
        cell["id"] = f"cell-{number}"
    made["metadata"] = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return json.dumps(made, indent=1) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the notebooks."""
    for file in list(files.documentation_pages()):
        if is_tutorial(file.src_uri):
            name = file.src_uri.removesuffix(".md") + ".ipynb"
            files.append(File.generated(config, name, content=notebook(file.content_string)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link the notebook below the title of a tutorial."""
    if not is_tutorial(page.file.src_uri):
        return markdown
    name = page.file.src_uri.removeprefix(FOLDER).removesuffix(".md") + ".ipynb"
    title, _, rest = markdown.partition("\n")
    return f"{title}\n\n[Download as a notebook]({name}){{ download }}\n{rest}"
