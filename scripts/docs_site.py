"""Hooks of the documentation site: files of the project outside ``docs/`` become part of the site.

Pages link to them relatively, as the repository needs it (``../../configs/offline.yaml``). ``PAGES`` become pages of
the site; every other file that a page links to is copied below ``project/``.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "CONTRIBUTING.md": "development/contributing.md",
    "CHANGELOG.md": "development/changes.md",
    "SECURITY.md": "development/security-policy.md",
    "benchmarks/README.md": "explanation/measurements.md",
    "benchmarks/results.md": "explanation/benchmarks.md",
    "examples/README.md": "how-to/other-languages.md",
    "models/README.md": "reference/models.md",
    "README.md": "index.md",  # links alone: the site has a start page of its own
}
"""{file of the project: its page in the site}."""
_LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files outside ``docs/``, and point all links to them."""
    texts = {f"docs/{page.src_uri}": (page.src_uri, page.content_string) for page in files.documentation_pages()}
    texts |= {path: (page, (ROOT / path).read_text("utf-8")) for path, page in PAGES.items() if path != "README.md"}
    copied: set[str] = set()
    for path, (page, text) in texts.items():
        linked = rewritten(text, path, page, copied)
        if path in PAGES:
            files.append(File.generated(config, page, content=linked))
        elif linked != text:
            files.remove(files.src_uris[page])
            files.append(File.generated(config, page, content=linked))
    for path in sorted(copied):
        files.append(File.generated(config, f"project/{path}", abs_src_path=str(ROOT / path)))
    return files


def rewritten(text: str, path: str, page: str, copied: set[str]) -> str:
    """Return a page with links as the site needs them; add to ``copied`` the files that it links to.

    Args:
        text: Markdown.
        path: The page's file in the project, such as ``docs/how-to/offline.md``.
        page: Its place in the site, such as ``how-to/offline.md``.
        copied: Files of the project, such as ``configs/offline.yaml``.
    """

    def target(link: re.Match[str]) -> str:
        file = posixpath.normpath(posixpath.join(posixpath.dirname(path), link[2]))
        inside = file.removeprefix("docs/") if file.startswith("docs/") else PAGES.get(file)
        if inside is None and not file.startswith("..") and (ROOT / file).is_file():
            copied.add(file)
            inside = f"project/{file}"
        return link[0] if inside is None else link[1] + posixpath.relpath(inside, posixpath.dirname(page) or ".")

    return _LINK.sub(target, text)
