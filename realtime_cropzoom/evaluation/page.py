"""The page of a report: its style, and texts that are escaped. One file without scripts, which prints on A4.

A keypoint may be called ``<nose>``, and a recording anything: every text of a user goes through ``escaped``.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

from realtime_cropzoom.files.paths import as_text

_STYLE = """
body{font:15px/1.45 system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:#222;background:#fff;
max-width:820px;margin:24px auto;padding:0 16px;overflow-wrap:break-word}
h1{font-size:24px;margin:0 0 2px}h2{font-size:18px;margin:28px 0 6px;break-after:avoid}
p{margin:6px 0}.small{color:#555;font-size:.87em}section{break-inside:avoid}
.verdict{border-left:8px solid var(--c);background:#f6f6f6;padding:10px 14px;margin:14px 0;break-inside:avoid}
.verdict b{color:var(--c);font-size:20px}
.numbers{display:grid;grid-template-columns:repeat(5,1fr);gap:8px;break-inside:avoid}
.numbers div{min-width:0;border:1px solid #ddd;border-radius:6px;padding:8px 10px}
.numbers b{display:block;font-size:20px}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:right;padding:3px 8px;border-bottom:1px solid #e4e4e4}
th:first-child,td:first-child{text-align:left;overflow-wrap:anywhere;min-width:6em}tr,figure,svg{break-inside:avoid}
svg{width:100%;max-width:640px;display:block;font-family:inherit}
code{background:#f1f1f1;padding:1px 4px;overflow-wrap:anywhere}
.worst{display:grid;grid-template-columns:repeat(4,1fr);gap:8px}
figure{margin:0}figure img{width:100%;display:block}figcaption{font-size:12px;color:#444;overflow-wrap:anywhere}
.key{display:inline-block;max-width:100%;overflow-wrap:anywhere}
.dot{display:inline-block;width:11px;height:11px;border-radius:50%;margin:0 4px 0 10px}
li{margin:3px 0}
@page{size:A4;margin:14mm}
@media print{body{margin:0;max-width:none;padding:0;font-size:12px}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
@media(max-width:640px){.numbers,.worst{grid-template-columns:repeat(2,1fr)}
table{font-size:12px}th,td{padding:3px}svg{font-size:15px}}
"""


def whole_page(title: str, parts: Iterable[str]) -> str:
    """Return a page of HTML.

    Args:
        title: Its title, as text.
        parts: Its content, as HTML.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def escaped(text: object) -> str:
    """Return a text for HTML and SVG."""
    return html.escape(as_text(str(text)))


def sentences(lines: Iterable[str]) -> str:
    """Return each line as a small paragraph."""
    return "".join(f"<p class=small>{escaped(sentence(line))}</p>" for line in lines)


def sentence(line: str) -> str:
    """Return a line with a capital letter and a full stop."""
    return f"{line[0].upper()}{line[1:].rstrip('.')}."
