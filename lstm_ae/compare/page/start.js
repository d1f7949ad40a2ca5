"use strict";
// What is shared: the data, what is shown and selected, and how text is made. Data becomes text nodes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const runs = new Map(data.runs.map((run) => [run.id, run]));
const state = { shown: data.runs, selected: null, hovered: null };
data.runs.forEach((run, place) => {
  run.rank = run.score === null ? null : place + 1;
});

const find = (id) => document.getElementById(id);

/** An element with attributes and children; a string among the children becomes a text node. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A value as one reads it. */
function written(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(4)));
}

const nameOf = (key) => data.names[key] ?? key;
const groupOf = (run) => data.groups[run.group];

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const clipped = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}\u2026` : text);

/** A dot in the colour of a group, or grey. */
function swatch(group) {
  const made = element("span", { class: "swatch", "aria-hidden": "true" });
  if (group && group.colour !== null) made.style.background = `var(--group-${group.colour})`;
  return made;
}

/** The settings, and the seed or fold, that tell a run from the others, in a line. */
function described(run) {
  const known = data.keys.filter((key, place) => (place < 8 || key === "source") && run.shown[key] !== "-");
  const words = known.map((key) => (key === "source" ? run.shown[key] : `${nameOf(key)} ${run.shown[key]}`));
  const repeated = data.repeats
    .filter((key) => (run.values[key] ?? null) !== null)
    .map((key) => `${key} ${run.values[key]}`);
  return [...words, ...repeated].join(", ");
}

/** Shows these runs and no others, everywhere. */
function show(shown) {
  state.shown = shown;
  drawPlots();
  listFigures();
}

let marking = 0;

/** Marks a run in the table and the plots for as long as the pointer is there. */
function hover(id) {
  if (state.hovered === id) return;
  state.hovered = id;
  markRows();
  clearTimeout(marking); // a pointer that sweeps over many rows draws for the last of them alone
  marking = setTimeout(markPlots, 30);
}

/** Selects a run, or none where it was selected already. */
function select(id) {
  state.selected = state.selected === id ? null : id;
  const run = runs.get(state.selected);
  find("selected").textContent = run ? `Selected: ${run.name} (${described(run) || run.state})` : "";
  markRows();
  markPlots();
  if (run) {
    compareWith(run);
    openFigures(run);
  }
}
