// Small parts of the explorer: a drawn padlock, copying, and taking the mixture away as YAML, JSON or a trainer's own lines.
// drawn, so that no font has to have it; the shackle opens where the share is free
function padlock() {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
  for (const [name, text] of [["viewBox", "0 0 16 16"], ["class", "lock"], ["aria-hidden", "true"]]) svg.setAttribute(name, text);
  for (const [name, d] of [["shut", "M5 7V5a3 3 0 0 1 6 0v2"], ["open", "M5 7V5a3 3 0 0 1 5.6-1.5"], ["body", "M3.5 7h9v6.5h-9z"]]) {
    const path = document.createElementNS(space, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

async function copied(button, text, field = null) {
  const before = button.textContent;
  try { await navigator.clipboard.writeText(text); } catch {
    const holder = field || document.body.appendChild(make("textarea", {}, text));
    holder.select();
    document.execCommand("copy");
    if (!field) holder.remove();
  }
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => { button.textContent = before; }, 1500);
}

// pairs() gives [name, share] of every language that has one
function takeAway(pairs) {
  const digits = (q) => String(Number(q.toPrecision(8)));
  const quoted = (name) => (/^[A-Za-z][A-Za-z0-9_-]*$/.test(name) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(name) ? name : JSON.stringify(name));
  const shell = (name) => (/^[A-Za-z0-9_./-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`);
  const writers = {
    yaml: (all) => all.map(([n, q]) => `${quoted(n)}: ${digits(q)}`).join("\n") + "\n",
    json: (all) => JSON.stringify(Object.fromEntries(all.map(([n, q]) => [n, Number(digits(q))])), null, 1) + "\n",
    megatron: (all) => "--data-path \\\n" + all.map(([n, q]) => `  ${digits(q)} ${shell(n + "_text_document")}`).join(" \\\n") + "\n",
    levanter: (all) => "data:\n  train_weights:\n" + all.map(([n, q]) => `    ${quoted(n)}: ${digits(q)}`).join("\n") + "\n",
    olmo: (all) => all.map(([n, q]) => `SourceMixtureConfig(source_name=${JSON.stringify(n)}, target_ratio=${digits(q)}, paths=[...]),`).join("\n") + "\n",
  };
  const format = make("select", { id: "x-format", "aria-label": "Format" }, ...[["yaml", "YAML"], ["json", "JSON"], ["megatron", "Megatron-LM"], ["levanter", "Levanter"], ["olmo", "OLMo-core"]].map(([v, t]) => make("option", { value: v }, t)));
  const copy = make("button", { type: "button", id: "x-copy" }, "Copy");
  const text = make("textarea", { id: "x-text", readonly: true, "aria-label": "The mixture as text", spellcheck: "false" });
  const place = make("details", { class: "take" }, make("summary", {}, "Take this mixture with you"), make("div", { class: "controls" }, format, copy), text);
  const write = () => { text.value = writers[format.value](pairs()); };
  place.addEventListener("toggle", write);
  format.addEventListener("change", write);
  copy.addEventListener("click", () => { write(); copied(copy, text.value, text); });
  return { place, write };
}
