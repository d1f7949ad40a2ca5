"""An HTML page that compares many runs. It opens from disk and needs no network.

Run directories are untrusted data. They enter the page as escaped JSON, from which the page's own scripts build text,
never markup. In addition, a content security policy blocks all other scripts and every request.
"""

import base64
import hashlib
import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from plotly.offline import get_plotlyjs

from lstm_ae.compare.output import strict
from lstm_ae.compare.ranking import Ranking
from lstm_ae.compare.reading import read_environment
from lstm_ae.compare.series import page_data
from lstm_ae.compare.table import short_names, text
from lstm_ae.files import DamagedError
from lstm_ae.run_dir import HISTORY, RunDir

SCRIPTS = ("start.js", "table.js", "plots.js", "settings.js", "runs.js")
FIGURE_BYTES = 6_000_000  # limit on the figures of all runs together; base64 adds a third
PNG = b"\x89PNG\r\n\x1a\n"
MAX_ROWS = 30  # of the ranking; the table of runs has all
TABLE_ROWS = 20  # of a run's own table


def write(ranking: Ranking, folder: Path, problems: Sequence[str] = ()) -> Path:
    """Writes report.html.

    Args:
        ranking: The runs, ranked.
        folder: Output folder, created if missing.
        problems: A line for each thing that could not be read.

    Returns:
        The path of the file.
    """
    problems = list(problems)
    data, findings = page_data(ranking, problems)
    data |= {"environments": _environments(ranking, problems)}
    pictures, left_out = _pictures(ranking)
    tables = {row: _tables(RunDir(str(ranking.frame["run"][int(row)])), problems) for row in pictures}
    scripts = [get_plotlyjs(), "\n".join(_file(name) for name in SCRIPTS)]
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    parts = {
        "policy": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "title": html.escape(f"Comparison of {_runs(len(ranking.frame))} by {ranking.metric}"),
        "sources": html.escape(_sources(ranking.frame)),
        "summary": html.escape(summary(ranking, data)),
        "problems": _listed(list(dict.fromkeys(problems))),
        "ranking": _table(ranking),
        "notes": "".join(f'<p class="quiet">{_marked(note)}</p>' for note in _notes(ranking)),
        "findings": _findings(findings),
        "style": _file("page.css"),
        "data": embedded(data | {"picturesLeftOut": left_out}),
        "pictures": embedded(pictures),
        "tables": embedded(tables),
        "plotly": scripts[0],
        "scripts": scripts[1],
    }
    # One pass over the template, so that placeholders within the inserted text are not replaced.
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _file("page.html"))
    # A directory's name may be invalid UTF-8.
    RunDir(folder).write_bytes("report.html", page.encode("utf-8", errors="replace"))
    return folder / "report.html"


def embedded(value: Any) -> str:
    r"""Returns JSON that cannot end the script element around it.

    Example:
        >>> embedded({"name": "</script>"})
        '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)  # ASCII: U+2028 and U+2029 are escaped
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def summary(ranking: Ranking, data: Mapping[str, Any]) -> str:
    """Returns the main result in a few sentences."""
    counts = ranking.frame["state"].fillna("without a state").value_counts()
    counts = counts.rename({"reached": "compared at the same epoch"})
    states = [f"{count} {state}" for state, count in counts.items()]
    overview = f"{_runs(len(ranking.frame))}, {', '.join(states) if len(states) > 1 else f'all {counts.index[0]}'}."
    differ = ", ".join(data["names"][key] for key in data["keys"][:8])
    overview += f" They differ in {differ}{' and more' if len(data['keys']) > 8 else ''}." if differ else ""
    if not ranking.complete:
        missing = (
            "No combination is complete." if ranking.scores.notna().any() else f"None of them has a {ranking.metric}."
        )
        return f"{overview} {missing}"
    best = ranking.table.iloc[0]
    spread = f" (standard deviation {text(best['std'])}, n = {best['n']})" if best["std"] == best["std"] else ""
    mean = f"{data['groups'][0]['label']}, with a {ranking.metric} of {text(best[ranking.metric])}{spread}"
    return f"First in the ranking: {mean}. {overview}"


def _table(ranking: Ranking) -> str:
    """Returns the first rows of the ranking as markup."""
    names = [name for name in ranking.columns if name != "run"]
    cells = {name: [text(value, name) for value in ranking.table[name].head(MAX_ROWS)] for name in names}
    shown = pd.DataFrame(cells).rename(columns=short_names(names))
    return str(shown.to_html(index=False, border=0, table_id="ranking"))


def _marked(line: str) -> str:
    """Returns a line as HTML, with what stands in backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(line))


def _notes(ranking: Ranking) -> list[str]:
    more = len(ranking.table) - MAX_ROWS
    return [*([f"... and {more} more rows; the table below has every run."] if more > 0 else []), *ranking.notes]


def _runs(count: int) -> str:
    return f"{count} run{'s' * (count != 1)}"


def _sources(frame: pd.DataFrame) -> str:
    """Returns the location of the runs: their common folder, if there is one."""
    try:
        common = os.path.commonpath([str(Path(run).parent) for run in frame["run"]])
    except ValueError:  # a mix of absolute and relative paths
        common = ""
    return frame["run"].iloc[0] if len(frame) == 1 else f"Runs in {common}" if common else ""


def _listed(problems: Sequence[str]) -> str:
    if not problems:
        return ""
    items = "".join(f"<li>{html.escape(problem)}</li>" for problem in problems)
    text = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return f'<details class="problems" open><summary>{text} while reading</summary><ul>{items}</ul></details>'


def _findings(lines: Sequence[str]) -> str:
    """Returns the result of `conclusions` as markup: its headings, each followed by a list of its indented lines."""
    if not any(line.startswith(" ") for line in lines):
        return ""
    items = "".join(
        f"<li>{_marked(line.strip())}</li>" if line.startswith(" ") else f"</ul><p>{_marked(line)}</p><ul>"
        for line in lines
    )
    body = f"{items.removeprefix('</ul>')}</ul>"
    return f'<section aria-labelledby="findings-heading"><h2 id="findings-heading">Findings</h2>{body}</section>'


def _file(name: str) -> str:
    return (resources.files("lstm_ae.compare") / "page" / name).read_text(encoding="utf-8")


def _environments(ranking: Ranking, problems: list[str]) -> dict[int, dict[str, Any]]:
    """Returns the parts of each run's environment that differ between runs: versions, commit, machine."""
    known = [read_environment(str(run), problems) for run in ranking.frame["run"]]
    keys = list(dict.fromkeys(key for environment in known for key in environment))
    differ = [key for key in keys if len({str(environment.get(key)) for environment in known}) > 1]
    return {row: {key: strict(each.get(key)) for key in differ} for row, each in enumerate(known)}


def _pictures(ranking: Ranking) -> tuple[dict[str, list[dict[str, str]]], int]:
    """Returns the figures of runs up to the size limit, and how many runs' figures were left out.

    First come the best runs of all rows of the ranking, such as one for each series of a sweep over series.
    """
    pictures: dict[str, list[dict[str, str]]] = {}
    room, left_out = FIGURE_BYTES, 0
    labels = pd.Series(ranking.labels[ranking.order])
    for row in np.asarray(ranking.order)[np.argsort(labels.groupby(labels).cumcount().to_numpy(), kind="stable")]:
        folder = Path(str(ranking.frame["run"][row])) / "figures"
        drawn = [] if folder.is_symlink() else sorted(folder.glob("*.png"))
        paths = [path for path in drawn if path.is_file() and not path.is_symlink()]
        size = sum(path.stat().st_size for path in paths)
        if size > room:
            left_out += 1
            continue
        contents: Mapping[str, bytes] = {path.stem: path.read_bytes() for path in paths}
        room -= size
        found = [
            {"name": name, "data": base64.b64encode(content).decode()}
            for name, content in contents.items()
            if content.startswith(PNG)
        ]
        if found:
            pictures[str(row)] = found
    return pictures, left_out


def _tables(run: RunDir, problems: list[str]) -> list[dict[str, Any]]:
    """Returns the tables of a run, such as its alarms: the first rows; with a score, those with the highest."""
    found = []
    for path in sorted(run.path.glob("*.csv")):
        if path.name == HISTORY:
            continue
        try:
            table = pd.DataFrame(run.read_table(path.stem))
        except DamagedError as error:
            problems.append(str(error))
            continue
        if "score" in table:
            order = pd.to_numeric(table["score"], errors="coerce").argsort(kind="stable")[::-1]
            table = table.iloc[order]
        rows = table.head(TABLE_ROWS).values.tolist()
        found.append({"name": path.name, "count": len(table), "columns": list(table.columns), "rows": rows})
    return found
