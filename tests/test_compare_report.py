"""The page of a comparison as a file: its content, and escaping. In a browser: test_compare_browser."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest

from lstm_ae.compare import load, report, series
from lstm_ae.compare.ranking import rank
from lstm_ae.run_dir import RunDir
from tests.run_dirs import write_run

PAYLOAD = '</script><script>document.title="ran"</script><img src=x onerror=alert(1)>&\u2028'
PNG = report.PNG + b"not much of a picture"


class Page(HTMLParser):
    """The elements of a page, the JSON in it and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.content, self._at = [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._at = dict(attrs).get("id", f"script{len(self.elements)}") if tag == "script" else None

    def handle_endtag(self, tag):
        self._at = None

    def handle_data(self, data):
        if self._at:
            self.content[self._at] = self.content.get(self._at, "") + data

    def data(self, name="data"):
        return json.loads(self.content[name])


def written(frame, folder, problems=(), metric="validation.loss"):
    path = report.write(rank(frame, metric), folder, problems)
    text = path.read_text()
    return text, Page(text)


def test_all_runs_are_listed_in_order_of_rank(frame, tmp_path):
    write_run(tmp_path / "8", 0.001, state="failed", error="why")
    _, page = written(load(tmp_path), tmp_path / "out")
    runs = page.data()["runs"]
    assert [run["name"] for run in runs] == ["4", "5", "6", "7", "0", "1", "8", "2", "3"]
    assert [run["state"] for run in runs[-3:]] == ["failed", "diverged", "diverged"]
    assert [run["score"] for run in runs[-3:]] == [None, None, None]
    assert runs[-3]["error"] == "why"
    assert page.data()["groups"][2]["rank"] == 3  # the failed run was run again
    assert len(runs[0]["curve"]) == 3


def test_a_higher_accuracy_is_better(frame, tmp_path):
    _, page = written(frame, tmp_path / "out", metric="validation.accuracy")
    assert page.data()["higher"]
    assert page.data()["runs"][0]["score"] == pytest.approx(0.99)


def test_the_summary_names_the_best_and_counts_the_states(frame, tmp_path):
    text, _ = written(frame, tmp_path / "out", ["a/metrics.json: not JSON"])
    assert "First in the ranking: lr 0.01, hidden_size 8, with a validation.loss of 0.015 (standard deviation" in text
    assert "8 runs, 6 finished, 2 diverged. They differ in lr, hidden_size." in text
    assert "<li>a/metrics.json: not JSON</li>" in text


def test_the_page_has_the_findings_on_each_setting(tmp_path):
    for number, (lr, seed) in enumerate((lr, seed) for lr in (0.1, 0.2) for seed in (0, 1, 2)):
        write_run(tmp_path / str(number), lr + seed / 100 + number % 2 / 1000, lr=lr, seed=seed)
    text, _ = written(load(tmp_path), tmp_path / "out")
    assert '<h2 id="findings-heading">Findings</h2><p>ours: 6 runs in 3 seeds. ' in text
    assert "the chance of a false <code>worse</code> anywhere in the table" in text


def test_a_page_without_scores(tmp_path):
    write_run(tmp_path / "0", 0.1, state="running")
    text, page = written(load(tmp_path), tmp_path / "out")
    assert "1 run, all running. None of them has a validation.loss." in text
    assert page.data()["runs"][0]["score"] is None


def test_names_values_and_errors_are_escaped(tmp_path):
    name = PAYLOAD.replace("/", "")
    write_run(tmp_path / name, 0.1, lr=PAYLOAD, state="failed", error=PAYLOAD, **{PAYLOAD: PAYLOAD})
    write_run(tmp_path / "b", 0.2)
    _, page = written(load(tmp_path), tmp_path / "out", [PAYLOAD])
    assert "img" not in [tag for tag, _ in page.elements]
    assert [tag for tag, _ in page.elements].count("script") == 5
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "\u2028" not in page.content["data"]
    failed = page.data()["runs"][-1]
    assert failed["error"] == failed["values"]["optimizer.lr"] == PAYLOAD


def page_scripts(page):
    return [int(name.removeprefix("script")) for name in page.content if name.startswith("script")]


def test_the_policy_names_the_two_scripts_and_forbids_every_request(frame, tmp_path):
    _, page = written(frame, tmp_path / "out")
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    scripts = [page.content[f"script{number}"] for number in sorted(page_scripts(page))]
    assert allowed == [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")


def test_placeholders_in_the_data_are_not_replaced(tmp_path):
    write_run(tmp_path / "{{plotly}}", 0.1)
    text, _ = written(load(tmp_path), tmp_path / "out", ["{{scripts}}"])
    assert "<li>{{scripts}}</li>" in text


def test_infinite_numbers_and_invalid_unicode_are_written(tmp_path):
    write_run(tmp_path / "a", 0.1, hidden=8, limit=float("inf"))
    (tmp_path / "a" / "config.json").write_text('{"limit": Infinity, "other": NaN, "name": "\\udc80"}')
    write_run(tmp_path / "b", 0.2)
    _, page = written(load(tmp_path), tmp_path / "out", ["\udc80"])
    assert page.data()["runs"][0]["values"]["limit"] is None


def test_figures_of_the_best_runs_are_in_the_page_up_to_the_size_limit(frame, tmp_path, monkeypatch):
    for run in frame["run"]:
        run = report.Path(run)
        (run / "figures").mkdir()
        (run / "figures" / "loss.png").write_bytes(PNG)
    monkeypatch.setattr(report, "FIGURE_BYTES", 3 * len(PNG) + 1)
    _, page = written(frame, tmp_path / "out")
    assert list(page.data("pictures")) == ["4", "6", "0"]  # the best of each row first
    assert base64.b64decode(page.data("pictures")["4"][0]["data"]) == PNG
    assert page.data()["picturesLeftOut"] == 5


def test_links_and_files_that_are_not_png_are_ignored(frame, tmp_path):
    folder = report.Path(frame["run"][0]) / "figures"
    folder.mkdir()
    (folder / "secret.png").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(PNG)
    (folder / "page.png").write_text("<html>")
    (folder / "folder.png").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(PNG)
    (report.Path(frame["run"][1]) / "figures").symlink_to(tmp_path / "outside")
    _, page = written(frame, tmp_path / "out")
    assert page.data("pictures") == {}


def test_the_tables_of_a_run_are_in_the_page_those_with_the_highest_scores_first(frame, tmp_path, monkeypatch):
    run = RunDir(frame["run"][0])
    run.write_bytes("figures/loss.png", PNG)
    run.write_table("alarms", {"start": [10, 20, 30], "score": [2.5, 11.5, 9.5], "features": ["=a", "b", "c"]})
    (run.path / "secret.csv").symlink_to(tmp_path / "secret.csv")
    (tmp_path / "secret.csv").write_text("password\ns3cret\n")
    monkeypatch.setattr(report, "TABLE_ROWS", 2)
    text, page = written(frame, tmp_path / "out")
    rows = [["20", "11.5", "b"], ["30", "9.5", "c"]]
    columns = ["start", "score", "features"]
    assert page.data("tables") == {"0": [{"name": "alarms.csv", "count": 3, "columns": columns, "rows": rows}]}
    assert "s3cret" not in text
    assert "secret.csv is a link" in text


def test_an_environment_that_is_a_link_is_not_embedded(frame, tmp_path):
    (tmp_path / "secret.json").write_text('{"password": "s3cret"}')
    (report.Path(frame["run"][0]) / "environment.json").symlink_to(tmp_path / "secret.json")
    text, page = written(frame, tmp_path / "out")
    assert "password" not in text
    assert "s3cret" not in text
    assert "environment.json is a link" in str(page.elements) + text


def test_effects_have_their_position_on_the_axis(frame, tmp_path):
    _, page = written(frame, tmp_path / "out")
    assert [(row["setting"], row["place"]) for row in page.data()["effects"]] == [
        ("model.hidden_size", 0), ("model.hidden_size", 1), ("optimizer.lr", 0), ("optimizer.lr", 1),
    ]  # fmt: skip
    assert page.data()["levels"] == {"optimizer.lr": ["0.01", "0.1"], "model.hidden_size": ["8", "16"]}


def test_the_page_has_every_colour_in_light_and_dark():
    style = (resources.files("lstm_ae.compare") / "page" / "page.css").read_text()
    numbers = [int(number) for number in re.findall(r"--group-(\d): #\w{6}", style)]
    assert numbers == 2 * list(range(series.MAX_COLOURS))


def test_a_page_is_replaced_atomically(frame, tmp_path):
    first = report.write(rank(frame, "validation.loss"), tmp_path / "out")
    again = report.write(rank(frame, "validation.loss"), tmp_path / "out")
    assert first == again
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.html"]


def test_the_page_and_its_runs_have_the_ranking_with_its_notes_and_an_incomplete_combination_is_not_best(tmp_path):
    for number, (lr, seed) in enumerate((lr, seed) for lr in (0.1, 0.2, 0.3) for seed in range(3)):
        failed = (lr, seed) == (0.1, 2)
        write_run(
            tmp_path / str(number), lr + seed**2 * lr / 100, lr=lr, seed=seed, state="failed" if failed else "finished"
        )
    text, page = written(load(tmp_path), tmp_path / "out")
    cells = re.findall(r"<td>([^<]*)</td>", text.split('id="ranking"')[1].split("</table>")[0])
    assert [cells[0], *(word for word in cells if word in ("best", "worse", "incomplete"))] == [
        "0.2", "best", "worse", "incomplete",
    ]  # fmt: skip
    assert "is found with a probability of at least 0.8" in text
    assert [(group["rank"], group["verdict"]) for group in page.data()["groups"]] == [
        (1, "best"), (2, "worse"), (None, "incomplete"),
    ]  # fmt: skip
    assert [run["shown"]["optimizer.lr"] for run in page.data()["runs"]] == ["0.2"] * 3 + ["0.3"] * 3 + ["0.1"] * 3
