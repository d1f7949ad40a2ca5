// The cards of the plots, the differences between two runs, and the figures of each run; then starts everything.

const MOST_OPEN = 20; // runs whose figures are open from the start: the best of each row of the ranking
const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
const withCurve = data.runs.filter((run) => run.curve.length && groupOf(run).colour !== null);
const repeated = new Set(withCurve.map(groupOf)).size < withCurve.length;
const cards = [
  {
    title: "Learning curves",
    wide: true,
    draw: curves,
    mark: curvePoints,
    available: data.runs.some((run) => run.curve.length),
    note: repeated ? "Thin: single runs. Thick: mean over seeds and folds." : "One line per run.",
  },
  {
    title: "Parallel coordinates",
    wide: true,
    draw: parallel,
    mark: polyline,
    available: axes.length > 0 && scores.length > 0,
    note: `One line per run, through its settings to its score.${data.runs.some((run) => run.state === "diverged") ? " Dotted: diverged." : ""}`,
  },
  {
    title: "Effect of a setting",
    draw: effects,
    mark: effectPoint,
    available: effectKey !== undefined && scores.length > 0,
    choose: true,
    note: `${sources.length > 1 ? `Diamonds (${sources[0]}) and squares (${sources[1]})` : "Diamonds"}: means over all runs with 95 % intervals, best value filled. Dots: the runs shown.`,
  },
  {
    title: "Heat map",
    draw: heat,
    mark: heatMark,
    available: across !== undefined && scores.length > 0,
    note: `${Object.values(data.logMeans).every(Boolean) ? "Geometric mean" : "Mean"} over the runs shown. A click selects the best run of a cell.`,
  },
  ...["seconds", "parameters"].map((key) => ({
    title: `Score against ${key}`,
    ...costs(key),
    available: data.runs.some((run) => hasScore(run) && (run.values[key] ?? null) !== null),
    note: "One point per run.",
  })),
].filter((card) => card.available);

/** Creates the menu of settings that have effects. */
function chooser(card) {
  const known = data.keys.filter((key) => data.effects.some((row) => row.setting === key));
  const options = known.map((key) => {
    const shares = sources.flatMap((source) => {
      const row = data.effects.find((other) => other.setting === key && other.source === source);
      const suffix = sources.length > 1 ? ` (${source})` : "";
      return row && row.omega_squared !== null ? [`${Math.round(100 * row.omega_squared)} %${suffix}`] : [];
    });
    const explains = shares.length ? `: explains ${shares.join(", ")} of the variance` : "";
    return element("option", { value: key }, `${nameOf(key)}${explains}`);
  });
  const choice = element("select", { "aria-label": "Setting" }, ...options);
  choice.addEventListener("change", () => {
    effectKey = choice.value;
    drawCard(card);
  });
  return choice;
}

function startPlots() {
  const named = data.groups.filter((group) => group.colour !== null);
  const entries = named.map((group) => {
    return element("li", { title: group.label }, swatch(group), truncated(group.label, 80));
  });
  if (data.groups.length > named.length) entries.push(element("li", {}, swatch(null), "all others"));
  find("legend").append(...entries);
  for (const card of cards) {
    const words = `${card.title} of ${data.runs.length} runs by ${data.metric}. ${card.note} The table above lists the same runs.`;
    card.place = element("div", { class: "plot", role: "img", "aria-label": words });
    const caption = element(
      "figcaption",
      {},
      element("h3", {}, card.title),
      element("p", { class: "quiet" }, card.note),
    );
    if (card.choose) caption.append(chooser(card));
    find("plots").append(element("figure", card.wide ? { class: "wide" } : {}, caption, card.place));
    drawCard(card);
    card.place.on("plotly_click", ({ points }) =>
      withRun(points[0], (id) => {
        select(id);
        revealRow(id);
      }),
    );
    card.place.on("plotly_hover", ({ points }) => withRun(points[0], hover));
    card.place.on("plotly_unhover", () => hover(null));
  }
  if (!cards.length) find("plots").append("No plots: no run has a score or a learning curve.");
  dark.addEventListener("change", drawPlots);
}

/** Calls a function with the run of a point, if it has one. */
function withRun(point, call) {
  if (runs.has(point.customdata)) call(point.customdata);
}

function drawCard(card) {
  const { traces, layout } = card.draw(state.shown);
  const marker = { color: "rgba(0,0,0,0)", size: 15, line: { width: 3, color: colour("text") } };
  const lineOnly = [curves, parallel, heat].includes(card.draw);
  traces.push({
    x: [],
    y: [],
    mode: lineOnly ? "lines" : "markers",
    marker,
    line: { color: colour("text"), width: 4 },
    hoverinfo: "skip",
  });
  card.traces = traces.length;
  Plotly.react(card.place, traces, layout, CONFIG);
  markCard(card);
}

function markCard(card) {
  const run = runs.get(state.hovered ?? state.selected);
  const visible = run && state.shown.includes(run);
  const { x, y } = visible ? card.mark(run) : { x: [], y: [] };
  Plotly.restyle(card.place, { x: [x], y: [y] }, [card.traces - 1]);
}

const drawPlots = () => cards.forEach(drawCard);
const markPlots = () => cards.forEach(markCard);

const rankLabel = (run) => (run.rank === null ? (run.verdict ?? run.state) : `rank ${run.rank}`);

function startDifference() {
  for (const [place, id] of ["first", "second"].entries()) {
    const options = data.runs.map((run) =>
      element("option", { value: run.id }, truncated(`${rankLabel(run)}: ${run.name} (${describe(run)})`, 90)),
    );
    find(id).append(...options);
    find(id).selectedIndex = Math.min(place, data.runs.length - 1);
    find(id).addEventListener("change", drawDifference);
  }
  drawDifference();
}

/** Selects a run as the second one of the comparison. */
function compareWith(run) {
  if (Number(find("first").value) === run.id) return;
  find("second").value = run.id;
  drawDifference();
}

/** The first epoch at which two curves differ by more than rounding, with both values. */
function firstDifference(first, second) {
  const differs = (value, place) => Math.abs(value - second.curve[place]) > 1e-9 * Math.abs(value);
  const place = first.curve.findIndex(differs);
  if (place < 0) return ["-", "-"];
  return [first, second].map((run) => `${run.epochs[place]}: ${formatValue(run.curve[place])}`);
}

function drawDifference() {
  const pair = ["first", "second"].map((id) => runs.get(Number(find(id).value)));
  const [first, second] = pair;
  const values = (key) => pair.map((run) => formatValue(run.values[key]));
  const rows = [
    ["directory", first.run, second.run],
    ["state", first.state, second.state],
    ["error", formatValue(first.error), formatValue(second.error)],
  ];
  rows.push(...[...data.settings, ...data.metrics].map((key) => [key, ...values(key)]));
  const environments = pair.map((run) => data.environments[run.id]);
  const keys = Object.keys(environments[0]);
  rows.push(...keys.map((key) => [`environment.${key}`, ...environments.map((item) => formatValue(item[key]))]));
  rows.push([`first epoch at which ${data.curveMetric} differs`, ...firstDifference(first, second)]);
  const different = rows.filter(([, one, other]) => one !== other);
  const cells = different.map((row) => element("tr", {}, ...row.map((text) => element("td", {}, text))));
  if (!cells.length) cells.push(element("tr", {}, element("td", { colspan: 3 }, "Both are the same run.")));
  const heads = ["what differs", first.name, second.name].map((text) => element("th", { scope: "col" }, text));
  find("difference").tHead.replaceChildren(element("tr", {}, ...heads));
  find("difference").tBodies[0].replaceChildren(...cells);
}

/** Creates a run's own table, such as its alarms. */
function ownTable({ name, count, columns, rows }) {
  const row = (tag, texts) => element("tr", {}, ...texts.map((text) => element(tag, {}, formatCell(text))));
  const shown = rows.length < count ? `${name}: ${rows.length} of ${count} rows` : name;
  const table = element("table", {}, element("thead", {}, row("th", columns)));
  table.append(element("tbody", {}, ...rows.map((texts) => row("td", texts))));
  return element("div", { class: "table-box" }, element("p", { class: "quiet" }, shown), table);
}

/** The text of a cell; a number that is no whole one has four digits. */
function formatCell(text) {
  return /^-?\d*\.\d+(e-?\d+)?$/.test(text) ? formatValue(Number(text)) : text;
}

/** Creates the closed section with a run's figures and tables; they are created when it is opened. */
function figureDetails(run) {
  const summary = element(
    "summary",
    {},
    `${rankLabel(run)}: ${run.name}`,
    element("span", { class: "quiet" }, ` ${describe(run)}`),
  );
  const details = element("details", { "data-run": run.id }, summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("img")) return;
    const images = pictures[run.id].map(({ name, data: content }) =>
      element("img", {
        src: `data:image/png;base64,${content}`,
        alt: `Figure ${name} of run ${run.name}: ${describe(run)}`,
      }),
    );
    details.append(...tables[run.id].map(ownTable), element("div", { class: "pictures" }, ...images));
  });
  return details;
}

function startFigures() {
  const withFigures = data.runs.filter((run) => pictures[run.id]);
  const groups = new Set();
  const bestOfEach = withFigures.filter((run) => groups.size < groups.add(run.group).size);
  find("figures").append(...withFigures.map(figureDetails));
  if ((bestOfEach.length > 1 || data.runs.length === 1) && bestOfEach.length <= MOST_OPEN) bestOfEach.forEach(openFigures);
  const left = data.picturesLeftOut;
  const rest = left
    ? ` The figures of ${left} more are left out to keep this page small; see the runs' directories.`
    : "";
  find("figures-note").textContent = withFigures.length
    ? `${withFigures.length} of ${data.runs.length} runs, the best first.${rest}`
    : `No run has figures.${rest}`;
}

function listFigures() {
  const shown = new Set(state.shown.map((run) => run.id));
  for (const details of find("figures").children) details.hidden = !shown.has(Number(details.dataset.run));
}

function openFigures(run) {
  const details = document.querySelector(`#figures details[data-run="${run.id}"]`);
  if (details) details.open = true;
}

startTable();
startPlots();
startDifference();
startFigures();
filter();
