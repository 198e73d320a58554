"use strict";
// Laws in the page, with the formulas of src/glotmix/laws. All have the form L_t = f(x_t; theta, N, D) in one number x_t
// per target: the target's own share, a weighted sum of shares, or the log of the effective share. So a loss, its interval
// and its slope by every share come from x_t and its own slopes. Laws of text that is read again take what the shares are
// worth after all passes in their place, laws that know order what they count in the phases of a run.

const expm1Over = (y, gamma) => {
  // (e^(gamma y) - 1) / gamma, the Box-Cox curve of e^-y; y itself at gamma = 0
  const z = Math.max(-50, Math.min(50, gamma * y));
  return Math.abs(z) < 1e-4 ? y * (1 + z / 2 + (z * z) / 6) : Math.expm1(z) / gamma;
};

// kind of x, value f(x) and slope df/dx (for "share", x is the log of the effective share); q holds a row's parameters by
// name, s = A (N/1e6)^-alpha + B (D/1e8)^-beta where the law has these terms, d = ln(D/1e8) where D varies
const LEAST = 1e-6;
// B (p^δ D)^-β where D varies, else nothing
const dataTerm = (x, q, d) => (q.B === undefined ? 0 : q.B * Math.exp(Math.max(-200, Math.min(200, -q.β * (d + q.δ * x)))));
const FORMULAS = {
  null: { kind: "own", value: (x, q) => q.c, slope: () => 0 },
  own_ratio: {
    kind: "own",
    value: (x, q, s) => (x > 0 ? (q.E + s) * Math.pow(x, -q.γ) : Infinity),
    slope: (x, q, s) => (x > 0 ? -q.γ * (q.E + s) * Math.pow(x, -q.γ - 1) : -Infinity),
  },
  own_ratio_floored: {
    kind: "own",
    value: (x, q, s) => (q.E + s) * Math.pow(x + q.ε, -q.γ),
    slope: (x, q, s) => -q.γ * (q.E + s) * Math.pow(x + q.ε, -q.γ - 1),
  },
  log_linear: {
    kind: "sum",
    value: (x, q, s) => q.c + Math.exp(Math.min(x, 50)) + s,
    slope: (x) => Math.exp(Math.min(x, 50)),
  },
  shapley_law: {
    kind: "share",
    value: (x, q, s) => (q.E + s) * (1 + q.c * expm1Over(-x, q.γ)),
    slope: (x, q, s) => -(q.E + s) * q.c * Math.exp(Math.max(-50, Math.min(50, -q.γ * x))),
  },
  shapley_law_joint: {
    kind: "share",
    ownScale: true,
    value: (x, q, s, d) => {
      const m = Math.max(1 + q.c * expm1Over(-x, q.γ), LEAST), rest = s + dataTerm(x, q, d);
      return rest ? q.E * m + rest * Math.pow(m, q.ρ) : q.E * m;
    },
    slope: (x, q, s, d) => {
      const raw = 1 + q.c * expm1Over(-x, q.γ), m = Math.max(raw, LEAST), data = dataTerm(x, q, d), rest = s + data;
      const byM = raw > LEAST ? q.E + (rest ? rest * q.ρ * Math.pow(m, q.ρ - 1) : 0) : 0;
      const byData = data ? q.β * q.δ * data * Math.pow(m, q.ρ) : 0;
      return -byM * q.c * Math.exp(Math.max(-50, Math.min(50, -q.γ * x))) - byData;
    },
  },
  shapley_law_data: {
    kind: "share",
    ownScale: true,
    value: (x, q, s, d) => q.E + s + q.B * Math.exp(-q.β * (x + d)),
    slope: (x, q, s, d) => -q.β * q.B * Math.exp(-q.β * (x + d)),
  },
};

// what each phase of a run weighs: the integral of e^(late c) over it, c the cumulative learning rate, as a share of all
function phaseWeights({ lengths, rates }, late) {
  const logs = [], whole = lengths.reduce((sum, f, k) => sum + f * rates[k], 0);
  let done = 0;
  lengths.forEach((f, k) => {
    const from = done / whole, to = (done += f * rates[k]) / whole, y = (late * (to - from)) / 2, size = Math.abs(y);
    logs.push((late * (from + to)) / 2 + (size > 1e-4 ? size + Math.log1p(-Math.exp(-2 * size)) - Math.log(2 * size) : (y * y) / 6));
  });
  const top = Math.max(...logs), weights = logs.map((x, k) => lengths[k] * Math.exp(x - top)), sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

// a score is a sigmoid of the loss that stands for it (src/glotmix/scored.py)
const SLOPE = 8, LEAST_LOSS = 0.02;
const TINY = 1e-9, NOTHING = 1e-200, LEFT = 1e-3;

class Law {
  constructor(data) {
    Object.assign(this, { name: data.name, languages: data.languages, targets: data.targets, formula: data.formula });
    Object.assign(this, { N: data.N, D: data.D, varies: new Set(data.varies) });
    this.form = FORMULAS[data.form];
    this.repeats = data.repeats; // null, or the unique tokens of each language (null: not known) and whether h is added
    this.names = data.parameters;
    this.L = data.languages.length;
    this.T = data.targets.length;
    this.first = this.names.length;
    this.P = this.first + (this.form.kind === "own" ? 0 : this.L);
    this.theta = this.prepare(unpack(data.theta, 64));
    this.resamples = this.prepare(unpackResamples(data.resamples, unpack(data.theta, 64)));
    this.B = this.resamples.length / (this.T * this.P);
    this.note = [data.resamples?.note, data.thinned].filter(Boolean).join("; ");
    this.draws = data.resamples?.draws ? new Draws(data.resamples.draws, this.L, this.T) : null;
    this.process = data.process ? new Processes(data.process) : null;
    const index = new Map(data.languages.map((name, i) => [name, i]));
    this.own = (data.stands_on ?? data.targets).map((name) => (index.has(name) ? index.get(name) : -1));
    this.most = data.most ?? null; // error of guessing of each score, for which a loss stands; null for a loss
    this.further = data.further ?? []; // what a relative change of a loss does to what stands for a score
    this.logs = new Float64Array(this.L);
    this.worth = new Float64Array(this.L);
    this.counted = new Float64Array(this.L);
    this.again = { slope: new Float64Array(this.L), byMean: new Float64Array(this.L), h: 0 };
    this.scratch = {};
  }

  // the weights of an effective share are kept as w^kappa
  prepare(theta) {
    if (this.form.kind !== "share") return theta;
    const kappa = this.names.indexOf("κ");
    for (let row = 0; row < theta.length; row += this.P) {
      for (let i = row + this.first; i < row + this.P; i++) theta[i] = Math.exp(theta[row + kappa] * Math.log(theta[i]));
    }
    return theta;
  }

  // a mixture, or the average of phases (their mixtures, and the lengths and learning rates of the run's)
  take(p, run = null) {
    this.run = run;
    this.given = p;
    this.p = p;
    this.takeLogs();
    this.process?.take(p, this.N, this.D);
  }

  takeLogs() {
    for (let l = 0; l < this.L; l++) this.logs[l] = this.p[l] > 0 ? Math.log(Math.max(this.p[l], TINY)) : -Infinity;
  }

  // shares of phases as target t counts them: its own text by one weight of the phases, that of all others by another
  count(q, t) {
    const own = phaseWeights(this.run, q.late ?? 0), others = phaseWeights(this.run, q.late_others ?? 0);
    for (let l = 0; l < this.L; l++) this.counted[l] = this.run.phases.reduce((sum, p, k) => sum + (l === this.own[t] ? own : others)[k] * p[l], 0);
    this.given = this.p = this.counted;
    this.takeLogs();
  }

  // what the shares given are worth to target t after all passes, and h, how far its text is learned by heart
  readAgain(q, t) {
    const { unique } = this.repeats, own = this.own[t], p = this.given, again = this.again, D = this.D;
    let mean = 0;
    again.h = 0;
    for (let l = 0; l < this.L; l++) {
      const passes = unique ? (p[l] * D) / unique[l] : 0, decay = passes > 1 ? Math.exp(-(passes - 1) / q.R) : 1;
      this.worth[l] = passes > 1 ? (unique[l] * (1 + (1 - decay) * q.R)) / D : p[l];
      again.slope[l] = decay;
      again.byMean[l] = passes > 1 ? 2 * passes : 1;
      mean += p[l] * Math.max(passes, 1);
    }
    if (own >= 0) {
      let logX = Math.log(Math.max(p[own], TINY));
      if (unique) {
        logX += Math.log(D / unique[own]);
        logX += q.b * (Math.log(mean) - logX);
      }
      const power = Math.exp(q.a * (logX - Math.log(q.T)));
      const s = (q.g ?? 1) * (q.n === undefined ? 1 : Math.exp(q.n * Math.log((this.N * mean) / D)));
      again.h = s * Math.log1p(power);
      again.byX = (s * power * q.a) / (1 + power);
      again.mean = mean;
      again.fresh = this.worth[own];
      if (!this.repeats.added) {
        const kept = LEFT + (1 - LEFT) * Math.exp(-again.h);
        this.worth[own] *= kept;
        again.slope[own] *= kept;
      }
    }
    this.p = this.worth;
    this.takeLogs();
  }

  parameters(theta, row) {
    const q = this.scratch;
    for (let i = 0; i < this.first; i++) q[this.names[i]] = theta[row + i];
    return q;
  }

  scaleTerms(q) {
    let s = 0;
    if (this.varies.has("N")) s += q.A * Math.pow(this.N / 1e6, -q.α);
    if (this.varies.has("D") && !this.form.ownScale) s += q.B * Math.pow(this.D / 1e8, -q.β);
    return s;
  }

  logD() { return this.varies.has("D") ? Math.log(this.D / 1e8) : 0; }

  // x of target t under the mixture taken last
  effective(theta, row, t, q) {
    const kind = this.form.kind, end = row + this.P;
    if (this.run) this.count(q, t);
    if (this.repeats) this.readAgain(q, t);
    if (kind === "own") return this.own[t] < 0 ? 0 : this.p[this.own[t]];
    let x = 0;
    if (kind === "sum") {
      for (let l = 0, i = row + this.first; i < end; l++, i++) x += theta[i] * this.p[l];
      return x;
    }
    const own = this.own[t];
    for (let l = 0, i = row + this.first; i < end; l++, i++) if (l !== own) x += theta[i] * Math.exp(q.κ * this.logs[l]);
    const help = Math.log(Math.max(x, NOTHING)) / q.κ;
    return own < 0 ? help : Math.log(Math.max(Math.exp(q.ν * this.logs[own]) + Math.exp(q.ν * help), NOTHING)) / q.ν;
  }

  // what the law itself says: a loss, which may be that on which a score stands
  said(theta, row, t) {
    const q = this.parameters(theta, row);
    let loss = this.form.value(this.effective(theta, row, t, q), q, this.scaleTerms(q), this.logD());
    if (this.repeats && this.repeats.added) loss += this.again.h;
    return this.process ? loss * Math.exp(this.process.mean(t)) : loss;
  }

  // a loss, or that which stands for a score
  inner(theta, row, t) {
    const loss = this.said(theta, row, t), q = this.scratch;
    return this.most?.[t] && q["stage/by"] !== undefined ? Math.max(q["stage/from"] + q["stage/by"] * loss, LEAST_LOSS) : loss;
  }

  // the same moved by a factor e^more, as a loss or as the error of a score
  outer(x, t, more = 0) {
    const loss = more ? x * Math.exp(more) : x;
    return this.most?.[t] ? this.most[t] / (1 + Math.exp(-SLOPE * (loss - 1))) : loss;
  }

  at(theta, row, t) { return this.outer(this.inner(theta, row, t), t); }

  // losses [T]; only of some targets (the others stay 0), where these are told
  predict(p, members = null, run = null) {
    this.take(p, run);
    if (!members) return Float64Array.from({ length: this.T }, (_, t) => this.at(this.theta, t * this.P, t));
    const loss = new Float64Array(this.T);
    for (const t of members) loss[t] = this.at(this.theta, t * this.P, t);
    return loss;
  }

  // losses of every resample, [B * T]; only of the targets wanted, where these are told
  predictResamples(p, wanted = null, run = null) {
    this.take(p, run);
    const loss = new Float64Array(this.B * this.T);
    for (let b = 0, i = 0; b < this.B; b++) {
      for (let t = 0; t < this.T; t++, i++) if (!wanted || wanted[t]) loss[i] = this.inner(this.resamples, i * this.P, t);
    }
    for (let i = 0; !this.draws && i < loss.length; i++) if (!wanted || wanted[i % this.T]) loss[i] = this.outer(loss[i], i % this.T);
    if (this.draws) {
      const wave = this.draws.waves(p);
      for (let t = 0; t < this.T; t++) {
        if (wanted && !wanted[t]) continue;
        const size = this.process ? this.process.deviation(t) * (this.further[t] ?? 1) : 1;
        for (let b = 0; b < this.B; b++) loss[b * this.T + t] = this.outer(loss[b * this.T + t], t, size * this.draws.at(wave, b, t));
      }
    }
    return loss;
  }

  // symmetric 95 % interval of a target's loss: as far to either side of it as 95 % of the resampled laws lie from it
  interval(t, resampled, value) {
    const ends = this.B < 2 ? null : symmetric(value, Float64Array.from({ length: this.B }, (_, b) => resampled[b * this.T + t]));
    return ends && this.most?.[t] ? [Math.max(ends[0], 0), Math.min(ends[1], this.most[t])] : ends;
  }

  // the same for the objective
  objectiveInterval(objective, resampled, value) {
    return this.B < 2 ? null : symmetric(value, Float64Array.from({ length: this.B }, (_, b) => objective.value(resampled, b * this.T)));
  }

  // adds c dL_t/dp to gradient, at the mixture taken last
  addGradient(t, c, gradient) {
    if (this.most?.[t]) {
      const stands = this.inner(this.theta, t * this.P, t), error = this.outer(stands, t);
      c *= SLOPE * error * (1 - error / this.most[t]) * (this.scratch["stage/by"] === undefined ? 1 : stands > LEAST_LOSS ? this.scratch["stage/by"] : 0);
    }
    if (this.process) {
      this.process.addSlope(t, c * this.said(this.theta, t * this.P, t), gradient);
      c *= Math.exp(this.process.mean(t));
    }
    if (!this.repeats) return this.addSlopes(t, c, gradient);
    const byWorth = new Float64Array(this.L), own = this.own[t], again = this.again, q = this.scratch;
    this.addSlopes(t, c, byWorth);
    for (let l = 0; l < this.L; l++) gradient[l] += byWorth[l] * again.slope[l];
    if (own < 0) return;
    const byH = this.repeats.added ? c : -byWorth[own] * again.fresh * (1 - LEFT) * Math.exp(-again.h);
    const b = this.repeats.unique ? q.b : 0;
    gradient[own] += (byH * again.byX * (1 - b)) / Math.max(this.given[own], TINY);
    if (!this.repeats.unique) return;
    const byMean = byH * (again.byX * b + (q.n ?? 0) * again.h);
    for (let l = 0; l < this.L; l++) gradient[l] += (byMean * again.byMean[l]) / again.mean;
  }

  // the same by the shares that the law takes
  addSlopes(t, c, gradient) {
    const row = t * this.P, theta = this.theta, q = this.parameters(theta, row), kind = this.form.kind;
    const x = this.effective(theta, row, t, q), slope = c * this.form.slope(x, q, this.scaleTerms(q), this.logD());
    if (kind === "own") {
      if (this.own[t] >= 0) gradient[this.own[t]] += slope;
    } else if (kind === "sum") {
      for (let l = 0, i = row + this.first; l < this.L; l++, i++) gradient[l] += slope * theta[i];
    } else {
      const own = this.own[t], at = (l) => Math.max(this.p[l], TINY);
      let sum = 0, part = 1;
      for (let l = 0, i = row + this.first; l < this.L; l++, i++) if (l !== own) sum += theta[i] * Math.exp(q.κ * this.logs[l]);
      sum = Math.max(sum, NOTHING);
      if (own >= 0) {
        const total = Math.exp(q.ν * x);
        part = Math.exp((q.ν * Math.log(sum)) / q.κ) / total;
        gradient[own] += (slope * Math.exp(q.ν * Math.log(at(own)))) / total / at(own);
      }
      for (let l = 0, i = row + this.first; l < this.L; l++, i++) {
        if (l !== own) gradient[l] += (slope * part * theta[i] * Math.exp(q.κ * Math.log(at(l)))) / sum / at(l);
      }
    }
  }
}

// resamples without a finite number are left out, as in Python
function symmetric(value, drawn) {
  const away = drawn.filter(Number.isFinite).map((x) => Math.abs(x - value)).sort();
  if (!away.length || !Number.isFinite(value)) return null;
  const reach = away[Math.min(Math.ceil(0.95 * (away.length + 1)), away.length) - 1];
  return [value - reach, value + reach];
}
