// The explorer's second row of sliders: the shares of every phase of a run, and what the law expects of it beside another
// schedule. Shares of a phase keep their proportions when one of them is moved; limits are left to the command line.
// A phase that is behind the run has no sliders.
(() => {
  const place = $("#phases"), source = $("#explorer-data");
  if (!place || !source) return;
  const data = JSON.parse(source.textContent), { order } = data, law = new Law(data.law), L = law.L, K = order.lengths.length;
  const nameOf = (tag) => data.names[tag] || tag, kind = data.objective === "weighted" ? "mean" : data.objective;
  const best = RELATIVE.includes(kind) ? law.targets.map((tag) => data.reference[tag] ?? 1) : null;
  const objective = new Objective(kind, law.targets.map((tag) => data.weights[tag] ?? 0), best, data.quantile);
  const taken = (name) => order.schedules[name].map((p) => Float64Array.from(p));
  let phases = taken("optimum"), against = order.beside, from = null;

  const average = (all) => Float64Array.from({ length: L }, (_, l) => all.reduce((sum, p, k) => sum + order.lengths[k] * p[l], 0));
  const expected = (all) => law.predict(average(all), null, { ...order, phases: all });

  const start = Object.keys(order.schedules).map((name) => make("button", { type: "button", "data-schedule": name, onclick: () => { phases = taken(name); draw(); } }, name));
  const other = make("select", { "aria-label": "Compare the schedule with" }, ...Object.keys(order.schedules).map((name) => make("option", { value: name, selected: name === against }, name)));
  other.addEventListener("change", () => { against = other.value; draw(); });
  const score = make("p", { class: "score", role: "status" }), told = make("tbody");
  const cells = law.languages.map((tag, l) => order.lengths.map((_, k) => {
    if (k < order.behind) return { cell: make("td", { class: "num" }, percent(phases[k][l])) };
    const label = `Share of ${nameOf(tag)} in phase ${k + 1}`;
    const slider = make("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": label });
    const number = make("input", { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `${label} in per cent` });
    slider.addEventListener("pointerdown", () => { from = phases[k].slice(); });
    slider.addEventListener("change", () => { from = null; });
    slider.addEventListener("input", () => move(k, l, slider.valueAsNumber / 1000, from ?? phases[k]));
    number.addEventListener("change", () => { if (Number.isFinite(number.valueAsNumber)) move(k, l, number.valueAsNumber / 100, phases[k]); else draw(); });
    return { slider, number, cell: make("td", {}, slider, number) };
  }));

  // the others make room in proportion, or alike where they have nothing
  function move(k, l, wanted, base) {
    const share = Math.max(0, Math.min(1, wanted)), rest = 1 - base[l];
    phases[k] = base.map((p, i) => (i === l ? share : rest > 1e-12 ? (p * (1 - share)) / rest : (1 - share) / (L - 1)));
    draw();
  }

  function draw() {
    const run = { ...order, phases }, mean = average(phases), loss = law.predict(mean, null, run);
    const resampled = law.predictResamples(mean, null, run), beside = expected(taken(against));
    cells.forEach((row, l) => row.forEach(({ slider, number }, k) => {
      if (!slider) return;
      slider.value = 1000 * phases[k][l];
      slider.setAttribute("aria-valuetext", percent(phases[k][l]));
      number.value = (100 * phases[k][l]).toFixed(1);
    }));
    told.replaceChildren(...law.targets.map((tag, t) => {
      const ends = law.interval(t, resampled, loss[t]);
      const score = data.scored?.[t], say = (x) => (score == null ? x : 100 * (score ? 1 - x : x)), shown = say(loss[t]) - say(beside[t]);
      const range = ends && ends.map(say).sort((a, b) => a - b);
      return make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, nameOf(tag))), ...[fixed(say(loss[t]), 3), `${shown > 0 ? "+" : ""}${fixed(shown, 3)}`, range ? `${fixed(range[0], 3)} to ${fixed(range[1], 3)}` : ""].map((text) => make("td", { class: "num" }, text)));
    }));
    const value = objective.value(loss), gap = value - objective.value(beside);
    score.textContent = `Objective ${fixed(value, 4)}, ${gap > 0 ? "+" : ""}${fixed(gap, 4)} against ${against}`;
    place.state = { phases: phases.map((p) => Array.from(p)), loss: Array.from(loss), objective: value };
  }

  const head = (texts) => make("thead", {}, make("tr", {}, ...texts.map((text) => make("th", { scope: "col" }, text))));
  const shown = (one, text) => make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": text }, one);
  const lengths = order.lengths.map((f, k) => `phase ${k + 1}, ${percent(f)} of the tokens${k < order.behind ? ", behind it" : ""}`);
  const shares = make("table", {}, make("caption", {}, "Shares by phase"), head(["language", ...lengths]), make("tbody", {}, ...law.languages.map((tag, l) => make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, nameOf(tag))), ...cells[l].map(({ cell }) => cell)))));
  const losses = make("table", {}, make("caption", {}, data.scored?.some((one) => one != null) ? `Predicted loss (${data.unit}), or score (points)` : `Predicted loss (${data.unit})`), head([data.measures, "loss", "change", "95\u202f% interval of the law"]), told);
  place.append(
    make("h3", {}, "A schedule"),
    make("div", { class: "controls" }, make("span", {}, "Start from"), ...start, make("label", {}, "Compare with ", other)),
    score,
    shown(shares, "Shares by phase"),
    shown(losses, "Predicted losses of the schedule"),
  );
  draw();
})();
