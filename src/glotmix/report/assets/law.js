"use strict";
// Laws in the page: every one has the form L = f(x; theta, N, D) with x = sum_l w_l p_l (or x = the target's own share),
// so its value, its interval and its slope by p come from one number per target. Same formulas as src/glotmix/laws.

function unpack(text, bits) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bits === 16 ? new Int16Array(bytes.buffer) : bits === 32 ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

// resampled parameters [B * T * P]: exact, or fitted ones plus 16-bit steps
function unpackResamples(data, theta) {
  if (!data) return new Float64Array(0);
  if (data.values) return unpack(data.values, 64);
  const step = unpack(data.step, 64), steps = unpack(data.steps, 16), values = new Float64Array(steps.length);
  for (let i = 0; i < values.length; ) for (let j = 0; j < theta.length; i++, j++) values[i] = theta[j] + steps[i] * step[j];
  return values;
}

// value and slope dL/dx of each law; at(name) gives a parameter of the row, s the terms in N and D
const FORMULAS = {
  null: { value: (x, at) => at("c"), slope: () => 0 },
  own_ratio: {
    value: (x, at, s) => (x > 0 ? (at("E") + s) * Math.pow(x, -at("γ")) : Infinity),
    slope: (x, at, s) => (x > 0 ? -at("γ") * (at("E") + s) * Math.pow(x, -at("γ") - 1) : -Infinity),
  },
  own_ratio_floored: {
    value: (x, at, s) => (at("E") + s) * Math.pow(x + at("ε"), -at("γ")),
    slope: (x, at, s) => -at("γ") * (at("E") + s) * Math.pow(x + at("ε"), -at("γ") - 1),
  },
  log_linear: {
    value: (x, at, s) => at("c") + Math.exp(Math.min(x, 50)) + s,
    slope: (x) => Math.exp(Math.min(x, 50)),
  },
  shapley_law: {
    value: (x, at, s) => at("E") + (1 + s) * Math.pow(Math.max(x, 1e-30), -at("γ")),
    slope: (x, at, s) => -at("γ") * (1 + s) * Math.pow(Math.max(x, 1e-30), -at("γ") - 1),
  },
};

class Law {
  constructor(data) {
    Object.assign(this, { name: data.name, languages: data.languages, targets: data.targets, formula: data.formula });
    this.L = data.languages.length;
    this.T = data.targets.length;
    this.P = data.parameters.length;
    this.theta = unpack(data.theta, 64);
    this.resamples = unpackResamples(data.resamples, this.theta);
    this.B = this.resamples.length / (this.T * this.P);
    this.scale = data.scale;
    this.note = data.resamples ? data.resamples.note : "";
    this.N = data.N;
    this.D = data.D;
    this.place = new Map();
    data.parameters.forEach((name, i) => { if (!this.place.has(name)) this.place.set(name, i); });
    this.first = this.place.has("w/") ? this.place.get("w/") : this.place.has("a/") ? this.place.get("a/") : -1;
    const index = new Map(data.languages.map((name, i) => [name, i]));
    this.own = data.targets.map((name) => (index.has(name) ? index.get(name) : -1));
    this.form = FORMULAS[data.name];
  }

  knows(letter) { return this.place.has(letter); }

  // A (N/1e6)^-alpha + B (D/1e8)^-beta, each where the law has it
  scaleTerms(theta, row) {
    let s = 0;
    if (this.place.has("A")) s += theta[row + this.place.get("A")] * Math.pow(this.N / 1e6, -theta[row + this.place.get("α")]);
    if (this.place.has("B")) s += theta[row + this.place.get("B")] * Math.pow(this.D / 1e8, -theta[row + this.place.get("β")]);
    return s;
  }

  effective(theta, row, t, p) {
    if (this.first < 0) return this.own[t] < 0 ? 0 : p[this.own[t]];
    let x = 0;
    for (let l = 0, i = row + this.first; l < this.L; l++, i++) x += theta[i] * p[l];
    return x;
  }

  at(theta, row, t, p) {
    const x = this.effective(theta, row, t, p);
    return this.form.value(x, (name) => theta[row + this.place.get(name)], this.scaleTerms(theta, row));
  }

  predict(p) {
    const loss = new Float64Array(this.T);
    for (let t = 0; t < this.T; t++) loss[t] = this.at(this.theta, t * this.P, t, p);
    return loss;
  }

  // every resample's losses, [B * T]
  predictResamples(p) {
    const loss = new Float64Array(this.B * this.T);
    for (let b = 0, i = 0; b < this.B; b++) for (let t = 0; t < this.T; t++, i++) loss[i] = this.at(this.resamples, i * this.P, t, p);
    return loss;
  }

  // 95 % interval of the loss that a new run would measure: spread of the resamples and noise of a run, in logarithms
  interval(value, t, resampled) {
    if (this.B < 2) return null;
    let mean = 0, square = 0;
    for (let b = 0; b < this.B; b++) mean += Math.log(resampled[b * this.T + t]);
    mean /= this.B;
    for (let b = 0; b < this.B; b++) square += (Math.log(resampled[b * this.T + t]) - mean) ** 2;
    const noise = this.scale.length ? this.scale[t] : 0, spread = Math.sqrt(square / this.B + noise * noise);
    return [value * Math.exp(-1.96 * spread), value * Math.exp(1.96 * spread)];
  }

  // 95 % interval of the objective under the resampled laws; linear interpolation, as numpy.quantile does
  objectiveInterval(objective, resampled) {
    if (this.B < 2) return null;
    const sorted = new Float64Array(this.B);
    for (let b = 0; b < this.B; b++) sorted[b] = objective.value(resampled, b * this.T);
    sorted.sort();
    return [quantile(sorted, 0.025), quantile(sorted, 0.975)];
  }

  // adds c_t dL_t/dp to gradient
  addGradient(p, c, gradient) {
    for (let t = 0; t < this.T; t++) {
      if (c[t] === 0) continue;
      const row = t * this.P, x = this.effective(this.theta, row, t, p);
      const slope = c[t] * this.form.slope(x, (name) => this.theta[row + this.place.get(name)], this.scaleTerms(this.theta, row));
      if (this.first < 0) { if (this.own[t] >= 0) gradient[this.own[t]] += slope; continue; }
      for (let l = 0, i = row + this.first; l < this.L; l++, i++) gradient[l] += slope * this.theta[i];
    }
  }
}

function quantile(sorted, q) {
  const at = q * (sorted.length - 1), low = Math.floor(at), part = at - low;
  return part === 0 ? sorted[low] : sorted[low] + part * (sorted[low + 1] - sorted[low]);
}

// What is minimised: kind, weights [T] and the reference losses [T] of the normalised kinds.
class Objective {
  constructor(kind, weights, reference) {
    this.kind = kind;
    this.active = weights.map((w, t) => [w, t]).filter(([w]) => w > 0).map(([, t]) => t);
    const total = this.active.reduce((sum, t) => sum + weights[t], 0);
    this.share = weights.map((w) => (w > 0 ? w / total : 0));
    this.reference = kind === "normalised" ? reference : weights.map(() => 1);
  }

  value(loss, from = 0) {
    if (this.kind === "worst") return this.active.reduce((top, t) => Math.max(top, loss[from + t]), -Infinity);
    return this.active.reduce((sum, t) => sum + (this.share[t] * loss[from + t]) / this.reference[t], 0);
  }

  // smooth value and its weights by target; "worst" is a log-sum-exp that sharpens with beta
  smooth(loss, beta) {
    if (this.kind !== "worst") return [this.value(loss), this.share.map((w, t) => w / this.reference[t])];
    const top = this.value(loss);
    const e = loss.map((v, t) => (this.share[t] > 0 ? Math.exp(beta * (v - top)) : 0));
    const sum = e.reduce((a, b) => a + b, 0);
    return [top + Math.log(sum) / beta, Array.from(e, (v) => v / sum)];
  }
}

// The mixture nearest to q (in KL) with low <= p <= high and sum one: p = clip(k q, low, high), k by bisection.
function project(q, low, high) {
  const sum = (k) => { let s = 0; for (let i = 0; i < q.length; i++) s += Math.min(high[i], Math.max(low[i], k * q[i])); return s; };
  let a = 0, b = 1;
  while (sum(b) < 1 && b < 1e12) b *= 2;
  for (let i = 0; i < 100 && b - a > 1e-16 * b; i++) { const k = (a + b) / 2; if (sum(k) < 1) a = k; else b = k; }
  return Float64Array.from(q, (v, i) => Math.min(high[i], Math.max(low[i], b * v)));
}

// Exponentiated gradient with a step that grows while it helps and shrinks when it does not.
function minimise(law, objective, start, low, high) {
  const floor = Float64Array.from(start, (v) => Math.max(v, 1e-6));
  let p = project(floor, low, high);
  for (const beta of objective.kind === "worst" ? [30, 300, 3000] : [0]) {
    let [f, c] = objective.smooth(law.predict(p), beta), step = 1, still = 0;
    for (let i = 0; i < 3000 && still < 6 && step > 1e-12; i++) {
      const gradient = new Float64Array(law.L);
      law.addGradient(p, c, gradient);
      let mean = 0;
      for (let l = 0; l < law.L; l++) mean += p[l] * gradient[l];
      const q = p.map((v, l) => v * Math.exp(Math.max(-30, Math.min(30, -step * (gradient[l] - mean)))));
      const next = project(q, low, high), [value, weights] = objective.smooth(law.predict(next), beta);
      if (value <= f) {
        still = f - value < 1e-13 * Math.abs(f) ? still + 1 : 0;
        [p, f, c] = [next, value, weights];
        step *= 1.5;
      } else step /= 3;
    }
  }
  return p;
}
