// The explorer: move shares, see what the law expects, let the page find the optimum under other aims and limits.
(() => {
  const place = $("#explorer"), source = $("#explorer-data");
  if (!place || !source) return;
  const data = JSON.parse(source.textContent), law = new Law(data.law), L = law.L, T = law.T;
  const nameOf = (tag) => data.names[tag] || tag;
  const references = Object.keys(data.mixtures);
  const packed = data.runs.length ? JSON.parse($("#runs script").textContent).packed : null;
  const runs = packed ? floats(packed.values) : new Float32Array(0), width = packed ? packed.columns.length : 0;
  let low = Float64Array.from(data.floors), high = Float64Array.from(data.ceilings, (c, l) => Math.max(c, data.floors[l]));
  let kind = data.objective === "quantile" ? "worst" : data.objective, against = ["current", "natural", "uniform"].find((n) => data.mixtures[n]) || references[0];
  let p = Float64Array.from(data.mixtures[data.start]), drag = null;
  const locked = new Array(L).fill(false), weights = law.targets.map((t) => data.weights[t] ?? 0);
  let best = null;
  const others = Object.fromEntries(references.map((name) => [name, law.predict(Float64Array.from(data.mixtures[name]))]));
  let objective;

  // relative objectives compare with each target's own best loss: the study's, else the least within the same limits
  function aim() {
    const relative = !["mean", "weighted"].includes(kind);
    if (relative && !best) {
      best = law.targets.map((tag, t) => {
        if (data.reference[tag] !== undefined || !(weights[t] > 0)) return data.reference[tag] ?? 1;
        const alone = new Objective("mean", weights.map((_, k) => (k === t ? 1 : 0)), null);
        return alone.value(law.predict(minimise(law, alone, new Float64Array(L).fill(1 / L), low, high, 60)));
      });
    }
    return new Objective(kind, weights, best);
  }

  // ---- the frame
  const root = make("div", { class: "explorer" });
  const kinds = { mean: "mean loss", weighted: "weighted mean", normalised: "mean loss over each language's own best", worst: "worst language, over its own best", regret: "largest loss over own best" };
  const units = { mean: `, ${data.unit}`, weighted: `, ${data.unit}`, regret: `, ${data.unit}` };
  const kindMenu = make("select", { id: "x-objective", "aria-label": "Objective" }, ...Object.entries(kinds).filter(([k]) => k !== "weighted" || data.objective === "weighted").map(([k, text]) => make("option", { value: k, selected: k === kind }, text)));
  const againstMenu = make("select", { id: "x-against", "aria-label": "Compare with" }, ...references.map((n) => make("option", { value: n, selected: n === against }, n)));
  const start = make("span", { class: "controls", role: "group", "aria-label": "Start from" }, ...references.map((n) => make("button", { type: "button", "data-start": n, onclick: () => setMixture(Float64Array.from(data.mixtures[n]), `Mixture: ${n}`) }, n)));
  const solve = make("button", { type: "button", id: "x-solve" }, "Find the optimum");
  const limits = make("button", { type: "button", id: "x-limits", "aria-pressed": "false" }, "Floors and ceilings");
  const value = make("b"), range = make("span"), gap = make("span"), near = make("span", { class: "near" });
  const score = make("div", { class: "score", role: "status" }, value, range, gap, near);
  const dials = make("div", { class: "list", id: "x-dials" }), guesses = make("div", { class: "list", id: "x-guesses" });
  const search = make("input", { type: "search", placeholder: "Search a language", "aria-label": "Search a language" });
  const group = make("select", { "aria-label": "Group by" }, ...["share", "family", "script"].map((g) => make("option", { value: g }, g === "share" ? "by share" : `by ${g}`)));
  const scales = make("span", { class: "controls" });
  const format = make("select", { id: "x-format", "aria-label": "Format" }, ...[["yaml", "YAML"], ["json", "JSON"], ["megatron", "Megatron-LM"], ["levanter", "Levanter"], ["olmo", "OLMo-core"]].map(([v, t]) => make("option", { value: v }, t)));
  const copy = make("button", { type: "button", id: "x-copy" }, "Copy");
  const text = make("textarea", { id: "x-text", readonly: true, "aria-label": "The mixture as text", spellcheck: "false" });
  root.append(
    make("div", { class: "controls" }, make("span", {}, "Start from"), start),
    make("div", { class: "controls" }, make("label", {}, "Minimise ", kindMenu), solve, limits, make("label", {}, "Compare with ", againstMenu), scales),
    score,
    make("div", { class: "sides" },
      make("div", {}, make("h3", {}, "Shares"), L > 12 ? make("div", { class: "controls" }, search, group) : "", dials),
      make("div", {}, make("h3", {}, `Predicted loss (${data.unit})`), key(), guesses)),
    make("details", { class: "take" }, make("summary", {}, "Take this mixture with you"), make("div", { class: "controls" }, format, copy), text),
  );
  place.replaceChildren(root);

  function key() {
    const parts = references.filter((n) => n !== "optimum").slice(0, 5).map((n) => make("span", { class: css(n) }, n));
    return make("p", { class: "key" }, make("span", { class: "yours" }, "◆ your mixture, 95\u202f% interval"), ...parts, ...(references.includes("optimum") ? [make("span", { class: css("optimum") }, "optimum")] : []));
  }
  function css(name) { return ["optimum", "natural", "uniform", "current", "temperature", "unimax"].includes(name) ? `s-${name}` : "s-other"; }

  for (const [letter, text] of [["N", "Parameters N"], ["D", "Tokens D"]]) {
    if (law.varies.has(letter)) {
      const field = make("input", { type: "number", id: `x-${letter}`, value: law[letter], min: 1, step: "any" });
      field.addEventListener("change", () => { if (field.valueAsNumber > 0) { law[letter] = field.valueAsNumber; rescale(); } });
      scales.append(make("label", {}, `${text} `, field));
    }
  }
  function rescale() {
    for (const name of references) others[name] = law.predict(Float64Array.from(data.mixtures[name]));
    placeReferences();
    request();
  }

  // ---- dials: one per language
  const rows = law.languages.map((tag, l) => {
    const slider = make("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": `Share of ${nameOf(tag)}` });
    const number = make("input", { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `Share of ${nameOf(tag)} in per cent` });
    const lock = make("button", { type: "button", "aria-pressed": "false", "aria-label": `Hold ${nameOf(tag)}`, title: "Hold this share" }, "🔒︎");
    const floor = make("input", { type: "number", min: 0, max: 100, step: 0.1, value: +(100 * low[l]).toFixed(3), "aria-label": `Floor of ${nameOf(tag)} in per cent` });
    const ceiling = make("input", { type: "number", min: 0, max: 100, step: 0.1, value: +(100 * high[l]).toFixed(3), "aria-label": `Ceiling of ${nameOf(tag)} in per cent` });
    const epochs = make("span");
    const row = make("div", { class: "dial", "data-language": tag }, make("span", { class: "n", title: tag }, nameOf(tag)), slider, number, lock,
      make("div", { class: "limits" }, make("label", {}, "from", floor), make("label", {}, "to", ceiling), epochs));
    slider.addEventListener("pointerdown", () => { drag = p.slice(); });
    slider.addEventListener("keydown", () => { drag = null; });
    slider.addEventListener("change", () => { drag = null; });
    slider.addEventListener("input", () => move(l, fromSlider(slider.valueAsNumber)));
    number.addEventListener("change", () => { drag = null; if (number.value !== "") move(l, number.valueAsNumber / 100); draw(); });
    lock.addEventListener("click", () => { locked[l] = !locked[l]; lock.setAttribute("aria-pressed", locked[l]); });
    for (const field of [floor, ceiling]) field.addEventListener("change", () => limit(l, floor, ceiling));
    return { row, slider, number, epochs, seen: true };
  });
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
  function move(l, wanted) {
    const from = drag || p, lo = low.slice(), hi = high.slice();
    for (let k = 0; k < L; k++) if (locked[k] && k !== l) lo[k] = hi[k] = p[k];
    let least = 1, most = 1;
    for (let k = 0; k < L; k++) if (k !== l) { least -= hi[k]; most -= lo[k]; }
    const share = Math.min(Math.max(wanted, lo[l], least), hi[l], most);
    lo[l] = hi[l] = share;
    const base = Float64Array.from(from, (v) => Math.max(v, 1e-9));
    p = project(base, lo, hi);
    request();
  }

  function limit(l, floor, ceiling) {
    const lo = low.slice(), hi = high.slice();
    lo[l] = floor.valueAsNumber / 100;
    hi[l] = ceiling.valueAsNumber / 100;
    const total = (v) => v.reduce((a, b) => a + b, 0);
    if (!(lo[l] >= 0 && hi[l] <= 1 && lo[l] <= hi[l]) || total(lo) > 1 || total(hi) < 1) {
      floor.value = +(100 * low[l]).toFixed(3);
      ceiling.value = +(100 * high[l]).toFixed(3);
      near.textContent = `No mixture can meet that limit for ${nameOf(law.languages[l])}; it was put back.`;
      return;
    }
    [low, high] = [lo, hi];
    p = project(Float64Array.from(p, (v) => Math.max(v, 1e-9)), low, high);
    request();
  }

  function setMixture(next, said) {
    drag = null;
    p = next;
    arrange();
    draw();
    say(said);
  }

  // ---- predicted losses: one strip per target, the baselines as ticks
  const order = [...law.targets.keys()];
  const marks = law.targets.map((tag, t) => {
    const live = make("span", { class: "live" }), band = make("span", { class: "range" }), strip = make("div", { class: "strip" });
    const refs = references.map((name) => { const r = make("span", { class: `ref ${css(name)}` }); strip.append(r); return r; });
    strip.append(band, live);
    const big = make("b"), change = make("em"), small = make("i"), v = make("div", { class: "v" }, big, " ", change, small);
    const outside = law.own[t] < 0 ? " (outside)" : "";
    const row = make("div", { class: "guess", "data-target": tag }, make("span", { class: "n", title: tag + outside }, nameOf(tag) + outside), strip, v);
    return { row, live, band, refs, big, small, change, from: 0, to: 1, seen: true };
  });
  guesses.append(...order.map((t) => marks[t].row));
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
      if (number !== focus) number.value = (100 * p[l]).toFixed(p[l] < 0.0095 ? 2 : 1);
      slider.setAttribute("aria-valuetext", percent(p[l]));
      if (data.epochs[l] !== null && root.classList.contains("limited")) epochs.textContent = `${fixed(data.epochs[l] * p[l], 2)} epochs`;
    });
    const other = others[against];
    marks.forEach((m, t) => {
      if (!m.seen) return;
      const v = loss[t], range = law.interval(t, resampled), change = v - other[t];
      m.live.style.transform = `translateX(${at(m, v)}%)`;
      if (range) m.band.style.transform = `translateX(${at(m, range[0])}%) scaleX(${Math.max(0.004, (at(m, range[1]) - at(m, range[0])) / 100)})`;
      m.big.textContent = fixed(v, 3);
      m.change.textContent = `${change > 0 ? "+" : ""}${fixed(change, 3)}`;
      m.small.textContent = range ? `${fixed(range[0], 3)} to ${fixed(range[1], 3)}` : "";
      m.row.className = `guess ${change < -5e-4 ? "better" : change > 5e-4 ? "worse" : ""}`;
    });
    const f = objective.value(loss), g = objective.value(other), interval = moving ? null : law.objectiveInterval(objective, resampled);
    value.textContent = fixed(f, 4);
    range.textContent = `${kinds[kind]}${units[kind] ?? ""}` + (interval ? `; 95\u202f% interval ${fixed(interval[0], 4)} to ${fixed(interval[1], 4)}` : "");
    gap.textContent = against ? `${f - g > 0 ? "+" : ""}${fixed(f - g, 4)} against ${against}` : "";
    near.textContent = distanceWords();
    root.state = { p, loss, objective: f, interval };
    if (root.lastElementChild.open) write();
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
    if (many.length) parts.push(`Read more than 4 times: ${many.slice(0, 4).map((l) => nameOf(law.languages[l])).join(", ")}${many.length > 4 ? ` and ${many.length - 4} more` : ""}.`);
    return parts.join(" ");
  }

  // ---- the optimum under this aim and these limits
  solve.addEventListener("click", () => {
    const lo = low.slice(), hi = high.slice();
    locked.forEach((held, l) => { if (held) lo[l] = hi[l] = p[l]; });
    const even = new Float64Array(L).fill(1 / L);
    const found = [p, even].map((from) => minimise(law, objective, from, lo, hi));
    const losses = found.map((q) => objective.value(law.predict(q)));
    setMixture(found[losses[0] <= losses[1] ? 0 : 1], "Found the optimum");
  });
  kindMenu.addEventListener("change", () => { kind = kindMenu.value; objective = aim(); draw(); });
  againstMenu.addEventListener("change", () => { against = againstMenu.value; draw(); });
  limits.addEventListener("click", () => { limits.setAttribute("aria-pressed", root.classList.toggle("limited")); draw(); });

  // ---- taking it away
  const digits = (q) => String(Number(q.toPrecision(8)));
  const quoted = (name) => (/^[A-Za-z][A-Za-z0-9_-]*$/.test(name) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(name) ? name : JSON.stringify(name));
  const shell = (name) => (/^[A-Za-z0-9_./-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`);
  const writers = {
    yaml: (pairs) => pairs.map(([n, q]) => `${quoted(n)}: ${digits(q)}`).join("\n") + "\n",
    json: (pairs) => JSON.stringify(Object.fromEntries(pairs.map(([n, q]) => [n, Number(digits(q))])), null, 1) + "\n",
    megatron: (pairs) => "--data-path \\\n" + pairs.map(([n, q]) => `  ${digits(q)} ${shell(n + "_text_document")}`).join(" \\\n") + "\n",
    levanter: (pairs) => "data:\n  train_weights:\n" + pairs.map(([n, q]) => `    ${quoted(n)}: ${digits(q)}`).join("\n") + "\n",
    olmo: (pairs) => pairs.map(([n, q]) => `SourceMixtureConfig(source_name=${JSON.stringify(n)}, target_ratio=${digits(q)}, paths=[...]),`).join("\n") + "\n",
  };
  function write() { text.value = writers[format.value](law.languages.map((n, l) => [n, p[l]]).filter(([, q]) => q > 0)); }
  root.lastElementChild.addEventListener("toggle", write);
  format.addEventListener("change", write);
  copy.addEventListener("click", async () => {
    write();
    try { await navigator.clipboard.writeText(text.value); } catch { text.select(); document.execCommand("copy"); }
    copy.textContent = "Copied";
    say("Copied");
    setTimeout(() => { copy.textContent = "Copy"; }, 1500);
  });

  objective = aim();
  placeReferences();
  arrange();
  draw();
  window.glotmix = { law, data, minimise, project, Objective, set: (q) => setMixture(Float64Array.from(q), ""), state: () => root.state };
})();
