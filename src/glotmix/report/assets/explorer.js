// The explorer: move shares, see what the law expects, let the page find the optimum under other aims and limits. What it shows
// follows from its state alone (aim, weights, limits, held shares, sizes, mixture), never from the order of clicks; the state
// travels in the address.
(() => {
  const place = $("#explorer"), source = $("#explorer-data");
  if (!place || !source) return;
  const data = JSON.parse(source.textContent), law = new Law(data.law), L = law.L, T = law.T;
  const nameOf = (tag) => data.names[tag] || tag, said = (tag) => `\u2068${nameOf(tag)}\u2069`; // in a sentence, set apart
  const references = Object.keys(data.mixtures), sizes = { N: law.N, D: law.D };
  const packed = data.runs.length ? JSON.parse($("#runs script").textContent).packed : null;
  const runs = packed ? floats(packed.values) : new Float32Array(0), width = packed ? packed.columns.length : 0;
  const studyLow = Float64Array.from(data.floors), studyHigh = Float64Array.from(data.ceilings, (c, l) => Math.max(c, data.floors[l]));
  const groups = data.limits.map((g) => ({ ...g, members: g.members.map((tag) => law.languages.indexOf(tag)) }));

  // ---- the weights on offer: every language trained on alike, the study's own, only those outside, or the reader's
  const equal = law.own.map((l) => (l < 0 ? 0 : 1)), outside = law.own.map((l) => (l < 0 ? 1 : 0));
  const studies = law.targets.map((t) => data.weights[t] ?? 0), same = (a, b) => a.every((v, i) => v === b[i]);
  // scores are told in points, of which more is better; inside, their errors are as losses are
  const scored = data.scored ?? [], scores = law.targets.map((_, t) => (scored[t] != null ? 1 : 0)), some = scores.includes(1);
  if (some) outside.forEach((_, t) => { equal[t] *= 1 - scores[t]; outside[t] *= 1 - scores[t]; });
  const turned = (t) => scored[t] === true, told = (t, v) => (scores[t] ? 100 * (turned(t) ? 1 - v : v) : v);
  const offers = { equal: `every ${data.mixes} alike`, study: "the study's weights", outside: "only those outside the mixture", scores: "only the scores", own: "my own weights" };
  if (same(studies, equal) || !studies.some((w) => w > 0)) delete offers.study;
  if (!outside.some((w) => w) || same(studies, outside)) delete offers.outside;
  if (!equal.some((w) => w)) delete offers.equal;
  if (!some || same(studies, scores)) delete offers.scores;

  let low = studyLow.slice(), high = studyHigh.slice(), kind = data.objective === "weighted" ? "mean" : data.objective;
  let whose = offers.study ? "study" : offers.equal ? "equal" : "scores", own = (offers.study ? studies : equal).slice();
  let against = ["current", "natural", "uniform"].find((n) => data.mixtures[n]) || references[0];
  let p = Float64Array.from(data.mixtures[data.start]), drag = null, message = "", touched = false;
  const locked = new Array(L).fill(false);
  const others = Object.fromEntries(references.map((name) => [name, law.predict(Float64Array.from(data.mixtures[name]))]));
  const weights = () => ({ equal, study: studies, outside, scores, own })[whose];

  // A held share is a floor and a ceiling. One language may be left out, whose share is being moved.
  function limitsNow(without = -1) {
    const lo = low.slice(), hi = high.slice();
    locked.forEach((held, l) => { if (held && l !== without) lo[l] = hi[l] = p[l]; });
    return { low: lo, high: hi, groups };
  }
  const fit = (q, limits = limitsNow()) => project(Float64Array.from(q, (v) => Math.max(v, 1e-9)), limits);

  // ---- the aim: relative objectives compare with each target's own best loss under the same limits, which is found once per
  // limits and size (the study tells it for its own)
  const bests = new Map();
  let objective = null;
  const problem = () => ({ kind, weights: [...weights()], q: data.quantile, penalty: data.penalty, limits: limitsNow(), N: law.N, D: law.D });
  const keyOf = ({ limits, weights, N, D }) => JSON.stringify([[...limits.low], [...limits.high], weights.map((w) => w > 0), N, D]);

  function knownBests(asked) {
    if (!RELATIVE.includes(kind)) return [];
    const asStudied = same(limitsNow().low, studyLow) && same(limitsNow().high, studyHigh) && law.N === sizes.N && law.D === sizes.D;
    if (asStudied && law.targets.every((tag, t) => !(asked.weights[t] > 0) || data.reference[tag] !== undefined)) return law.targets.map((tag) => data.reference[tag] ?? 1);
    return bests.get(keyOf(asked)) ?? null;
  }

  function aim() {
    const asked = problem(), best = knownBests(asked);
    objective = best && new Objective(kind, asked.weights, best.length ? best : null, data.quantile);
    if (!objective) ask({ ...asked, best: null, starts: null }, (found) => { bests.set(keyOf(asked), found.best); aim(); draw(); });
  }

  // ---- a worker, so that solving never blocks the page; where none may run, the page itself after a breath
  let worker = null, waitingFor = 0;
  function ask(asked, then) {
    const id = ++waitingFor;
    busy(asked.starts ? "Solving …" : `Finding each ${data.measures}'s own best …`);
    const done = (found) => { if (id === waitingFor) { busy(""); then(found); } };
    const inPage = () => { worker = null; setTimeout(() => { if (id === waitingFor) done(answer(new Law({ ...data.law, resamples: null }), asked, () => {})); }, 30); };
    worker?.terminate();
    try {
      const glue = `const law = new Law(${JSON.stringify({ ...data.law, resamples: null })}); onmessage = ({ data }) => postMessage({ found: answer(law, data, (part) => postMessage({ part })) });`;
      const address = URL.createObjectURL(new Blob([$("#law-script").textContent, "\n", glue], { type: "text/javascript" }));
      worker = new Worker(address);
      worker.onmessage = ({ data: told }) => {
        if (told.found) { URL.revokeObjectURL(address); done(told.found); }
        else if (id === waitingFor) busy(`Finding each ${data.measures}'s own best … ${Math.round(100 * told.part)}\u202f%`);
      };
      worker.onerror = (event) => { event.preventDefault(); inPage(); };
      worker.postMessage(asked);
    } catch { inPage(); }
  }
  function busy(text) {
    root.setAttribute("aria-busy", text ? "true" : "false");
    solve.disabled = text.startsWith("Solving");
    working.textContent = text;
  }

  // ---- the frame
  const root = make("div", { class: "explorer", "aria-busy": "false" });
  const kinds = { mean: some ? "mean loss, or error of scores" : "mean loss", normalised: `mean loss over each ${data.measures}'s own best`, worst: `worst ${data.measures}, over its own best`, regret: "largest loss over own best", quantile: `loss over own best that ${+(100 * data.quantile).toFixed(1)}\u202f% of the ${data.measures}s keep below` };
  const unitOf = () => (some && !weights().some((w, t) => w > 0 && !scores[t]) ? "1 - score" : data.unit);
  const units = { mean: () => `, ${unitOf()}`, regret: () => `, ${unitOf()}` };
  const options = (table, chosen) => Object.entries(table).map(([k, text]) => make("option", { value: k, selected: k === chosen }, text));
  const kindMenu = make("select", { id: "x-objective", "aria-label": "Objective" }, ...options(kinds, kind));
  const weightMenu = make("select", { id: "x-weights", "aria-label": "Weights" }, ...options(offers, whose));
  const againstMenu = make("select", { id: "x-against", "aria-label": "Compare with" }, ...references.map((n) => make("option", { value: n, selected: n === against }, n)));
  const start = make("span", { class: "controls", role: "group", "aria-label": "Start from" }, ...references.map((n) => make("button", { type: "button", "data-start": n, onclick: () => startFrom(n) }, n)));
  const solve = make("button", { type: "button", id: "x-solve" }, "Find the optimum");
  const limits = make("button", { type: "button", id: "x-limits", "aria-pressed": "false" }, "Floors and ceilings");
  const link = make("button", { type: "button", id: "x-link" }, "Copy a link to this");
  const value = make("b"), range = make("span"), gap = make("span"), near = make("span", { class: "near" });
  const working = make("span", { class: "near", id: "x-working" }), note = make("span", { class: "near said", id: "x-note" });
  const score = make("div", { class: "score", role: "status" }, value, range, gap, working, note, near);
  const dials = make("div", { class: "list", id: "x-dials" }), guesses = make("div", { class: "list", id: "x-guesses" });
  const search = make("input", { type: "search", placeholder: `Search a ${data.mixes}`, "aria-label": `Search a ${data.mixes}` });
  const group = make("select", { "aria-label": "Group by" }, ...["share", ...Object.keys(data.groups)].map((g) => make("option", { value: g }, g === "share" ? "by share" : `by ${g}`)));
  const scales = make("span", { class: "controls" });
  const taken = takeAway(() => law.languages.map((n, l) => [n, p[l]]).filter(([, q]) => q > 0));
  root.append(
    make("div", { class: "controls" }, make("span", {}, "Start from"), start),
    make("div", { class: "controls" }, make("label", {}, "Minimise ", kindMenu), make("label", {}, "weighing ", weightMenu), solve, limits, make("label", {}, "Compare with ", againstMenu), scales, link),
    score,
    make("div", { class: "sides" },
      make("div", {}, make("h3", {}, "Shares"), L > 12 ? make("div", { class: "controls" }, search, group) : "", dials),
      make("div", {}, make("h3", {}, some ? `Predicted loss (${data.unit}), or score (points)` : `Predicted loss (${data.unit})`), key(), guesses)),
    taken.place,
  );
  place.replaceChildren(root);

  function key() {
    const parts = references.filter((n) => n !== "optimum").slice(0, 5).map((n) => make("span", { class: css(n) }, n));
    return make("p", { class: "key" }, make("span", { class: "yours" }, `◆ your mixture, 95\u202f% interval of the law${law.note ? ` (${law.note})` : ""}`), ...parts, ...(references.includes("optimum") ? [make("span", { class: css("optimum") }, "optimum")] : []));
  }
  function css(name) { return ["optimum", "natural", "uniform", "current", "temperature", "unimax"].includes(name) ? `s-${name}` : "s-other"; }

  const fields = {};
  for (const [letter, text] of [["N", "Parameters N"], ["D", "Tokens D"]]) {
    if (law.varies.has(letter)) {
      const field = make("input", { type: "number", id: `x-${letter}`, value: law[letter], min: 1, step: "any" });
      field.addEventListener("change", () => {
        if (field.valueAsNumber >= 1) { law[letter] = field.valueAsNumber; tell(""); rescale(); changed(); }
        else tell(`${text} must be a number of at least 1; it was put back to ${law[letter]}.`);
        field.value = law[letter];
      });
      fields[letter] = field;
      scales.append(make("label", {}, `${text} `, field));
    }
  }
  function rescale() {
    for (const name of references) others[name] = law.predict(Float64Array.from(data.mixtures[name]));
    placeReferences();
  }

  // ---- dials: one per language
  const percentOf = (v) => +(100 * v).toFixed(3);
  const rows = law.languages.map((tag, l) => {
    const slider = make("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": `Share of ${nameOf(tag)}` });
    const number = make("input", { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `Share of ${nameOf(tag)} in per cent` });
    const lock = make("button", { type: "button", "aria-pressed": "false", "aria-label": `Hold ${nameOf(tag)}`, title: "Hold this share" }, padlock());
    const floor = make("input", { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `Floor of ${nameOf(tag)} in per cent` });
    const ceiling = make("input", { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `Ceiling of ${nameOf(tag)} in per cent` });
    const epochs = make("span");
    const row = make("div", { class: "dial", "data-language": tag }, make("bdi", { class: "n", title: tag }, nameOf(tag)), slider, number, lock,
      make("div", { class: "limits" }, make("label", {}, "from", floor), make("label", {}, "to", ceiling), epochs));
    slider.addEventListener("pointerdown", () => { drag = p.slice(); });
    slider.addEventListener("keydown", () => { drag = null; });
    slider.addEventListener("change", () => { drag = null; if (RELATIVE.includes(kind) && locked[l]) aim(); draw(); });
    slider.addEventListener("input", () => move(l, fromSlider(slider.valueAsNumber)));
    number.addEventListener("change", () => typed(l, number));
    lock.addEventListener("click", () => { hold(l, !locked[l]); tell(""); changed(); });
    for (const field of [floor, ceiling]) field.addEventListener("change", () => limit(l, floor, ceiling));
    return { row, slider, number, lock, floor, ceiling, epochs, seen: true };
  });
  function hold(l, held) { rows[l].lock.setAttribute("aria-pressed", (locked[l] = held)); }
  // the slider's middle is 14 %, so that small languages have room: position = 1000 sqrt(share) where there are many
  const top = L > 12 ? 2.5 : 1.6;
  function fromSlider(x) { return Math.pow(x / 1000, top); }
  function toSlider(q) { return 1000 * Math.pow(q, 1 / top); }

  function arrange() {
    const order = [...rows.keys()].sort((a, b) => p[b] - p[a] || a - b);
    dials.replaceChildren();
    if (group.value === "share" || L <= 12) return dials.append(...order.map((l) => rows[l].row));
    const names = data.groups[group.value] || {}, sets = new Map();
    for (const l of order) {
      const name = names[law.languages[l]] || "unknown";
      sets.set(name, [...(sets.get(name) || []), l]);
    }
    for (const [name, members] of [...sets].sort((a, b) => sum(b[1]) - sum(a[1]))) dials.append(make("h4", {}, `${name} · ${members.length} · ${percent(sum(members))}`), ...members.map((l) => rows[l].row));
    function sum(members) { return members.reduce((s, l) => s + p[l], 0); }
  }
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    const hide = (tag) => !`${nameOf(tag)} ${tag}`.toLowerCase().includes(wanted);
    rows.forEach(({ row }, l) => { row.hidden = hide(law.languages[l]); row.style.display = row.hidden ? "none" : ""; });
    marks.forEach(({ row }, t) => { row.style.display = hide(law.targets[t]) ? "none" : ""; });
  });
  group.addEventListener("change", arrange);

  // ---- moving one share: the rest keep their proportions, within the limits; locked ones stay
  function moved(l, wanted, from) {
    const bounds = limitsNow(l), { low: lo, high: hi } = bounds;
    let least = 1, most = 1;
    for (let k = 0; k < L; k++) if (k !== l) { least -= hi[k]; most -= lo[k]; }
    const within = (q) => Math.max(Math.min(Math.max(q, lo[l], least), hi[l], most), 0), base = Float64Array.from(from, (v) => Math.max(v, 1e-9));
    const at = (q) => {
      const inner = { low: lo.slice(), high: hi.slice(), groups };
      inner.low[l] = inner.high[l] = within(q);
      const next = project(base, inner);
      return violation(next, inner) < 1e-8 ? next : null;
    };
    const straight = at(wanted);
    if (straight) return straight;
    // limits on groups stop a share before its own do: the furthest that they allow
    let good = p[l], bad = wanted;
    for (let i = 0; i < 24; i++) {
      const half = (good + bad) / 2;
      if (at(half)) good = half; else bad = half;
    }
    return at(good) ?? p;
  }
  function move(l, wanted) { p = moved(l, wanted, drag || p); request(); }
  // a typed number that cannot be is replaced by the nearest one that can, and the page says so
  function typed(l, field) {
    drag = null;
    const wanted = field.value.trim() === "" ? NaN : field.valueAsNumber / 100, name = said(law.languages[l]);
    if (Number.isFinite(wanted)) {
      p = moved(l, wanted, p);
      tell(Math.abs(p[l] - wanted) < 5e-6 ? "" : `${name} cannot have ${percentOf(wanted)}\u202f% within these limits and held shares; the nearest is ${percentOf(p[l])}\u202f%.`);
    } else tell(`A share is a number from 0 to 100; ${name} was put back to ${percentOf(p[l])}\u202f%.`);
    write(l);
    changed();
  }
  function write(l) { rows[l].number.value = (100 * p[l]).toFixed(p[l] < 0.0095 ? 2 : 1); }

  function limit(l, floor, ceiling) {
    const lo = low.slice(), hi = high.slice();
    lo[l] = floor.valueAsNumber / 100;
    hi[l] = ceiling.valueAsNumber / 100;
    const kept = !locked[l] || (lo[l] <= p[l] + 1e-9 && p[l] <= hi[l] + 1e-9);
    const wanted = kept && lo[l] >= 0 && hi[l] <= 1 && lo[l] <= hi[l], before = [low, high];
    [low, high] = [lo, hi];
    const bounds = limitsNow(), next = wanted ? fit(p, bounds) : p;
    if (!wanted || violation(next, bounds) > 1e-8) {
      [low, high] = before;
      tell(`No mixture can meet that limit for ${said(law.languages[l])} beside the other limits and the held shares; it was put back.`);
    } else {
      p = next;
      tell("");
    }
    writeLimits(l);
    changed();
  }
  function writeLimits(l) {
    rows[l].floor.value = percentOf(low[l]);
    rows[l].ceiling.value = percentOf(high[l]);
  }

  // A reference mixture as far as the limits and the held shares let it
  function startFrom(name) {
    const wanted = Float64Array.from(data.mixtures[name]), bounds = limitsNow();
    const next = violation(wanted, bounds) < 1e-6 ? wanted : fit(wanted, bounds);
    tell(next === wanted ? "" : `The mixture ${name} does not keep these limits and held shares; this is the nearest that does.`);
    setMixture(next, `Mixture: ${name}`);
  }
  function setMixture(next, said) {
    [drag, p] = [null, next];
    arrange();
    changed();
    say(said);
  }
  function tell(text) { message = text; note.textContent = text; }
  // after every action of the reader's: the aim follows from the state, then everything is drawn
  function changed() {
    touched = true;
    aim();
    draw();
  }

  // ---- predicted losses: one strip per target, the baselines as ticks
  const marks = law.targets.map((tag, t) => {
    const live = make("span", { class: "live" }), band = make("span", { class: "range" }), strip = make("div", { class: "strip" });
    const refs = references.map((name) => { const r = make("span", { class: `ref ${css(name)}` }); strip.append(r); return r; });
    strip.append(band, live);
    const big = make("b"), change = make("em"), small = make("i"), v = make("div", { class: "v" }, big, " ", change, small);
    const where = law.own[t] < 0 ? " (outside)" : "";
    const weight = make("input", { type: "number", min: 0, step: "any", "aria-label": `Weight of ${nameOf(tag)}` }), shown = make("small");
    const row = make("div", { class: "guess", "data-target": tag }, make("span", { class: "n", title: tag + where }, make("bdi", {}, nameOf(tag)), make("span", { class: "weight" }, weight, shown, where)), strip, v);
    weight.addEventListener("change", () => {
      const next = own.slice();
      next[t] = weight.value.trim() === "" ? NaN : weight.valueAsNumber;
      if (next[t] >= 0 && next.some((w) => w > 0)) { own = next; tell(""); }
      else tell(next[t] >= 0 ? `One ${data.measures} at least must have a weight above 0; it was put back.` : "A weight is a number of at least 0; it was put back.");
      weight.value = own[t];
      changed();
    });
    return { row, live, band, refs, big, small, change, weight, shown, from: 0, to: 1, seen: true };
  });
  guesses.append(...marks.map((m) => m.row));
  function weigh() {
    root.classList.toggle("weighing", whose === "own");
    weightMenu.value = whose;
    marks.forEach((m, t) => { m.weight.value = own[t]; m.shown.textContent = `weight ${weights()[t]}`; });
  }
  const at = (m, v) => Math.max(0, Math.min(100, (100 * (v - m.from)) / (m.to - m.from)));
  function placeReferences() {
    marks.forEach((m, t) => {
      const seen = references.map((name) => others[name][t]).filter(Number.isFinite);
      const a = Math.min(...seen), b = Math.max(...seen), room = Math.max(b - a, 0.02 * Math.abs(b)) * 0.6;
      [m.from, m.to] = [a - room, b + room];
      references.forEach((name, i) => {
        m.refs[i].hidden = !Number.isFinite(others[name][t]);
        m.refs[i].style.transform = `translateX(${at(m, others[name][t])}%)`;
      });
    });
  }

  // ---- drawing: at most once per frame, and only the rows in sight
  const items = new Map([...rows, ...marks].map((item) => [item.row, item]));
  if ("IntersectionObserver" in window) {
    const sight = new IntersectionObserver((entries) => {
      for (const entry of entries) items.get(entry.target).seen = entry.isIntersecting;
      request();
    }, { rootMargin: "300px" });
    for (const row of items.keys()) sight.observe(row);
  }
  // With many languages the objective's interval (all targets, all resamples) waits until the share rests.
  const heavy = law.B * law.T * L > 200000;
  let waiting = false, rest = 0;
  function request() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw(heavy);
      clearTimeout(rest);
      if (heavy) rest = setTimeout(draw, 200);
    });
  }

  function draw(moving = false) {
    const loss = law.predict(p), resampled = law.predictResamples(p, moving ? marks.map((m) => m.seen) : null), focus = document.activeElement;
    rows.forEach(({ slider, number, epochs, seen }, l) => {
      if (!seen) return;
      if (slider !== focus || drag === null) slider.value = toSlider(p[l]);
      if (number !== focus) write(l);
      slider.setAttribute("aria-valuetext", percent(p[l]));
      if (data.epochs[l] !== null && root.classList.contains("limited")) epochs.textContent = `${fixed(data.epochs[l] * p[l], 2)} epochs`;
    });
    const other = others[against];
    marks.forEach((m, t) => {
      if (!m.seen) return;
      const v = loss[t], ends = law.interval(t, resampled, v), change = v - other[t], shown = told(t, v) - told(t, other[t]);
      const digits = scores[t] ? 1 : 3, range = ends && ends.map((x) => told(t, x)).sort((a, b) => a - b);
      m.live.style.transform = `translateX(${at(m, v)}%)`;
      m.live.classList.toggle("beyond", v < m.from || v > m.to);
      if (ends) m.band.style.transform = `translateX(${at(m, ends[0])}%) scaleX(${Math.max(0.004, (at(m, ends[1]) - at(m, ends[0])) / 100)})`;
      m.row.classList.toggle("cut-low", Boolean(ends) && ends[0] < m.from);
      m.row.classList.toggle("cut-high", Boolean(ends) && ends[1] > m.to);
      m.big.textContent = fixed(told(t, v), digits);
      m.change.textContent = `${shown > 0 ? "+" : ""}${fixed(shown, digits)}`;
      m.small.textContent = range ? `${fixed(range[0], digits)} to ${fixed(range[1], digits)}` : "";
      m.row.classList.toggle("better", change < -5e-4);
      m.row.classList.toggle("worse", change > 5e-4);
    });
    const f = objective ? objective.value(loss) : NaN, g = objective ? objective.value(other) : NaN;
    const interval = moving || !objective ? null : law.objectiveInterval(objective, resampled, f);
    const weighted = !same(weights(), weights().map((w) => (w > 0 ? 1 : 0))) && kind !== "quantile";
    value.textContent = objective ? fixed(f, 4) : "…";
    range.textContent = `${weighted ? "weighted " : ""}${kinds[kind]}${units[kind]?.() ?? ""}` + (interval ? `; 95\u202f% interval of the law ${fixed(interval[0], 4)} to ${fixed(interval[1], 4)}` : "");
    gap.textContent = objective && against ? `${f - g > 0 ? "+" : ""}${fixed(f - g, 4)} against ${against}` : "";
    near.textContent = distanceWords();
    root.state = { p, loss, objective: f, interval, intervals: () => Array.from(loss, (v, t) => law.interval(t, resampled, v)), message, busy: root.getAttribute("aria-busy") === "true" };
    if (taken.place.open) taken.write();
    if (touched && !moving) remember();
  }

  function distanceWords() {
    const parts = [];
    if (runs.length) {
      let least = Infinity;
      for (const r of data.runs) {
        let d = 0;
        for (let l = 0, i = r * width; l < L && d < 2 * least; l++, i++) d += Math.abs(runs[i] - p[l]);
        least = Math.min(least, d / 2);
      }
      parts.push(`The nearest run differs in ${percent(least)} of its tokens${least > 0.3 ? ": the law extrapolates" : ""}.`);
    }
    const many = [...p.keys()].filter((l) => data.epochs[l] !== null && data.epochs[l] * p[l] > 4.001);
    if (many.length) parts.push(`Read more than 4 times: ${many.slice(0, 4).map((l) => said(law.languages[l])).join(", ")}${many.length > 4 ? ` and ${many.length - 4} more` : ""}.`);
    return parts.join(" ");
  }

  // ---- the optimum under this aim and these limits
  solve.addEventListener("click", () => {
    const asked = problem(), even = new Float64Array(L).fill(1 / L);
    const starts = [p, even, ...references.slice(0, 6).map((name) => Float64Array.from(data.mixtures[name]))];
    ask({ ...asked, best: knownBests(asked), starts }, (found) => {
      if (found.best?.length && RELATIVE.includes(kind)) bests.set(keyOf(asked), found.best);
      tell("");
      setMixture(found.p, "Found the optimum");
    });
  });
  kindMenu.addEventListener("change", () => { kind = kindMenu.value; changed(); });
  weightMenu.addEventListener("change", () => {
    if (weightMenu.value === "own") own = [...weights()];
    whose = weightMenu.value;
    weigh();
    changed();
  });
  againstMenu.addEventListener("change", () => { against = againstMenu.value; changed(); });
  limits.addEventListener("click", () => { limits.setAttribute("aria-pressed", root.classList.toggle("limited")); draw(); });

  // ---- the state in the address: only what differs from the page as it opens, keyed by language
  function address() {
    const parts = { aim: kind, weights: whose, against, p: listText(law.languages, [...p]), low: listText(law.languages, [...low], studyLow), high: listText(law.languages, [...high], studyHigh), w: whose === "own" ? listText(law.targets, own) : "", hold: listText(law.languages, locked.map(Number), locked.map(() => 0)) };
    for (const letter of Object.keys(fields)) if (law[letter] !== sizes[letter]) parts[letter] = short(law[letter]);
    return writeAddress(parts);
  }
  let later = 0;
  function remember() {
    clearTimeout(later);
    later = setTimeout(() => { try { history.replaceState(null, "", address()); } catch { /* a frame without an address */ } }, 250);
  }
  function restore() {
    const parts = readAddress();
    if (!parts) return;
    try {
      if (kinds[parts.aim]) kindMenu.value = kind = parts.aim;
      if (offers[parts.weights]) whose = parts.weights;
      if (whose === "own") own = listValues(parts.w, law.targets, own.map(() => 0));
      if (!own.some((w) => w > 0)) own = equal.slice();
      if (references.includes(parts.against)) againstMenu.value = against = parts.against;
      for (const letter of Object.keys(fields)) if (Number(parts[letter]) >= 1) fields[letter].value = law[letter] = Number(parts[letter]);
      low = listValues(parts.low, law.languages, studyLow.slice());
      high = listValues(parts.high, law.languages, studyHigh.slice());
      const wanted = listValues(parts.p, law.languages, new Float64Array(L)), bounds = limitsNow();
      if (sumOf(wanted) > 0) p = violation(wanted, bounds) < 1e-7 ? wanted.map((v) => v / sumOf(wanted)) : fit(wanted, bounds);
      if (violation(p, limitsNow()) > 1e-6) [low, high, p] = [studyLow.slice(), studyHigh.slice(), Float64Array.from(data.mixtures[data.start])];
      listValues(parts.hold, law.languages, locked.map(() => 0)).forEach((held, l) => { if (held) hold(l, true); });
      rescale();
      tell("Shown as the link has it.");
    } catch { tell("The link could not be read; the page is shown as it was made."); }
    rows.forEach((_, l) => writeLimits(l));
    weigh();
    arrange();
    aim();
    draw();
    place.closest("section").scrollIntoView();
  }
  link.addEventListener("click", async () => {
    try { history.replaceState(null, "", address()); } catch { /* as above */ }
    await copied(link, `${location.href.split("#")[0]}${address()}`);
  });

  rows.forEach((_, l) => writeLimits(l));
  weigh();
  aim();
  placeReferences();
  arrange();
  draw();
  restore();
  addEventListener("hashchange", () => { if (location.hash !== address()) restore(); });
  window.glotmix = { law, data, minimise, project, Objective, set: (q) => setMixture(Float64Array.from(q), ""), state: () => root.state, problem, address };
})();
