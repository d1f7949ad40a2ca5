// The table: sorted by clicking its headers, filtered by words and by terms such as lr=0.1.

const MAX_SETTINGS = 8;
const MAX_METRICS = 4;
const sorting = { column: null, ascending: true };

const valueOf = (key) => (run) => run.values[key] ?? null;
const FIXED = [
  { key: "rank", name: "rank", value: (run) => run.rank, number: true },
  { key: "run", name: "run", value: (run) => run.name },
];
const VERDICT = { key: "verdict", name: "verdict", value: (run) => run.verdict };
const STATE = { key: "state", name: "state", value: (run) => run.state };
const settingColumns = data.keys.map((key) => ({
  key,
  name: nameOf(key),
  text: (run) => run.shown[key],
  value: key === "source" ? (run) => run.source : valueOf(key),
}));
const repeatColumns = data.repeats.map((key) => ({ key, name: key, value: valueOf(key) }));
const moreKeys = data.settings.filter((key) => ![...data.keys, ...data.repeats].includes(key));
const moreSettings = moreKeys.map((key) => ({ key, name: key, value: valueOf(key) }));
const metricColumns = data.metrics.map((key) => ({ key, name: key, value: valueOf(key), number: true }));
if (data.groups.some((group) => group.verdict !== null)) FIXED.push(VERDICT);
const everyColumn = [...FIXED, ...settingColumns, ...repeatColumns, ...moreSettings, ...metricColumns, STATE];
// "null" is a setting's value; null means that the run does not record the setting.
const isNumber = (value) => typeof value === "number" || value === null || value === "null";
for (const column of everyColumn) column.number ??= data.runs.every((run) => isNumber(column.value(run)));

function columnsShown() {
  if (find("all-columns").checked) return everyColumn;
  const few = settingColumns.filter((column, place) => place < MAX_SETTINGS || column.key === "source");
  const reasons = data.runs.some((run) => !["finished", "reached"].includes(run.state) || run.error) ? [STATE] : [];
  return [...FIXED, ...few, ...repeatColumns, ...metricColumns.slice(0, MAX_METRICS), ...reasons];
}

/** Compares two values for sorting: numbers, then text; missing values come last in either direction. */
function compareValues(first, second, ascending) {
  if (first === null || second === null) return (first === null) - (second === null);
  const numbers = typeof first === "number" && typeof second === "number";
  const order = numbers ? first - second : String(first).localeCompare(String(second), undefined, { numeric: true });
  return ascending ? order : -order;
}

/** The value of a column for sorting and filtering: a run that diverged has no score. */
const sortable = (column, run) => (column.key === data.metric ? run.score : column.value(run));

function sorted(list) {
  const { column, ascending } = sorting;
  return column
    ? [...list].sort((first, second) => compareValues(sortable(column, first), sortable(column, second), ascending))
    : list;
}

function drawHead() {
  const cells = columnsShown().map((column) => {
    const button = element("button", { type: "button", title: column.key }, column.name);
    button.addEventListener("click", () => {
      sorting.ascending = sorting.column === column ? !sorting.ascending : true;
      sorting.column = column;
      drawHead();
      drawBody();
      document.querySelector("#table th[aria-sort$='ending'] button").focus();
    });
    const isSorted = sorting.column ? sorting.column === column : column.key === "rank";
    const direction = isSorted ? (sorting.ascending ? "ascending" : "descending") : "none";
    return element(
      "th",
      { scope: "col", "aria-sort": direction, ...(column.number ? { class: "number" } : {}) },
      button,
    );
  });
  find("table").tHead.replaceChildren(element("tr", {}, ...cells));
}

function cell(column, run) {
  if (column.key === "run") {
    return element(
      "td",
      { class: "run" },
      swatch(groupOf(run)),
      element("button", { type: "button", title: run.run }, run.name),
    );
  }
  if (column.key === "state") {
    const text = run.error ? `${run.state}: ${run.error}` : run.state;
    return element("td", { class: run.score !== null && !run.error ? "" : "reason bad" }, text);
  }
  if (column.key === data.metric) {
    const text = run.score === null ? (run.state === "finished" ? "none" : run.state) : formatValue(run.score);
    return element("td", { class: run.score === null ? "number score bad" : "number score" }, text);
  }
  const text = column.text ? column.text(run) : formatValue(column.value(run));
  return element("td", column.number ? { class: "number" } : {}, text);
}

function drawBody() {
  const columns = columnsShown();
  const rows = sorted(state.shown).map((run) =>
    element("tr", { "data-run": run.id }, ...columns.map((column) => cell(column, run))),
  );
  find("table").tBodies[0].replaceChildren(...rows);
  markRows();
}

function markRows() {
  for (const row of find("table").tBodies[0].rows) {
    const id = Number(row.dataset.run);
    row.classList.toggle("hovered", id === state.hovered);
    row.setAttribute("aria-current", id === state.selected);
  }
}

/** Scrolls a run's row into view within the table's box, without scrolling the page. */
function revealRow(id) {
  const row = document.querySelector(`#table tr[data-run="${Number(id)}"]`);
  if (row) row.closest(".table-box").scrollTop = row.offsetTop - 120;
}

/** Parses a term of the filter: returns a predicate on runs, or an error message. */
function condition(term) {
  const parts = term.match(/^([^=<>!]+)(!=|<=|>=|=|<|>)(.*)$/);
  const word = term.toLowerCase();
  if (!parts)
    return (run) =>
      [run.run, run.error, ...everyColumn.map((column) => formatValue(column.value(run)))].some((text) =>
        (text ?? "").toLowerCase().includes(word),
      );
  const [, key, sign, wanted] = parts;
  const named = everyColumn.filter((column) =>
    [column.key, column.name].some((name) => name.toLowerCase() === key.toLowerCase()),
  );
  const column = named[0] ?? everyColumn.find((other) => other.key.toLowerCase().endsWith(`.${key.toLowerCase()}`));
  if (!column) return `There is no column ${key}.`;
  if (!wanted) return () => true; // still being typed
  return (run) =>
    matches(column.text && Number.isNaN(Number(wanted)) ? column.text(run) : sortable(column, run), sign, wanted);
}

function matches(value, sign, wanted) {
  if (value === null) return sign === "!=" ? wanted !== "null" : sign === "=" && (wanted === "null" || wanted === "-");
  const numbers = typeof value === "number" && !Number.isNaN(Number(wanted));
  const order = numbers ? value - Number(wanted) : String(value).toLowerCase().localeCompare(wanted.toLowerCase());
  return { "=": order === 0, "!=": order !== 0, "<": order < 0, ">": order > 0, "<=": order <= 0, ">=": order >= 0 }[
    sign
  ];
}

function filter() {
  const conditions = find("filter").value.split(/\s+/).filter(Boolean).map(condition);
  const errors = conditions.filter((item) => typeof item === "string");
  const predicates = conditions.filter((item) => typeof item === "function");
  const shown = data.runs.filter((run) => predicates.every((predicate) => predicate(run)));
  const count = find("count");
  count.textContent = [`${shown.length} of ${data.runs.length} runs`, ...errors].join(". ");
  count.classList.toggle("bad", errors.length > 0);
  show(shown);
  drawBody();
}

function startTable() {
  const example = data.keys.find((key) => key !== "source" && data.runs[0].shown[key] !== "-") ?? "state";
  const value = data.runs[0].shown[example] ?? "finished";
  find("filter").placeholder = `${nameOf(example)}=${value}`;
  find("filter-help").textContent =
    `Words, or terms such as ${nameOf(example)}=${value} and ${data.metric}<0.1 (also >, <=, >=, !=). A run must match all of them.`;
  let waiting = 0;
  find("filter").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  find("all-columns").addEventListener("change", () => {
    drawHead();
    drawBody();
  });
  const body = find("table").tBodies[0];
  const runAt = (event) => event.target.closest("tr") && Number(event.target.closest("tr").dataset.run);
  body.addEventListener("click", (event) => select(runAt(event)));
  body.addEventListener("mouseover", (event) => hover(runAt(event)));
  body.addEventListener("mouseleave", () => hover(null));
  drawHead();
}
