// Figures and tables: tooltips, sorting, search, downloads, colours. Everything is readable without it.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => Array.from(root.querySelectorAll(selector));

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const say = (text) => { $("#said").textContent = text; };
const fixed = (x, digits) => (Number.isFinite(x) ? x.toFixed(digits).replace("-", "−") : x > 0 ? "∞" : "–");
const percent = (p) => `${(100 * p).toFixed(p >= 0.0095 ? 1 : 2)}\u202f%`;

// ---- colours: system, light, dark
(() => {
  const button = $("#theme"), root = document.documentElement, kinds = ["", "light", "dark"];
  const show = (kind) => {
    if (kind) root.dataset.theme = kind; else delete root.dataset.theme;
    button.setAttribute("aria-label", `Colours: ${kind || "as the system"}`);
    button.title = button.getAttribute("aria-label");
    button.textContent = { "": "◐", light: "☀", dark: "☾" }[kind];
  };
  let kind = "";
  try { kind = localStorage.getItem("glotmix-theme") || ""; } catch { /* a page without storage keeps the system's */ }
  show(kinds.includes(kind) ? kind : "");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = kinds[(kinds.indexOf(root.dataset.theme || "") + 1) % 3];
    show(next);
    try { localStorage.setItem("glotmix-theme", next); } catch { /* as above */ }
  });
})();

// ---- data behind figures
function floats(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Float32Array(bytes.buffer);
}

function dataOf(holder) {
  if (!holder.data) {
    const data = JSON.parse($("script[type='application/json']", holder).textContent);
    if (data.coded) {
      const columns = data.coded.map(({ words, at, values }) => (words ? Array.from(floats(at), (i) => words[i]) : Array.from(floats(values), (v) => (Number.isNaN(v) ? null : Number(v.toPrecision(6))))));
      data.rows = columns[0].map((_, i) => columns.map((column) => column[i]));
    }
    if (data.packed) {
      const width = data.packed.columns.length, values = floats(data.packed.values), row = new Map();
      data.packed.runs.forEach((run, i) => { if (!row.has(run)) row.set(run, i); });
      data.columns = [...data.columns, ...data.packed.columns];
      data.rows = data.rows.map((cells) => {
        const at = row.get(cells[0]);
        const more = at === undefined ? new Array(width).fill(null) : Array.from(values.subarray(at * width, (at + 1) * width), (v) => (Number.isNaN(v) ? null : Number(v.toPrecision(6))));
        return [...cells, ...more];
      });
    }
    holder.data = data;
  }
  return holder.data;
}

// A cell that a spreadsheet would run as a formula gets an apostrophe; numbers stay numbers.
function csvCell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = /^[=+\-@\t\r]/.test(value) ? "'" + value : String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
const csvOf = (data) => [data.columns, ...data.rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";

function download(name, type, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A drawing on its own: the page's colours written into every element, so that any program can show it.
function svgOf(svg) {
  const copy = svg.cloneNode(true), from = [svg, ...$$("*", svg)], to = [copy, ...$$("*", copy)];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    for (const name of ["fill", "stroke", "stroke-width", "stroke-linecap", "opacity", "paint-order", "font-size", "font-weight", "font-family"]) {
      if (name.startsWith("font") && element.tagName !== "text") continue;
      to[i].setAttribute(name, style.getPropertyValue(name));
    }
    for (const name of ["class", "data-tip", "tabindex", "data-first"]) to[i].removeAttribute(name);
  });
  $(".cursor", copy)?.remove();
  const box = copy.viewBox.baseVal, ground = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  for (const [name, value] of [["width", box.width], ["height", box.height], ["fill", getComputedStyle(document.body).backgroundColor]]) ground.setAttribute(name, value);
  copy.insertBefore(ground, copy.children[2] || null);
  return '<?xml version="1.0" encoding="UTF-8"?>\n' + new XMLSerializer().serializeToString(copy);
}

const STEP = 200;
function fillTable(holder, details) {
  if ($("table", details)) return;
  const data = dataOf(holder), body = make("tbody");
  const numeric = data.columns.map((_, i) => data.rows.some((row) => typeof row[i] === "number"));
  const table = make("table", { class: "sortable" }, make("thead", {}, make("tr", {}, ...data.columns.map((c, i) => make("th", { scope: "col", class: numeric[i] ? "num" : "" }, String(c))))), body);
  let shown = 0;
  const more = make("button", { type: "button" });
  const add = (upto) => {
    for (; shown < Math.min(upto, data.rows.length); shown++) {
      body.append(make("tr", {}, ...data.rows[shown].map((v, i) => make("td", { class: numeric[i] ? "num" : "", "data-v": typeof v === "number" ? v : false }, v === null || v === undefined ? "–" : String(v)))));
    }
    more.hidden = shown >= data.rows.length;
    more.textContent = `Show all ${data.rows.length} rows`;
  };
  add(STEP);
  more.addEventListener("click", () => add(Infinity));
  details.append(make("div", { class: "scroll long", tabindex: "0", role: "region", "aria-label": data.name }, table), more);
  sortable(table, () => add(Infinity));
}

function equip(holder) {
  const details = $("details.table", holder), svgs = $$("svg", holder);
  details.addEventListener("toggle", () => { if (details.open) fillTable(holder, details); });
  const tools = $(".tools", holder), name = holder.id.replace("fig-", ""), buttons = [];
  if (svgs.length) {
    buttons.push(make("button", { type: "button", "data-svg": "", "aria-label": `Download ${name} as SVG`, onclick: () => {
      const svg = svgs.find((s) => getComputedStyle(s).display !== "none") || svgs[0];
      download(`${name}.svg`, "image/svg+xml", svgOf(svg));
    } }, "SVG"));
  }
  buttons.push(make("button", { type: "button", "data-csv": "", "aria-label": `Download ${name} as CSV`, onclick: () => download(`${name}.csv`, "text/csv", csvOf(dataOf(holder))) }, "CSV"));
  tools.prepend(...buttons);
  for (const svg of svgs.filter((s) => s.dataset.cell)) heatmap(svg, holder);
}

// ---- tables: sort by a click on the head, search where they are long
function sortable(table, before = () => {}) {
  const heads = $$("thead th", table), body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = make("button", { type: "button", onclick: () => {
      before();
      const down = head.getAttribute("aria-sort") === "descending" || (!head.hasAttribute("aria-sort") && !head.classList.contains("num"));
      heads.forEach((h) => h.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "ascending" : "descending");
      const key = (row) => { const cell = row.cells[column]; return cell.dataset.v !== undefined ? Number(cell.dataset.v) : head.classList.contains("num") ? null : cell.textContent; };
      const rows = Array.from(body.rows, (row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (a === null || b === null) return (a === null) - (b === null);
        const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
        return down ? order : -order;
      });
      body.append(...rows.map(([, row]) => row));
      say(`Sorted by ${head.textContent}, ${down ? "ascending" : "descending"}`);
    } }, ...head.childNodes);
    head.append(button);
  });
  if (table.dataset.search) {
    const field = make("input", { type: "search", placeholder: "Search", "aria-label": `Search: ${table.caption.textContent}` });
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const row of body.rows) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    });
    table.parentElement.before(field);
  }
}

// ---- tooltips
const tip = $("#tip");
// a tip that follows an element stays where the page scrolls, as it does while arrow keys walk over a drawing
let followed = null;
function showTip(text, x, y, follow = null) {
  followed = follow;
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(innerWidth - box.width - 4, x + 12))}px`;
  tip.style.top = `${y + 16 + box.height > innerHeight ? y - box.height - 10 : y + 16}px`;
}
const hideTip = () => { tip.hidden = true; };

function nearestDot(svg, event) {
  const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  let best = null, least = 12 * 12;
  for (const path of $$("path.dots", svg)) {
    path.points ??= Array.from(path.getAttribute("d").matchAll(/M([\d.-]+) ([\d.-]+)h0/g), (m) => [Number(m[1]), Number(m[2])]);
    path.points.forEach(([x, y], i) => {
      const d = (x - at.x) ** 2 + (y - at.y) ** 2;
      if (d < least) { least = d; best = Number(path.dataset.first) + i; }
    });
  }
  return best;
}

document.addEventListener("pointermove", (event) => {
  const target = event.target;
  if (!(target instanceof Element)) return hideTip();
  const holder = target.closest("[data-tip]");
  if (holder) return showTip(holder.dataset.tip, event.clientX, event.clientY);
  const svg = target.closest("svg");
  if (svg && $("path.dots", svg)) {
    const row = nearestDot(svg, event);
    if (row !== null) {
      const data = dataOf(svg.closest("figure"));
      return showTip(data.rows[row].map((v, i) => `${data.columns[i]} ${v}`).join("\n"), event.clientX, event.clientY);
    }
  }
  if (!svg || !svg.dataset.cell) hideTip();
});
document.addEventListener("pointerleave", hideTip);
addEventListener("scroll", () => {
  const box = tip.hidden ? null : followed?.getBoundingClientRect();
  if (box) showTip(tip.textContent, box.right, box.bottom, followed);
  else hideTip();
}, { passive: true });

// ---- the transfer matrix: pointer and arrow keys walk over its cells
function heatmap(svg, holder) {
  const { left, top, cell, row, columns, rows } = Object.fromEntries(Object.entries(svg.dataset).map(([k, v]) => [k, Number(v)]));
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  cursor.setAttribute("class", "cursor");
  let at = [0, 0];
  const text = ([i, j]) => {
    const [target, source, value, low, high] = dataOf(holder).rows[i * columns + j], names = explorerNames();
    const range = low === null ? "" : ` (${fixed(low, 3)} to ${fixed(high, 3)})`;
    return `${names(source)} → ${names(target)}\n${value > 0 ? "+" : ""}${fixed(value, 3)}${range} ${dataOf(holder).columns[2].replace(/^value \((.*)\)$/, "$1")}`;
  };
  const put = (i, j) => {
    at = [i, j];
    for (const [name, value] of [["x", left + j * cell], ["y", top + i * row], ["width", cell], ["height", row]]) cursor.setAttribute(name, value);
    svg.append(cursor);
  };
  svg.addEventListener("pointermove", (event) => {
    const p = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const i = Math.floor((p.y - top) / row), j = Math.floor((p.x - left) / cell);
    if (i < 0 || j < 0 || i >= rows || j >= columns) { cursor.remove(); return hideTip(); }
    put(i, j);
    showTip(text(at), event.clientX, event.clientY);
  });
  svg.addEventListener("pointerleave", () => { cursor.remove(); hideTip(); });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    put(Math.max(0, Math.min(rows - 1, at[0] + step[0])), Math.max(0, Math.min(columns - 1, at[1] + step[1])));
    const box = cursor.getBoundingClientRect();
    showTip(text(at), box.right, box.bottom, cursor);
    say(text(at).replace("→", "to"));
  });
  svg.addEventListener("blur", () => { cursor.remove(); hideTip(); });
}

let names = null;
function explorerNames() {
  if (!names) {
    const data = $("#explorer-data");
    names = data ? JSON.parse(data.textContent).names : {};
  }
  return (tag) => names[tag] || tag;
}

for (const holder of $$("figure, .held")) equip(holder);
for (const table of $$("table.sortable")) sortable(table);
// ---- panels that wait behind a menu: kept as text, so that a hundred of them cost nothing until one is asked for
for (const menu of $$("select.panel-menu")) {
  const store = menu.closest("label").nextElementSibling, panels = store.nextElementSibling;
  let waiting = null;
  menu.addEventListener("change", () => {
    if (!menu.value.trim()) return;
    waiting ??= JSON.parse(store.textContent);
    let figure = document.getElementById(`fig-${menu.value}`);
    if (!figure) {
      panels.insertAdjacentHTML("afterbegin", waiting[menu.value]);
      figure = panels.firstElementChild;
      equip(figure);
    } else panels.prepend(figure);
    say($("h4", figure).textContent);
  });
}

// ---- the decision card, to be sent on: a picture, or one printed page
for (const tools of $$("#card-tools")) {
  const picture = JSON.parse($("script", tools).textContent), address = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture)}`;
  const png = () => {
    const image = new Image();
    image.onload = () => {
      const canvas = make("canvas", { width: 2 * image.width, height: 2 * image.height });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((blob) => download("card.png", "image/png", blob), "image/png");
    };
    image.src = address;
  };
  const print = () => {
    document.documentElement.dataset.print = "card";
    addEventListener("afterprint", () => { delete document.documentElement.dataset.print; }, { once: true });
    window.print();
  };
  const button = (key, text, onclick) => make("button", { type: "button", [`data-card-${key}`]: "", onclick }, text);
  tools.append("This card: ", button("png", "PNG", png), button("svg", "SVG", () => download("card.svg", "image/svg+xml", picture)), button("print", "print it (PDF)", print));
}

// ---- which section is being read
if ("IntersectionObserver" in window) {
  const links = new Map($$("nav.bar a").map((link) => [link.getAttribute("href").slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      links.forEach((link) => link.removeAttribute("aria-current"));
      links.get(entry.target.id)?.setAttribute("aria-current", "true");
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of $$("main > section")) seen.observe(section);
}
