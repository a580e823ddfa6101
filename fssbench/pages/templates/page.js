"use strict";
// Pages say everything without this script; with it they can be sorted, filtered, compared and darkened.

const ready = (start) => document.readyState === "loading" ? addEventListener("DOMContentLoaded", start) : start();

/** What this browser remembers, where it may: pages opened as files sometimes may not. */
const memory = {
  get(key) { try { return localStorage.getItem(key); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(key, value); } catch { /* then it is asked again */ } },
};

const THEME = "fssbench-theme";
const remembered = memory.get(THEME);
if (remembered === "light" || remembered === "dark") document.documentElement.dataset.theme = remembered;

function offerThemes() {
  const button = document.getElementById("theme");
  const root = document.documentElement;
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const say = () => { button.textContent = isDark() ? "Light" : "Dark"; };
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    memory.set(THEME, root.dataset.theme);
    say();
  });
  button.setAttribute("aria-label", "Switch between light and dark");
  button.hidden = false;
  say();
}

/** What a cell is sorted by; null where there is nothing, which always comes last. */
function sortKey(row, column, kind) {
  const cell = row.cells[column];
  const text = (cell.dataset.value ?? cell.textContent).trim();
  if (kind === "text") return text;
  const number = Number(text.replaceAll(",", ""));
  return text === "" || Number.isNaN(number) ? null : number;
}

function columnOf(header) {
  let column = 0;
  for (let cell = header.previousElementSibling; cell; cell = cell.previousElementSibling) column += cell.colSpan;
  return column;
}

function sortBy(table, header) {
  const kind = header.dataset.sort;
  const first = kind === "text" ? "ascending" : "descending";
  const now = header.getAttribute("aria-sort");
  const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
  for (const other of table.tHead.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", order);
  const column = columnOf(header);
  const sign = order === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const keyed = [...body.rows].map((row) => [sortKey(row, column, kind), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (kind === "text" ? a.localeCompare(b) : a - b);
  });
  body.append(...keyed.map(([, row]) => row));
}

function offerSorting(where) {
  for (const table of where.querySelectorAll("table.sortable")) {
    for (const header of table.tHead.querySelectorAll("[data-sort]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...header.childNodes);
      button.addEventListener("click", () => sortBy(table, header));
      header.append(button);
    }
  }
}

/** Hide what was not asked for; the choice stands in the address, so that it can be passed on. */
function offerFilters(form) {
  const found = document.getElementById("found");
  const total = document.querySelectorAll(".group tbody tr").length;

  function apply(write = true) {
    const wanted = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
    const model = (wanted.model ?? "").toLowerCase().trim();
    let shown = 0;
    for (const question of document.querySelectorAll(".question")) {
      let inQuestion = 0;
      for (const group of question.querySelectorAll(".group")) {
        const fits = ["benchmark", "protocol", "shot", "numbers"].every((key) => !wanted[key] || group.dataset[key] === wanted[key]);
        let inGroup = 0;
        for (const row of group.querySelectorAll("tbody tr")) {
          row.hidden = !fits || (wanted.backbone && row.dataset.backbone !== wanted.backbone) || !row.dataset.model.includes(model);
          if (!row.hidden) inGroup += 1;
        }
        group.hidden = inGroup === 0;
        // What is folded opens where a row was asked for, and not only a benchmark.
        if (group.tagName === "DETAILS") group.open = inGroup > 0 && Boolean(model || wanted.backbone || wanted.numbers);
        inQuestion += inGroup;
      }
      question.hidden = inQuestion === 0;
      shown += inQuestion;
    }
    found.textContent = `${shown} of ${total} rows`;
    document.getElementById("none").hidden = shown > 0 || total === 0;
    if (!write) return;
    const chosen = new URLSearchParams(wanted).toString();
    try { history.replaceState(null, "", chosen ? `#${chosen}` : location.pathname); } catch { /* not for every file */ }
  }

  const chosen = new URLSearchParams(location.hash.slice(1));
  for (const field of form.elements) {
    const value = chosen.get(field.name);
    if (value && (field.type === "search" || [...field.options ?? []].some((option) => option.value === value))) field.value = value;
  }
  form.addEventListener("input", () => apply());
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply(false);  // the address may name a benchmark further down
}

/** An element with text or elements in it; text is never read as HTML. */
function make(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...content);
  return element;
}

function draw(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const percent = (value) => (100 * value).toFixed(1);
const points = (value) => (value < 0 ? "−" : "+") + Math.abs(100 * value).toFixed(1);
const pText = (p) => p === null ? "—" : p < 0.001 ? "< 0.001" : p.toFixed(3);

/** A difference with its interval, between −reach and reach. */
function shiftScale([value, low, high], reach) {
  const svg = draw("svg", { class: "scale", viewBox: "-50 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" });
  const at = (x) => (50 * x) / reach;
  svg.append(draw("rect", { class: "track", x: -50, y: 5, width: 100, height: 2 }));
  svg.append(draw("rect", { class: "value", x: Math.min(0, at(value)), y: 3, width: Math.abs(at(value)), height: 6 }));
  if (low !== null) svg.append(draw("path", { class: "whisker", d: `M${at(low)} 6H${at(high)}M${at(low)} 2V10M${at(high)} 2V10` }));
  svg.append(draw("path", { class: "zero", d: "M0 0V12" }));
  return svg;
}

/** Rows [name, first, second, difference] as a table; scores and differences as lists, or null. */
function sideTable(names, rows, what) {
  const ends = rows.flatMap(([, , , d]) => d ? d.slice(0, 3).filter((x) => x !== null).map(Math.abs) : []);
  const reach = Math.max(0.1, Math.ceil(10 * Math.max(0, ...ends)) / 10);
  const number = (text) => make("th", { scope: "col", class: "n", "data-sort": "number" }, text);
  const head = make("tr", {}, make("th", { scope: "col", "data-sort": "text" }, what), number(names[0]), number(names[1]),
    number("Difference"), make("td"), make("td", { class: "wide" }), number("p"));
  const body = make("tbody");
  for (const [name, a, b, d] of rows) {
    const score = (one, other) => make("td", { class: one && other && one[0] > other[0] ? "n better" : "n" }, one ? percent(one[0]) : "—");
    const scale = make("td", { class: "wide" });
    if (d) scale.append(shiftScale(d, reach));
    body.append(make("tr", {}, make("th", { scope: "row" }, name), score(a, b), score(b, a),
      make("td", { class: "n", "data-value": d ? d[0] : "" }, d ? points(d[0]) : "—"),
      make("td", { class: "n faint sure" }, d && d[1] !== null ? `${points(d[1])} to ${points(d[2])}` : ""),
      scale, make("td", { class: "n", "data-value": d?.[3] ?? "" }, d ? pText(d[3]) : "—")));
  }
  const table = make("table", { class: "figures sortable" }, make("thead", {}, head), body);
  return make("div", { class: "scroll" }, table);
}

/** What the first has more than the second, whichever way the two were compared. */
function difference(data, a, b) {
  const straight = data.pairs[`${a}/${b}`];
  const found = straight ?? data.pairs[`${b}/${a}`];
  if (!found) return null;
  const sign = straight ? 1 : -1;
  const turn = (d) => {
    if (!d || sign === 1) return d ?? null;
    const [value, low, high, p] = d;
    return [-value, high === null ? null : -high, low === null ? null : -low, p];
  };
  return { sentence: found.sentence, images: found.images, of: (key, inner) => turn(inner === undefined ? found[key] : found[key][inner]) };
}

function showSide(data, a, b) {
  const [first, second] = [a, b].map((id) => data.entries.find((entry) => entry.id === id));
  const side = document.getElementById("side");
  side.replaceChildren();
  const found = difference(data, a, b);
  const same = first.group === second.group;
  const verdict = a === b ? "These are one and the same."
    : found ? found.sentence
    : same ? "The results of one of them were not at hand when this page was made, so no paired difference is known."
    : "These were not asked the same episodes, or not scored alike: a difference would mean nothing.";
  const link = (entry) => make("a", { href: `models/${entry.id}.html` }, entry.label);
  side.append(make("p", { class: "verdict" }, verdict));
  side.append(make("p", { class: "note" }, link(first), ` · ${data.titles[first.group]}`, make("br"), link(second), ` · ${data.titles[second.group]}`));
  const names = [first.label, second.label];
  const byKey = (list, key) => list.find(([other]) => other === key)?.at(-1) ?? null;
  const keys = (one, two) => [...new Set([...one, ...two].map(([key]) => key))];
  const rows = [["mIoU", first.miou, second.miou, found?.of("miou") ?? null], ["FB-IoU", first.fb_iou, second.fb_iou, found?.of("fb_iou") ?? null]];
  for (const fold of keys(first.folds, second.folds)) {
    rows.push([`mIoU, fold ${fold}`, byKey(first.folds, fold), byKey(second.folds, fold), found?.of("folds", fold) ?? null]);
  }
  side.append(sideTable(names, rows, "In %"));
  if (found) side.append(make("p", { class: "note" }, `Difference: the first less the second, in points, with its 95 % interval and p-value if other ${found.images ? "images" : "episodes"} had been drawn.`));
  if (first.benchmark === second.benchmark) {
    const named = new Map([...first.classes, ...second.classes].map(([key, name]) => [key, name]));
    const classes = [...named].map(([key, name]) => [name, byKey(first.classes, key), byKey(second.classes, key), found?.of("classes", key) ?? null]);
    side.append(make("h2", {}, "Classes"), sideTable(names, classes, "IoU, %"));
    if (found) side.append(make("p", { class: "note" }, "p of classes is corrected for their number (Holm)."));
  }
  offerSorting(side);
}

function offerComparison(form) {
  const data = JSON.parse(document.getElementById("data").textContent);
  if (data.entries.length === 0) return;
  const selects = [form.elements.first, form.elements.second];
  for (const select of selects) {
    for (const [group, title] of Object.entries(data.titles)) {
      const options = make("optgroup", { label: title });
      for (const entry of data.entries) if (entry.group === group) options.append(make("option", { value: entry.id }, entry.label));
      select.append(options);
    }
  }
  const ids = data.entries.map((entry) => entry.id);

  function fromAddress() {
    const chosen = location.hash.slice(1).split("/");
    selects.forEach((select, n) => { select.value = ids.includes(chosen[n]) ? chosen[n] : ids[Math.min(n, ids.length - 1)]; });
    showSide(data, ...selects.map((select) => select.value));
  }

  form.addEventListener("input", () => {
    const chosen = selects.map((select) => select.value);
    try { history.replaceState(null, "", `#${chosen.join("/")}`); } catch { /* not for every file */ }
    showSide(data, ...chosen);
  });
  addEventListener("hashchange", fromAddress);
  form.hidden = false;
  fromAddress();
}

ready(() => {
  offerThemes();
  offerSorting(document);
  const filters = document.getElementById("filters");
  if (filters) offerFilters(filters);
  const choose = document.getElementById("choose");
  if (choose) offerComparison(choose);
});
