"use strict";
// Shared: the data, the shown and selected runs, and text helpers. Data becomes text nodes, never markup.

const data = JSON.parse(document.getElementById("data").textContent);
const pictures = JSON.parse(document.getElementById("pictures").textContent);
const tables = JSON.parse(document.getElementById("tables").textContent);
const runs = new Map(data.runs.map((run) => [run.id, run]));
const state = { shown: data.runs, selected: null, hovered: null };

const find = (id) => document.getElementById(id);

/** Creates an element with attributes and children; a string among the children becomes a text node. */
function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Formats a value as text. */
function formatValue(value) {
  if (value === null || value === undefined) return "-";
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(4)));
}

const nameOf = (key) => data.names[key] ?? key;
const groupOf = (run) => data.groups[run.group];
for (const run of data.runs) Object.assign(run, { rank: groupOf(run).rank, verdict: groupOf(run).verdict });

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const truncated = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}\u2026` : text);

/** Creates a dot in the colour of a group, or grey. */
function swatch(group) {
  const node = element("span", { class: "swatch", "aria-hidden": "true" });
  if (group && group.colour !== null) node.style.background = `var(--group-${group.colour})`;
  return node;
}

/** Describes a run in one line: the settings that differ, and its seed or fold. */
function describe(run) {
  const known = data.keys.filter((key, place) => (place < 8 || key === "source") && run.shown[key] !== "-");
  const words = known.map((key) => (key === "source" ? run.shown[key] : `${nameOf(key)} ${run.shown[key]}`));
  const repeated = data.repeats
    .filter((key) => (run.values[key] ?? null) !== null)
    .map((key) => `${key} ${run.values[key]}`);
  return [...words, ...repeated].join(", ");
}

/** Shows only these runs in the plots and figures. */
function show(shown) {
  state.shown = shown;
  drawPlots();
  listFigures();
}

let marking = 0;

/** Highlights a run in the table and the plots while the pointer is over it. */
function hover(id) {
  if (state.hovered === id) return;
  state.hovered = id;
  markRows();
  clearTimeout(marking); // when the pointer moves over many rows, only the last one is drawn
  marking = setTimeout(markPlots, 30);
}

/** Selects a run, or deselects it if it is selected. */
function select(id) {
  state.selected = state.selected === id ? null : id;
  const run = runs.get(state.selected);
  find("selected").textContent = run ? `Selected: ${run.name} (${describe(run) || run.state})` : "";
  markRows();
  markPlots();
  if (run) {
    compareWith(run);
    openFigures(run);
  }
}
