"""Writes formulas as MathML, which browsers show without a script."""

import html
import re

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def with_formulas(text: str) -> str:
    """Replace the formulas of a page, which are LaTeX, by MathML."""

    def written(match: re.Match[str]) -> str:
        display = "inline" if match[1] == "span" else "block"
        return f'<{match[1]} class="formula">{convert(html.unescape(match[2]), display=display)}</{match[1]}>'

    return FORMULA.sub(written, text)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write the page's formulas."""
    return with_formulas(html)
