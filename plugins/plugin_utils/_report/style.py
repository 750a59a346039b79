# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a report looks: colours for light and dark, screens of any width, and paper. Pure. PRIVATE to the collection."""

from __future__ import annotations

import base64
import hashlib

# Texts have a contrast of at least 4.5 to what they stand on, and shapes of at least 3; a test computes both.
LIGHT = {
    "paper": "#ffffff",
    "panel": "#f3f4f6",
    "ink": "#1b1f24",
    "quiet": "#545c66",
    "line": "#878e98",
    "link": "#0a53a8",
    "good": "#116329",
    "bad": "#b3141f",
    "back": "#8a4600",
    "none": "#545c66",
    "phase-a": "#2f6fb3",
    "phase-b": "#7a5195",
    "phase-c": "#0b7a75",
    "phase-d": "#3f7d2a",
    "phase-e": "#6b7280",
}
DARK = {
    "paper": "#14171b",
    "panel": "#20252b",
    "ink": "#e8eaed",
    "quiet": "#aeb6c0",
    "line": "#7d8793",
    "link": "#8ab8f5",
    "good": "#6fcf87",
    "bad": "#ff8a84",
    "back": "#f0b060",
    "none": "#aeb6c0",
    "phase-a": "#6aa5e3",
    "phase-b": "#bd9bd6",
    "phase-c": "#4fc0b5",
    "phase-d": "#86c46f",
    "phase-e": "#9aa3ad",
}
TEXTS = ("ink", "quiet", "link", "good", "bad", "back", "none")
SHAPES = ("line", "good", "bad", "back", "none", "phase-a", "phase-b", "phase-c", "phase-d", "phase-e")

_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0 auto;max-width:76rem;padding:1rem;background:var(--paper);color:var(--ink);
 font:1rem/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.25rem;margin:2rem 0 .5rem;border-bottom:2px solid var(--line);padding-bottom:.25rem}
h3{font-size:1.05rem;margin:1.5rem 0 .5rem}
h4{font-size:1rem;margin:1rem 0 .25rem}
p{margin:.5rem 0;max-width:48rem}
a{color:var(--link)}
a:focus-visible,summary:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.outcome{font-size:1.15rem;font-weight:600;max-width:none}
.quiet,footer{color:var(--quiet);font-size:.875rem}
.good{color:var(--good)}.bad{color:var(--bad)}.back{color:var(--back)}.none{color:var(--none)}
.verdict{font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.125rem 1rem;margin:1rem 0}
dt{color:var(--quiet)}dd{margin:0}
td,dd,pre,code,.said{unicode-bidi:isolate}
code,pre,.id{font-family:ui-monospace,SFMono-Regular,Menlo,"DejaVu Sans Mono",monospace;font-size:.875em}
pre{background:var(--panel);padding:.5rem .75rem;margin:.5rem 0;white-space:pre-wrap}
table{border-collapse:collapse;width:100%;margin:.5rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--quiet);font-size:.875rem;padding:.25rem 0}
th,td{text-align:left;vertical-align:top;padding:.3rem .75rem .3rem 0;border-bottom:1px solid var(--line)}
th{font-weight:600}
table:not(.cards) tbody>tr>*{white-space:nowrap}
thead th{color:var(--quiet);font-size:.875rem;overflow-wrap:normal}
td,tbody th{overflow-wrap:break-word}
.failure{border-left:4px solid var(--bad);background:var(--panel);padding:.5rem 1rem;margin:.75rem 0}
details{border-bottom:1px solid var(--line)}
figure{margin:.5rem 0}
summary{cursor:pointer;padding:.5rem 0}
details details{border:0}
.chart{margin:.75rem 0}
.chart>svg{display:block;width:100%;background:var(--panel)}
.axis{display:flex;justify-content:space-between;gap:1rem;color:var(--quiet);font-size:.8125rem}
.key{display:flex;flex-wrap:wrap;gap:.125rem 1.25rem;color:var(--quiet);font-size:.8125rem}
.swatch{width:.8em;height:.8em;margin-right:.4em;vertical-align:baseline}
svg .paper{stroke:var(--paper);stroke-width:2;vector-effect:non-scaling-stroke}
svg .curve{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}
svg .dashed{stroke-dasharray:6 4}
svg .fill-good{fill:var(--good)}svg .fill-bad{fill:var(--bad)}svg .fill-back{fill:var(--back)}
svg .fill-none{fill:var(--none)}svg .fill-line{fill:var(--line)}
svg .fill-a{fill:var(--phase-a)}svg .fill-b{fill:var(--phase-b)}svg .fill-c{fill:var(--phase-c)}
svg .fill-d{fill:var(--phase-d)}svg .fill-e{fill:var(--phase-e)}
svg .stroke-a{stroke:var(--phase-a)}svg .stroke-b{stroke:var(--phase-b)}
svg .stroke-bad{stroke:var(--bad)}svg .stroke-line{stroke:var(--line)}
@media screen and (max-width:60rem){
 body{padding:.75rem}
 .cards,.cards tbody,.cards tr,.cards td,.cards th,.cards caption{display:block}
 .cards thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
 .cards tr{border-bottom:2px solid var(--line);padding:.375rem 0}
 .cards th,.cards td{border:0;padding:.0625rem 0;overflow-wrap:anywhere}
 .cards td::before{content:attr(data-label) ": ";color:var(--quiet)}
}
@media print{
 body{max-width:none;padding:0;font-size:10pt}
 details::details-content{content-visibility:visible;display:block;height:auto}
 summary{list-style:none}
 details details{display:none}
 .cards{font-size:8.5pt}
 .cards th,.cards td{padding-right:.375rem}
 h2,h3,h4,summary,caption{break-after:avoid}
 tr,.chart,.failure{break-inside:avoid}
 thead{display:table-header-group}
 a{color:inherit;text-decoration:none}
 svg,.failure,pre{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
"""


def _variables(colours: dict[str, str]) -> str:
    return ":root{" + "".join(f"--{name}:{value};" for name, value in colours.items()) + "}"


STYLE = (
    f"{_variables(LIGHT)}\n@media screen and (prefers-color-scheme:dark){{{_variables(DARK)}}}{_RULES}"
    ":root{color-scheme:light dark}@media print{:root{color-scheme:light}}\n"
)


def policy() -> str:
    """What a browser may do for this page: apply this one style, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
