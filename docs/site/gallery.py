"""Writes the gallery: a page a figure, from the committed figures, their records and the scripts that drew them."""

import sys
from pathlib import Path
from typing import Any

import pandas as pd
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from mamlprobe.draw.table_text import markdown
from mamlprobe.reproduce.papers import PAPERS, papers_in
from mamlprobe.reproduce.readme import ours
from mamlprobe.reproduce.records import read_record
from mamlprobe.reproduce.scripts import Script, scripts_of

ROOT = Path(__file__).parents[2]
FOLDERS = {"": "Built-in data", "omniglot": "Omniglot"}
"""Folders of figures/ -> whose data their figures are of."""
HOME = "results/gallery"
PROVENANCE = ("dataset", "preset", "command", "seconds", "trained", "mamlprobe", "commit", "python", "torch", "device")
"""Facts of a record that a page shows."""


def every_script() -> dict[str, Script]:
    """Return the scripts by name, in the order that they give themselves."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))  # the scripts are beside the package and not in it
    return {script.name: script for script in scripts_of("analyses", ROOT / "analyses")}


def figures(folder: str, scripts: dict[str, Script]) -> list[Script]:
    """List the scripts that have a figure in a folder of figures/."""
    return [each for name, each in scripts.items() if (ROOT / "figures" / folder / f"{name}.png").is_file()]


def entry(script: Script, folder: str) -> str:
    """Return the page of one figure: picture, text, claims, where its numbers come from, and the script."""
    name, up = script.name, "../" * (3 if folder else 2)
    place = f"{up}../figures/{folder + '/' if folder else ''}{name}"
    record = read_record(ROOT / "figures" / folder / "provenance" / f"{name}.json")
    facts = record["provenance"]
    title = script.analysis.title + (f" ({FOLDERS[folder]})" if folder else "")
    addresses = [f"[{PAPERS[paper].title}]({PAPERS[paper].address})" for paper in papers_in(script.analysis.paper)]
    parts = [
        f"# {title}",
        f"*{script.analysis.paper}*" + (f": {', '.join(addresses)}" if addresses else ""),
        f"![{script.alt}]({place}.png)",
        script.about,
        f"Draw it: `mamlprobe reproduce {name} --out figures`. All numbers: [{name}.csv]({place}.csv).",
    ]
    if record["claims"]:
        parts += ["## Claims", markdown(pd.DataFrame(_claims(record["claims"])))]
    rows = [{"": word, " ": str(facts[word])} for word in PROVENANCE if word in facts]
    parts += ["## Where the numbers come from", markdown(pd.DataFrame(rows))]
    parts += ["## Script", f'```python title="analyses/{name}.py"\n{script.text.rstrip()}\n```']
    return "\n\n".join(parts) + "\n"


def _claims(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Lay out claims as rows of text."""
    return [
        {
            "verdict": row["verdict"],
            "claim": f"{row['id']}: {row['claim']}",
            "published": f"{row['published']}" + (f" ({row['published_source']})" if row["published_source"] else ""),
            "ours": ours(row),
            "seeds, tasks": f"{row['seeds']}, {row['tasks']}",
        }
        for row in rows
    ]


def overview(scripts: dict[str, Script]) -> str:
    """Return the page of all figures, small, by paper."""
    parts = ["# Gallery", "Every figure with its claims, its table and the script that draws it."]
    for folder, data in FOLDERS.items():
        parts.append(f"## {data}")
        cards = []
        for script in figures(folder, scripts):
            inner = f"{folder}/{script.name}" if folder else script.name
            picture = f"../../../figures/{inner}.png"
            cards.append(
                f"-   [![{script.analysis.title}]({picture})]({inner}.md)\n\n"
                f"    **[{script.analysis.title}]({inner}.md)**\n    {script.analysis.paper}"
            )
        parts.append('<div class="gallery" markdown>\n\n' + "\n\n".join(cards) + "\n\n</div>")
    return "\n\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """Return the text of every page of the gallery, by its place in the site."""
    scripts = every_script()
    made = {f"{HOME}/index.md": overview(scripts)}
    for folder in FOLDERS:
        for script in figures(folder, scripts):
            inner = f"{folder}/{script.name}" if folder else script.name
            made[f"{HOME}/{inner}.md"] = entry(script, folder)
    return made


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the gallery."""
    for place, text in pages().items():
        files.append(File.generated(config, place, content=text))
    return files
