// The plots of settings: the effect of one on the score, and the heat map of two.

const ticksOf = (key) => ({
  tickvals: [...data.levels[key].keys()],
  ticktext: data.levels[key].map((text) => safe(truncated(text, 14))),
});
let effectKey = data.keys.find((key) => data.effects.some((row) => row.setting === key));
const effectPoint = (run) => ({
  x: [run.levels[effectKey] + 0.24 * (((run.id * 0.618) % 1) - 0.5) + 0.2],
  y: [run.score],
});

const sources = [...new Set(data.effects.map((row) => row.source))];

/** The hover text of the mean at a value. */
function meanText(row) {
  const parts = [`mean ${formatValue(row.mean)}, ${formatValue(row.low)} to ${formatValue(row.high)}, n=${row.n}`];
  if (row.diverged) parts.push(`${row.diverged} diverged`);
  if (row.p !== null) parts.push(`${row.p < 0.05 ? "worse" : "not told apart"} (p = ${formatValue(row.p)})`);
  if (row.best) parts.push("the best mean");
  if (sources.length > 1) parts.push(row.source);
  return safe(parts.join(", "));
}

/** The means of one source with their intervals, drawn left of the runs. */
function means(rows, place) {
  // On a logarithmic axis, an interval that is far wider than the means would hide them.
  const [least, most] = [Math.min(...rows.map((row) => row.mean)) / 30, Math.max(...rows.map((row) => row.mean)) * 30];
  const floor = (row) => (data.logScore ? Math.max(row.low ?? row.mean, least) : (row.low ?? row.mean));
  const top = (row) => (data.logScore ? Math.min(row.high ?? row.mean, most) : (row.high ?? row.mean));
  return {
    x: rows.map((row) => row.place - 0.08 - 0.16 * place),
    y: rows.map((row) => row.mean),
    mode: "markers",
    error_y: {
      type: "data",
      symmetric: false,
      array: rows.map((row) => top(row) - row.mean),
      arrayminus: rows.map((row) => row.mean - floor(row)),
      color: colour("text"),
    },
    marker: {
      color: rows.map((row) => colour(row.best ? "text" : "card")),
      size: 10,
      symbol: place ? "square" : "diamond",
      line: { width: 2, color: colour("text") },
    },
    text: rows.map(meanText),
    hovertemplate: "%{text}<extra></extra>",
  };
}

function effects(shown) {
  const rows = data.effects.filter((row) => row.setting === effectKey && row.mean !== null && row.place !== null);
  const traces = byColour(shown.filter(hasScore)).map(([shade, members]) =>
    lines(members, effectPoint, {
      mode: "markers",
      marker: { color: shade, size: 7, opacity: 0.75 },
      hovertemplate: "%{text}<br>%{y:.4g}<extra></extra>",
    }),
  );
  sources.forEach((source, place) => {
    traces.push(
      means(
        rows.filter((row) => row.source === source),
        place,
      ),
    );
  });
  const x = axis(nameOf(effectKey), false, {
    ...ticksOf(effectKey),
    range: [-0.5, data.levels[effectKey].length - 0.5],
  });
  return { traces, layout: layout(x, axis(data.metric, data.logScore)) };
}

const [down, across] = data.grid;

// The rows of the heat map from the bottom: a value and a source, since published runs and ours are never averaged.
const heatRows = Object.keys(data.logMeans).flatMap((source) =>
  (data.levels[down] ?? [])
    .map((text, level) => ({ source, level, labels: [text, ...(sources.length > 1 ? [source] : [])] }))
    .filter(({ level }) => data.runs.some((run) => run.source === source && run.levels[down] === level)),
);
const heatRow = (run) => heatRows.findIndex((row) => row.source === run.source && row.level === run.levels[down]);

/** Formats a mean, short enough for a cell on a phone. */
function shortNumber(mean) {
  if (innerWidth >= 700) return String(Number(mean.toPrecision(3)));
  return Math.abs(mean) < 0.01 ? mean.toExponential(1) : String(Number(mean.toPrecision(2)));
}

/** The mean on the scale of the effects: geometric if they use a log scale. */
function mean(members) {
  const own = members.filter(hasScore);
  if (!own.length) return null;
  const log = data.logMeans[own[0].source];
  const average = own.reduce((sum, { score }) => sum + (log ? Math.log(score) : score), 0) / own.length;
  return log ? Math.exp(average) : average;
}

function heat(shown) {
  const cells = heatRows.map(() => data.levels[across].map(() => []));
  for (const run of shown) cells[heatRow(run)]?.[run.levels[across]]?.push(run); // a run without these settings has no cell
  const means = cells.map((row) => row.map(mean));
  const known = means
    .flat()
    .filter((mean) => mean !== null)
    .map(scaled);
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const annotations = cells.flatMap((row, y) =>
    row.map((members, x) => {
      const mean = means[y][x];
      const diverged = members.filter((run) => run.state === "diverged").length;
      const good =
        mean === null || high === low
          ? 1
          : data.higher
            ? (scaled(mean) - low) / (high - low)
            : (high - scaled(mean)) / (high - low);
      const text =
        mean === null
          ? diverged
            ? "diverged"
            : ""
          : shortNumber(mean) + (diverged ? `<br>${diverged} diverged` : "");
      return {
        x,
        y,
        text,
        showarrow: false,
        font: { size: innerWidth < 700 ? 10 : 12, color: mean === null ? colour("bad") : good > 0.45 ? "#111" : "#fff" },
      };
    }),
  );
  const trace = {
    type: "heatmap",
    z: means.map((row) => row.map((mean) => (mean === null ? null : scaled(mean)))),
    colorscale: "Cividis",
    reversescale: !data.higher,
    xgap: 2,
    ygap: 2,
    showscale: false,
    hovertemplate: "%{text}<extra></extra>",
    customdata: cells.map((row) => row.map((members) => members[0]?.id ?? null)),
    text: cells.map((row) =>
      row.map((members) => safe(members.length ? `${members.length} runs, the best: ${members[0].name}` : "no run")),
    ),
  };
  const axisOf = (key) =>
    axis(nameOf(key), false, { ...ticksOf(key), showgrid: false, range: [-0.5, data.levels[key].length - 0.5] });
  const rows = { tickvals: [...heatRows.keys()], ticktext: heatRows.map((row) => row.labels.map((label) => safe(truncated(label, 14))).join("<br>")) };
  const y = { ...axisOf(down), ...rows, range: [-0.5, heatRows.length - 0.5] };
  return { traces: [trace], layout: layout(axisOf(across), y, { annotations }) };
}

function heatMark(run) {
  const [x, y] = [run.levels[across], heatRow(run)];
  if (x === null || y < 0) return { x: [], y: [] };
  return { x: [x - 0.5, x + 0.5, x + 0.5, x - 0.5, x - 0.5], y: [y - 0.5, y - 0.5, y + 0.5, y + 0.5, y - 0.5] };
}
