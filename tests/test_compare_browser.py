"""The page of a comparison in a real browser: clicks, typing, display, and no network requests."""

import shutil

import pytest

from lstm_ae.compare import load, report, selection
from lstm_ae.compare.ranking import rank
from lstm_ae.run_dir import RunDir
from tests.run_dirs import write_run

PNG = (
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c6360f8cf50000003860183a8a1b7d80000000049454e44ae426082"
)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed (Debian package `chromium`)")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser):
    """A function that opens a page; afterwards checks that the page logged nothing and requested nothing."""
    contexts, logged, requested = [], [], []

    def call(path, width=1280, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: logged.append(message.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.on("dialog", lambda dialog: (logged.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: requested.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector("#plots .main-svg")
        return page

    yield call
    for context in contexts:
        context.close()
    assert logged == []
    assert [url for url in requested if not url.startswith(("file:", "data:", "blob:"))] == []
    assert sum(url.startswith("file:") for url in requested) == len(contexts)


@pytest.fixture
def path(frame, tmp_path):
    for number in (0, 4):
        RunDir(tmp_path / str(number)).write_bytes("figures/loss.png", bytes.fromhex(PNG))
    alarms = {"start": [10, 20], "score": [2.5, 11.512345], "features": ["<b>heat</b>", "flow"]}
    RunDir(tmp_path / "4").write_table("alarms", alarms)
    for number, commit in ((0, "abc"), (6, "def")):
        RunDir(tmp_path / str(number)).write_json("environment.json", {"commit": commit, "host": "same"})
    write_run(tmp_path / "8", 0.001, lr=0.3, state="failed", error="No space left on device")
    return written(load(tmp_path), tmp_path / "out", ["a.json: broken"])


def written(frame, folder, problems=()):
    return report.write(rank(frame, "validation.loss"), folder, problems)


def eventually(page, expression):
    """Waits until an expression is true; playwright's own wait evaluates text, which the page's policy forbids."""
    for _ in range(100):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"still false after 5 s: {expression}")


def names(page):
    return [text.strip() for text in page.locator("#table tbody td.run").all_inner_texts()]


def data_x(page, plot):
    """The x values of each trace of a plot; the last trace highlights the selected run."""
    return page.evaluate(
        f"cards.find((card) => card.title === '{plot}').place.data.map((trace) => Array.from(trace.x))"
    )


def test_headers_sort_by_click_and_key_and_show_the_direction(opened, path):
    page = opened(path)
    assert names(page) == ["4", "5", "6", "7", "0", "1", "2", "3", "8"]
    assert page.locator("th[aria-sort=ascending]").inner_text() == "rank"
    page.get_by_role("button", name="validation.loss").click()
    page.get_by_role("button", name="validation.loss").press("Enter")
    assert page.locator("th[aria-sort=descending]").inner_text() == "validation.loss"
    assert names(page)[:6] == ["1", "0", "5", "7", "4", "6"]
    assert set(names(page)[6:]) == {"2", "3", "8"}  # without a score, and last in either direction
    page.locator("thead").get_by_role("button", name="lr", exact=True).press("Space")
    assert names(page)[:4] == ["4", "5", "6", "7"]


def test_the_filter_takes_the_terms_of_the_command_and_words_and_applies_to_the_plots(opened, path, tmp_path):
    page, runs = opened(path), load(tmp_path)
    for typed, found in {
        "lr=0.1": {"0", "1", "2", "3"},
        "lr=0.1 hidden_size!=16": {"0", "1"},
        "optimizer.lr<=0.01 hidden_size>8": {"6", "7"},
        "validation.loss<0.02": {"4", "6"},
        "seed=1": {"1", "3", "5", "7"},
        "state=failed": {"8"},
        "SPACE": {"8"},
        "diverged": {"2", "3"},
        "lr=": set("012345678"),
        "nowhere": set(),
    }.items():
        page.locator("#filter").fill(typed)
        eventually(page, f"state.shown.map((run) => run.name).sort().join() === '{','.join(sorted(found))}'")
        assert set(names(page)) == found
        assert page.locator("#count").inner_text() == f"{len(found)} of 9 runs"
        if any(sign in typed for sign in "=<>") and not typed.endswith("="):  # `--where` of the command finds the same
            assert {run[-1] for run in selection.filtered(runs, typed.split())["run"]} == found
        plotted = page.evaluate("cards[0].place.data.flatMap((trace) => trace.customdata ?? [])")
        assert {str(run) for run in plotted if run is not None} == found


def test_a_filter_by_an_unknown_column_gives_an_error(opened, path):
    page = opened(path)
    page.locator("#filter").fill("foo=1")
    eventually(page, "document.getElementById('count').textContent.includes('There is no column foo')")
    assert len(names(page)) == 9


def test_failed_and_diverged_runs_are_shown_with_the_reason(opened, path):
    page = opened(path)
    assert "failed: No space left on device" in page.locator("#table tbody tr").last.inner_text()
    assert page.locator("#table td.score.bad").all_inner_texts() == ["diverged", "diverged", "failed"]
    assert "a.json: broken" in page.locator("header").inner_text()


def test_a_row_highlights_its_run_in_the_plots_and_a_point_selects_its_row(opened, path):
    page = opened(path)
    assert data_x(page, "Learning curves")[-1] == []
    page.locator("#table tbody tr[data-run='5']").hover()
    eventually(page, "cards[0].place.data.at(-1).x.length === 3")
    assert data_x(page, "Learning curves")[-1] == [1, 2, 3]
    assert data_x(page, "Score against seconds")[-1] == [12]
    page.locator("h1").hover()
    eventually(page, "cards[0].place.data.at(-1).x.length === 0")
    page.locator("#table tbody tr[data-run='5'] button").press("Enter")
    assert page.locator("tr[aria-current=true]").get_attribute("data-run") == "5"
    assert "Selected: 5 (lr 0.01, hidden_size 8, seed 1)" in page.locator("#selected").inner_text()

    plot = page.locator("figure", has_text="Score against seconds").locator(".plot")
    plot.scroll_into_view_if_needed()
    point = plot.locator(".points path").first.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    page.wait_for_selector("#table tr.hovered")
    hovered = page.locator("#table tr.hovered").get_attribute("data-run")
    page.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    eventually(page, f"state.selected === {hovered}")
    assert page.locator("tr[aria-current=true]").get_attribute("data-run") == hovered


def test_the_heat_map_has_the_means_of_the_effects_and_never_averages_two_sources(opened, tmp_path):
    runs = [(1, 8, 1.0), (1, 8, 100.0), (2, 8, 4.0), (1, 9, 5.0), (2, 9, 6.0)]
    for number, (lr, hidden, loss) in enumerate(runs * 2):
        write_run(tmp_path / str(number), loss + 100 * (number > 4), lr, hidden, seed=number)
    both = load(tmp_path).assign(source=["ours"] * 5 + ["published"] * 5)
    page = opened(written(both, tmp_path / "out"))
    drawn = "cards.find((card) => card.title === 'Heat map').place"
    words = page.evaluate(f"{drawn}.layout.annotations.map((words) => words.text)")
    assert words == ["10", "4", "5", "6", "151", "104", "105", "106"]
    assert page.evaluate(f"{drawn}.layout.yaxis.ticktext") == [
        "8<br>ours",
        "9<br>ours",
        "8<br>published",
        "9<br>published",
    ]
    page.locator("#filter").fill("source=published")
    eventually(page, f"{drawn}.layout.annotations[0].text === ''")


def test_the_figures_of_the_best_run_of_each_row_are_open_and_others_are_created_when_opened(opened, path):
    page = opened(path)
    assert page.locator("#figures details").count() == 2
    shown = page.locator("#figures details[open] img")
    eventually(page, "document.querySelectorAll('#figures details[open] img').length === 2")
    assert shown.first.get_attribute("alt") == "Figure loss of run 4: lr 0.01, hidden_size 8, seed 0"
    eventually(page, "document.querySelector('#figures img').naturalWidth === 1")
    rows = page.locator("#figures details[open] tbody tr").all_inner_texts()
    assert rows == ["20\t11.51\tflow", "10\t2.5\t<b>heat</b>"]


def test_two_runs_are_compared(opened, path):
    page = opened(path)
    page.locator("#first").select_option("0")
    page.locator("#second").select_option("6")
    rows = [row.split("\t") for row in page.locator("#difference tbody tr").all_inner_texts()]
    assert ["optimizer.lr", "0.1", "0.01"] in rows
    assert ["model.hidden_size", "8", "16"] in rows
    assert ["environment.commit", "abc", "def"] in rows
    assert ["first epoch at which validation.loss differs", "1: 0.1", "1: 0.01"] in rows
    assert not any(row[0] == "seed" for row in rows)
    page.locator("#table tbody tr[data-run='1'] button").click()
    assert page.locator("#second").input_value() == "1"


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_the_screen_and_the_table_scrolls_in_its_box(opened, path, width):
    page = opened(path, width)
    page.locator("#all-columns").check()
    page.locator("#figures summary").first.click()
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.querySelector('.table-box').scrollWidth") > min(width, 800)


def test_dark_mode_changes_the_page_and_the_plots(opened, path):
    page = opened(path, color_scheme="light")
    looks = "[getComputedStyle(document.body).backgroundColor, cards[0].place.layout.font.color]"
    light = page.evaluate(looks)
    page.emulate_media(color_scheme="dark")
    eventually(page, f"cards[0].place.layout.font.color !== '{light[1]}'")
    assert page.evaluate(looks)[0] != light[0]


def test_plots_have_labels_for_screen_readers(opened, path):
    page = opened(path)
    for plot in page.locator(".plot").all():
        assert "of 9 runs by validation.loss" in plot.get_attribute("aria-label")
    assert page.locator(".plot").count() == 6


def test_no_content_of_a_directory_runs_as_a_script(opened, tmp_path):
    payload = "<img src=x onerror=\"document.title='ran'\"><script>document.title='ran'</script>"
    name = payload.replace("/", "")
    write_run(tmp_path / name, 0.1, lr=payload, note="<b>bold</b>", error=payload, **{payload: payload})
    write_run(tmp_path / "b", 0.2, state="diverged", error=f"</script>{payload}")
    RunDir(tmp_path / name).write_bytes("figures/loss.png", bytes.fromhex(PNG))
    path = written(load(tmp_path), tmp_path / "out", [payload])
    page = opened(path)
    page.locator("#all-columns").check()
    page.locator("#table tbody tr").first.hover()
    page.locator("#table tbody tr button").first.click()
    for plot in page.locator(".plot .nsewdrag").all():
        plot.scroll_into_view_if_needed()
        plot.hover(force=True)
    page.wait_for_timeout(200)
    assert page.title() == "Comparison of 2 runs by validation.loss"
    assert page.locator("img").evaluate_all("all => all.every((image) => image.src.startsWith('data:image/png'))")
    assert page.locator("b").count() == 0
    assert payload in page.locator("#table tbody").inner_text()
