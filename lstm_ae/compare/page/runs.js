// The cards of the plots, the difference of two runs, and each run's own figures; then everything is started.

const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
const withCurve = data.runs.filter((run) => run.curve.length && groupOf(run).colour !== null);
const repeated = new Set(withCurve.map(groupOf)).size < withCurve.length;
const cards = [
  {
    title: "Learning curves",
    wide: true,
    draw: curves,
    mark: curvePoints,
    here: data.runs.some((run) => run.curve.length),
    note: repeated ? "Thin: a run. Thick: the mean over the seeds and folds of its settings." : "One line per run.",
  },
  {
    title: "Parallel coordinates",
    wide: true,
    draw: parallel,
    mark: way,
    here: axes.length > 0 && scores.length > 0,
    note: `One line per run, through its settings to its score.${data.runs.some((run) => run.state === "diverged") ? " Dotted: diverged." : ""}`,
  },
  {
    title: "Effect of a setting",
    draw: effects,
    mark: effectPoint,
    here: effectKey !== undefined && scores.length > 0,
    choose: true,
    note: `${sources.length > 1 ? `Diamonds (${sources[0]}) and squares (${sources[1]})` : "Diamonds"}: means over all runs with 95 % intervals, the best filled. Dots: the runs shown.`,
  },
  {
    title: "Heat map",
    draw: heat,
    mark: heatMark,
    here: across !== undefined && scores.length > 0,
    note: `${Object.values(data.logMeans).every(Boolean) ? "Geometric mean" : "Mean"} over the runs shown. A click selects the best run of a cell.`,
  },
  ...["seconds", "parameters"].map((key) => ({
    title: `Score against ${key}`,
    ...costs(key),
    here: data.runs.some((run) => hasScore(run) && (run.values[key] ?? null) !== null),
    note: "One point per run.",
  })),
].filter((card) => card.here);

/** The settings of which the effect can be seen, to choose from. */
function chooser(card) {
  const known = data.keys.filter((key) => data.effects.some((row) => row.setting === key));
  const options = known.map((key) => {
    const shares = sources.flatMap((source) => {
      const row = data.effects.find((other) => other.setting === key && other.source === source);
      const whose = sources.length > 1 ? ` (${source})` : "";
      return row && row.explained !== null ? [`${Math.round(100 * row.explained)} %${whose}`] : [];
    });
    const explains = shares.length ? `: explains ${shares.join(", ")} of the variation` : "";
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
    return element("li", { title: group.label }, swatch(group), clipped(group.label, 80));
  });
  if (data.groups.length > named.length) entries.push(element("li", {}, swatch(null), "all others"));
  find("legend").append(...entries);
  for (const card of cards) {
    const words = `${card.title} of ${data.runs.length} runs by ${data.metric}. ${card.note} The table above holds the same runs.`;
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
      picked(points[0], (id) => {
        select(id);
        revealRow(id);
      }),
    );
    card.place.on("plotly_hover", ({ points }) => picked(points[0], hover));
    card.place.on("plotly_unhover", () => hover(null));
  }
  if (!cards.length) find("plots").append("Nothing can be drawn: no run has a score or a learning curve.");
  dark.addEventListener("change", drawPlots);
}

/** Calls with the run of a point, where it has one. */
function picked(point, call) {
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
  const there = run && state.shown.includes(run);
  const { x, y } = there ? card.mark(run) : { x: [], y: [] };
  Plotly.restyle(card.place, { x: [x], y: [y] }, [card.traces - 1]);
}

const drawPlots = () => cards.forEach(drawCard);
const markPlots = () => cards.forEach(markCard);

const placed = (run) => (run.rank === null ? run.state : `rank ${run.rank}`);

function startDifference() {
  for (const [place, id] of ["first", "second"].entries()) {
    const options = data.runs.map((run) =>
      element("option", { value: run.id }, clipped(`${placed(run)}: ${run.name} (${described(run)})`, 90)),
    );
    find(id).append(...options);
    find(id).selectedIndex = Math.min(place, data.runs.length - 1);
    find(id).addEventListener("change", drawDifference);
  }
  drawDifference();
}

/** Puts a run beside the first one. */
function compareWith(run) {
  if (Number(find("first").value) === run.id) return;
  find("second").value = run.id;
  drawDifference();
}

/** The first epoch at which two curves differ by more than rounding, with both values. */
function partsAt(one, other) {
  const differs = (value, place) => Math.abs(value - other.curve[place]) > 1e-9 * Math.abs(value);
  const place = one.curve.findIndex(differs);
  if (place < 0) return ["-", "-"];
  return [one, other].map((run) => `${run.epochs[place]}: ${written(run.curve[place])}`);
}

function drawDifference() {
  const [one, other] = ["first", "second"].map((id) => runs.get(Number(find(id).value)));
  const facts = (key) => [one, other].map((run) => written(run.values[key]));
  const rows = [
    ["directory", one.run, other.run],
    ["state", one.state, other.state],
    ["error", written(one.error), written(other.error)],
  ];
  rows.push(...[...data.settings, ...data.metrics].map((key) => [key, ...facts(key)]));
  const [here, there] = [one, other].map((run) => data.environments[run.id]);
  rows.push(...Object.keys(here).map((key) => [`environment.${key}`, written(here[key]), written(there[key])]));
  rows.push([`first epoch at which ${data.curveMetric} differs`, ...partsAt(one, other)]);
  const different = rows.filter(([, first, second]) => first !== second);
  const cells = different.map((row) => element("tr", {}, ...row.map((text) => element("td", {}, text))));
  if (!cells.length) cells.push(element("tr", {}, element("td", { colspan: 3 }, "One and the same run.")));
  const heads = ["what differs", one.name, other.name].map((text) => element("th", { scope: "col" }, text));
  find("difference").tHead.replaceChildren(element("tr", {}, ...heads));
  find("difference").tBodies[0].replaceChildren(...cells);
}

/** A run's figures, closed; its pictures are made when it is opened. */
function folded(run) {
  const summary = element(
    "summary",
    {},
    `${placed(run)}: ${run.name}`,
    element("span", { class: "quiet" }, ` ${described(run)}`),
  );
  const details = element("details", { "data-run": run.id }, summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("img")) return;
    const made = pictures[run.id].map(({ name, data: content }) =>
      element("img", {
        src: `data:image/png;base64,${content}`,
        alt: `Figure ${name} of run ${run.name}: ${described(run)}`,
      }),
    );
    details.append(element("div", { class: "pictures" }, ...made));
  });
  return details;
}

function startFigures() {
  const having = data.runs.filter((run) => pictures[run.id]);
  find("figures").append(...having.map(folded));
  const left = data.picturesLeftOut;
  const rest = left
    ? ` Those of ${left} more are left out, so that this page stays small; they lie in the runs' directories.`
    : "";
  find("figures-note").textContent = having.length
    ? `${having.length} of ${data.runs.length} runs, the best first.${rest}`
    : `No run has figures of its own.${rest}`;
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
