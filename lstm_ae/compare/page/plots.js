// The plots. Each is a function of the runs shown; its last trace highlights the hovered or selected run.

const MAX_AXES = 6;
const dark = matchMedia("(prefers-color-scheme: dark)");
const touch = matchMedia("(pointer: coarse)");

/** Escapes text for Plotly, which interprets some markup. */
const safe = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const hint = (run) => safe(`${run.name}: ${truncated(describe(run), 90)}`);
const hasScore = (run) => run.score !== null;
const colourOf = (run) => colour(groupOf(run).colour === null ? "grey" : `group-${groupOf(run).colour}`);
const tickLength = () => (innerWidth < 700 ? 11 : 22);

/** Groups runs by colour, grey first, so that grey is drawn below the colours. */
function byColour(list) {
  const parts = new Map([[colour("grey"), []]]);
  for (const run of [...list].reverse()) parts.set(colourOf(run), [...(parts.get(colourOf(run)) ?? []), run]);
  return [...parts].filter(([, members]) => members.length);
}

/** Draws a line per run in a single trace, with a gap between runs. */
function lines(members, pointsOf, options) {
  const trace = {
    x: [],
    y: [],
    customdata: [],
    text: [],
    type: "scatter",
    mode: "lines",
    hovertemplate: "%{text}<extra></extra>",
    ...options,
  };
  for (const run of members) {
    const { x, y } = pointsOf(run);
    trace.x.push(...x, null);
    trace.y.push(...y, null);
    trace.customdata.push(...x.map(() => run.id), null);
    trace.text.push(...x.map(() => hint(run)), "");
  }
  return trace;
}

function axis(title, logarithmic, more = {}) {
  const numbers = logarithmic ? { type: "log", tickformat: "~g", nticks: 7 } : { exponentformat: "e" };
  return {
    title: { text: safe(title), font: { size: 12 }, standoff: 12 },
    gridcolor: colour("line"),
    zeroline: false,
    automargin: true,
    ...numbers,
    ...more,
  };
}

function layout(x, y, more = {}) {
  return {
    xaxis: x,
    yaxis: y,
    showlegend: false,
    hovermode: "closest",
    margin: { l: 50, r: 16, t: 10, b: 44 },
    uirevision: "kept",
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    dragmode: touch.matches ? false : "zoom",
    font: { color: colour("text"), family: "system-ui, Segoe UI, Roboto, DejaVu Sans, sans-serif", size: 12 },
    hoverlabel: {
      align: "left",
      bgcolor: colour("page"),
      bordercolor: colour("quiet"),
      font: { color: colour("text") },
    },
    ...more,
  };
}

const curvePoints = (run) => ({ x: run.epochs, y: run.curve });

/** The mean over the runs of a group at each epoch that all of them reached. */
function meanCurve(members) {
  const length = Math.min(...members.map((run) => run.curve.length));
  const y = [...Array(length).keys()].map(
    (place) => members.reduce((sum, run) => sum + run.curve[place], 0) / members.length,
  );
  return { x: members[0].epochs.slice(0, length), y };
}

function curves(shown) {
  const drawn = shown.filter((run) => run.curve.length);
  const traces = byColour(drawn).flatMap(([shade, members]) => {
    const named = shade !== colour("grey");
    const several = named && members.length > 1;
    const hovertemplate = "%{text}<br>epoch %{x}: %{y:.4g}<extra></extra>";
    const line = { color: shade, width: several || !named ? 1 : 2 };
    const own = lines(members, curvePoints, { line, opacity: several ? 0.5 : 1, hovertemplate });
    const mean = several
      ? [{ ...meanCurve(members), mode: "lines", line: { color: shade, width: 3 }, hoverinfo: "skip" }]
      : [];
    return [own, ...mean];
  });
  return { traces, layout: layout(axis("epoch", false), axis(data.curveMetric, data.logCurve)) };
}

function costs(key) {
  const point = (run) => ({ x: [run.values[key] ?? null], y: [run.score] });
  const draw = (shown) => {
    const drawn = shown.filter((run) => hasScore(run) && (run.values[key] ?? null) !== null);
    const values = drawn.map((run) => run.values[key]);
    const wide = Math.min(...values) > 0 && Math.max(...values) >= 10 * Math.min(...values);
    const traces = byColour(drawn).map(([shade, members]) =>
      lines(members, point, {
        mode: "markers",
        marker: { color: shade, size: 10, line: { width: 1, color: colour("card") } },
        hovertemplate: `%{text}<br>%{x:.4g} ${key}: %{y:.4g}<extra></extra>`,
      }),
    );
    return {
      traces,
      layout: layout(
        axis(key === "seconds" ? "training (seconds)" : key, wide, { nticks: 4 }),
        axis(data.metric, data.logScore),
      ),
    };
  };
  return { draw, mark: point };
}

const scores = data.runs.filter(hasScore).map((run) => run.score);
const scaled = (score) => (data.logScore ? Math.log10(score) : score);
const [lowest, highest] = [Math.min(...scores.map(scaled)), Math.max(...scores.map(scaled))];
const share = (score) => (highest > lowest ? (scaled(score) - lowest) / (highest - lowest) : 0.5);
const height = (run, key) =>
  run.levels[key] === null ? NaN : data.levels[key].length > 1 ? run.levels[key] / (data.levels[key].length - 1) : 0.5;
const axes = data.keys.slice(0, MAX_AXES);

/** A run's line through the axes; runs are shifted slightly, so that equal ones do not hide each other. */
function polyline(run) {
  const shift = data.runs.length > 1 ? 0.03 * (data.runs.indexOf(run) / data.runs.length - 0.5) : 0;
  const heights = axes.map((key) => height(run, key) + shift);
  if (hasScore(run)) heights.push(share(run.score));
  return { x: heights.map((_, place) => place), y: heights };
}

function parallel(shown) {
  const traces = byColour(shown.filter(hasScore)).map(([shade, members]) =>
    lines(members, polyline, {
      line: { color: shade, width: 1.6 },
      opacity: shade === colour("grey") ? 0.6 : 0.9,
      hovertemplate: "%{text}<extra></extra>",
    }),
  );
  const diverged = shown.filter((run) => run.state === "diverged");
  if (diverged.length) traces.push(lines(diverged, polyline, { line: { color: colour("bad"), width: 1.2, dash: "dot" } }));
  const label = (place, at, text) => ({
    x: place,
    y: at,
    text: safe(truncated(text, 16)),
    showarrow: false,
    bgcolor: colour("card"),
    borderpad: 1,
    font: { size: 11 },
  });
  const annotations = axes.flatMap((key, place) => {
    const levels = data.levels[key];
    const step = Math.ceil(levels.length / 8);
    return levels
      .map((text, level) => [level, text])
      .filter(([level]) => level % step === 0)
      .map(([level, text]) => label(place, levels.length > 1 ? level / (levels.length - 1) : 0.5, text));
  });
  const ends = [0, 0.25, 0.5, 0.75, 1].map((at) => [at, lowest + at * (highest - lowest)]);
  const last = axes.length;
  if (scores.length)
    annotations.push(
      ...ends.map(([at, value]) => ({
        ...label(last, at, Number((data.logScore ? 10 ** value : value).toPrecision(2)).toString()),
        xanchor: "left",
        xshift: 6,
        bgcolor: "rgba(0,0,0,0)",
      })),
    );
  const ticks = {
    tickvals: [...axes.keys(), last],
    ticktext: [...axes.map(nameOf), data.metric].map((name) => safe(truncated(name, tickLength()))),
  };
  const tickangle = innerWidth < 700 && last > 2 ? 35 : 0;
  const x = axis("", false, {
    ...ticks,
    tickangle,
    range: [-0.25, last + 0.1],
    gridcolor: colour("quiet"),
    fixedrange: true,
  });
  const y = axis("", false, { visible: false, range: [-0.07, 1.07] });
  return { traces, layout: layout(x, y, { annotations, margin: { l: 20, r: 64, t: 10, b: 44 } }) };
}
