"use strict";
// The optimum of a law under an objective and limits, as src/glotmix/optimize has it: multiplicative descent from several
// starts, then sequential quadratic programming to the last digits. Knows nothing of the page: it runs in a worker too.

// What is minimised: weights [T], each target's own best loss [T] where the kind is relative, q of a quantile, and a penalty
// {kind, weight, reference [L]} that is part of the search but not of the value. "weighted" is the mean with other weights.
const RELATIVE = ["normalised", "worst", "regret", "quantile"];

class Objective {
  constructor(kind, weights, best = null, q = 0.75, penalty = null) {
    const members = [...weights.keys()].filter((t) => weights[t] > 0), total = members.reduce((sum, t) => sum + weights[t], 0);
    this.kind = kind;
    this.members = members;
    this.penalty = penalty && penalty.weight > 0 ? penalty : null;
    this.peak = ["worst", "regret", "quantile"].includes(kind);
    this.rank = kind === "quantile" ? Math.max(Math.ceil(q * members.length - 1e-9), 1) : members.length;
    const weight = (t) => (kind === "quantile" ? 1 : this.peak ? weights[t] : weights[t] / total);
    const scale = (t) => (["normalised", "worst", "quantile"].includes(kind) ? best[t] : 1);
    this.slope = weights.map((w, t) => (w > 0 ? weight(t) / scale(t) : 0));
    this.shift = weights.map((_, t) => (kind === "regret" ? best[t] : 0));
  }

  // x of the counting targets, [M]: the value is their sum, their largest, or the rank-th smallest
  pieces(loss, from = 0) { return this.members.map((t) => (loss[from + t] - this.shift[t]) * this.slope[t]); }

  combine(x) {
    if (!this.peak) return x.reduce((a, b) => a + b, 0);
    return this.kind === "quantile" ? Float64Array.from(x).sort()[this.rank - 1] : Math.max(...x);
  }

  value(loss, from = 0) { return this.combine(this.pieces(loss, from)); }

  // which targets are under the maximum that bounds the value from above and touches it there
  within(x) {
    const order = [...x.keys()].sort((a, b) => x[a] - x[b] || a - b), inside = new Array(x.length).fill(false);
    for (const m of order.slice(0, this.rank)) inside[m] = true;
    return inside;
  }
}

const ROUNDING = 1e-5; // of the kinks of an l1 penalty, as in Python

function penaltyOf(objective, p) {
  const { kind, weight, reference } = objective.penalty ?? {}, gradient = new Float64Array(p.length);
  let value = 0;
  if (objective.penalty) {
    for (let l = 0; l < p.length; l++) {
      if (kind === "l1") {
        const away = p[l] - reference[l], round = Math.hypot(away, ROUNDING);
        value += weight * (round - ROUNDING);
        gradient[l] = (weight * away) / round;
      } else {
        const ratio = Math.log(Math.max(p[l], 1e-300) / Math.max(reference[l], 1e-300));
        value += weight * p[l] * ratio;
        gradient[l] = weight * (ratio + 1);
      }
    }
  }
  return [value, gradient];
}

// what the search makes small
function total(law, objective, p) {
  const value = objective.combine(objective.pieces(law.predict(p, objective.members))) + penaltyOf(objective, p)[0];
  return Number.isNaN(value) ? Infinity : value;
}

// dx_m/dp, one row per counting target
function slopesOf(law, objective, p) {
  law.take(p);
  return objective.members.map((t) => {
    const row = new Float64Array(law.L);
    law.addGradient(t, objective.slope[t], row);
    return row;
  });
}

const sumOf = (values) => { let s = 0; for (const v of values) s += v; return s; };

// ---- limits: low [L], high [L], and groups [{members: [l], floor, ceiling}] on sums of shares
function violation(p, limits) {
  let worst = Math.abs(sumOf(p) - 1);
  p.forEach((v, l) => { worst = Math.max(worst, limits.low[l] - v, v - limits.high[l]); });
  for (const { members, floor, ceiling } of limits.groups ?? []) {
    const held = members.reduce((s, l) => s + p[l], 0);
    worst = Math.max(worst, floor - held, held - ceiling);
  }
  return worst;
}

// The mixture nearest to q (in KL) within the limits: p = clip(q exp(sum of a number per row), low, high), row by row (Bregman
// 1967); without groups one row, the sum of all. Ends with the sum, which is met exactly.
function project(q, limits) {
  const { low, high } = limits, L = q.length, everything = [...q.keys()];
  const rows = [...(limits.groups ?? []).map((g) => [g.members, g.floor, g.ceiling]), [everything, 1, 1]];
  const shift = rows.map(() => 0), level = new Float64Array(L);
  const clip = (l, more) => Math.min(high[l], Math.max(low[l], q[l] * Math.exp(Math.max(-700, Math.min(700, level[l] + more)))));
  const sum = (members, more) => { let s = 0; for (const l of members) s += clip(l, more); return s; };
  for (let round = 0; round < (rows.length > 1 ? 2000 : 1); round++) {
    let moved = 0;
    rows.forEach(([members, floor, ceiling], r) => {
      for (const l of members) level[l] -= shift[r];
      const held = sum(members, 0), aim = held < floor ? floor : held > ceiling ? ceiling : held;
      let next = 0;
      if (aim !== held) {
        let a = -1, b = 1;
        while (sum(members, a) > aim && a > -700) a *= 2;
        while (sum(members, b) < aim && b < 700) b *= 2;
        for (let i = 0; i < 100 && b - a > 1e-16 * Math.max(1, Math.abs(b)); i++) {
          const k = (a + b) / 2;
          if (sum(members, k) < aim) a = k; else b = k;
        }
        next = b;
      }
      moved = Math.max(moved, Math.abs(next - shift[r]));
      shift[r] = next;
      for (const l of members) level[l] += next;
    });
    if (moved < 1e-14) break;
  }
  return Float64Array.from(q, (_, l) => clip(l, 0));
}

// ---- descent: exponentiated gradient with a step that grows while it helps and shrinks when it does not
function descend(law, objective, start, limits, steps) {
  let p = project(Float64Array.from(start, (v) => Math.max(v, 1e-6)), limits);
  const size = Math.max(Math.abs(total(law, objective, p)), 1e-3);
  for (const smoothing of objective.peak ? [0.1 * size, 0.01 * size] : [0]) {
    const smooth = (q) => {
      const x = objective.pieces(law.predict(q, objective.members)), [more] = penaltyOf(objective, q);
      if (!objective.peak) return [objective.combine(x) + more, x.map(() => 1)];
      const inside = objective.within(x), top = Math.max(...x.filter((_, m) => inside[m]));
      const e = x.map((v, m) => (inside[m] ? Math.exp((v - top) / smoothing) : 0)), s = sumOf(e);
      return [top + smoothing * Math.log(s) + more, e.map((v) => v / s)];
    };
    let [f, weights] = smooth(p), step = 1, still = 0;
    for (let i = 0; i < steps && still < 6 && step > 1e-12; i++) {
      const gradient = penaltyOf(objective, p)[1];
      law.take(p);
      objective.members.forEach((t, m) => { if (weights[m] > 0) law.addGradient(t, weights[m] * objective.slope[t], gradient); });
      let mean = 0;
      for (let l = 0; l < law.L; l++) mean += p[l] * gradient[l];
      const next = project(p.map((v, l) => v * Math.exp(Math.max(-30, Math.min(30, -step * (gradient[l] - mean))))), limits);
      const [value, again] = smooth(next);
      if (value <= f) {
        still = f - value < 1e-13 * Math.abs(f) ? still + 1 : 0;
        [p, f, weights] = [next, value, again];
        step *= 1.5;
      } else step /= 3;
    }
  }
  return p;
}

// ---- small dense algebra: Cholesky factor in place (false where the matrix is not positive definite), and its solve
function cholesky(A, n) {
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let s = A[i * n + j];
      for (let k = 0; k < j; k++) s -= A[i * n + k] * A[j * n + k];
      if (i === j) {
        if (!(s > 0)) return false;
        A[j * n + j] = Math.sqrt(s);
      } else A[i * n + j] = s / A[j * n + j];
    }
  }
  return true;
}

function solved(A, n, b) {
  const x = Float64Array.from(b);
  for (let i = 0; i < n; i++) { for (let k = 0; k < i; k++) x[i] -= A[i * n + k] * x[k]; x[i] /= A[i * n + i]; }
  for (let i = n - 1; i >= 0; i--) { for (let k = i + 1; k < n; k++) x[i] -= A[k * n + i] * x[k]; x[i] /= A[i * n + i]; }
  return x;
}

// min ½ zᵀQz + cᵀz with Ez = 0 and Az ≤ b (b ≥ 0: z = 0 is allowed), by a primal-dual interior point (Mehrotra 1992). Rows are
// sparse: [[index, value], …]. Returns z and the multipliers of A's rows.
function quadratic(Q, c, n, E, A, b) {
  const z = new Float64Array(n), y = new Float64Array(E.length), m = A.length;
  const s = Float64Array.from(b, (v) => Math.max(v, 1e-3)), u = new Float64Array(m).fill(1);
  const times = (row, v) => { let x = 0; for (const [i, w] of row) x += w * v[i]; return x; };
  for (let turn = 0; turn < 60; turn++) {
    const dual = Float64Array.from(c);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) dual[i] += Q[i * n + j] * z[j];
    E.forEach((row, e) => { for (const [i, w] of row) dual[i] += w * y[e]; });
    A.forEach((row, k) => { for (const [i, w] of row) dual[i] += w * u[k]; });
    const primal = A.map((row, k) => times(row, z) + s[k] - b[k]), equal = E.map((row) => times(row, z));
    let mu = 0;
    for (let k = 0; k < m; k++) mu += s[k] * u[k];
    mu /= Math.max(m, 1);
    if (Math.max(mu, ...dual.map(Math.abs), ...primal.map(Math.abs), ...equal.map(Math.abs)) < 1e-12) break;
    const K = Float64Array.from(Q);
    for (let i = 0; i < n; i++) K[i * n + i] += 1e-13;
    A.forEach((row, k) => { const w = u[k] / s[k]; for (const [i, a] of row) for (const [j, v] of row) K[i * n + j] += w * a * v; });
    if (!cholesky(K, n)) break;
    const KE = E.map((row) => { const v = new Float64Array(n); for (const [i, w] of row) v[i] = w; return solved(K, n, v); });
    const M = new Float64Array(E.length ** 2);
    E.forEach((row, e) => KE.forEach((v, f) => { M[e * E.length + f] = times(row, v) + (e === f ? 1e-14 : 0); }));
    if (!cholesky(M, E.length)) break;
    const direction = (aim, ds, du) => {
      const r = dual.map((v) => -v);
      const centre = primal.map((v, k) => (aim - s[k] * u[k] - ds[k] * du[k]) / s[k] + (u[k] / s[k]) * v);
      A.forEach((row, k) => { for (const [i, w] of row) r[i] -= w * centre[k]; });
      const free = solved(K, n, r), dy = solved(M, E.length, E.map((row, e) => times(row, free) + equal[e]));
      const dz = free.map((v, i) => v - KE.reduce((x, k, e) => x + k[i] * dy[e], 0));
      const slack = A.map((row, k) => -primal[k] - times(row, dz));
      return [dz, dy, slack, slack.map((v, k) => (aim - s[k] * u[k] - ds[k] * du[k] - u[k] * v) / s[k])];
    };
    const most = (x, dx) => x.reduce((a, v, k) => (dx[k] < 0 ? Math.min(a, -v / dx[k]) : a), 1);
    const none = new Float64Array(m), [, , ds, du] = direction(0, none, none), a = most(s, ds), d = most(u, du);
    let ahead = 0;
    for (let k = 0; k < m; k++) ahead += (s[k] + a * ds[k]) * (u[k] + d * du[k]);
    const [dz, dy, es, eu] = direction(mu * Math.pow(Math.max(ahead / Math.max(m, 1) / mu, 0), 3), ds, du);
    const length = 0.995 * Math.min(most(s, es), most(u, eu));
    if (!(length > 1e-10)) break;
    for (let i = 0; i < n; i++) z[i] += length * dz[i];
    for (let e = 0; e < y.length; e++) y[e] += length * dy[e];
    for (let k = 0; k < m; k++) { s[k] += length * es[k]; u[k] += length * eu[k]; }
  }
  return [z, u];
}

// Curvature of Σ_m share_m x_m and of the penalty, from differences of the gradient, [n * n] over the free languages
function curvature(law, objective, p, shares, free) {
  const n = free.length, H = new Float64Array(n * n);
  const gradient = (q) => {
    const g = penaltyOf(objective, q)[1];
    law.take(q);
    objective.members.forEach((t, m) => { if (shares[m] > 1e-9) law.addGradient(t, shares[m] * objective.slope[t], g); });
    return g;
  };
  const here = gradient(p);
  free.forEach((l, i) => {
    const q = p.slice(), step = 1e-5 * Math.max(p[l], 1e-6);
    q[l] += step;
    const there = gradient(q);
    free.forEach((k, j) => { H[i * n + j] += (there[k] - here[k]) / step / 2; H[j * n + i] += (there[k] - here[k]) / step / 2; });
  });
  return H;
}

// ---- polish: sequential quadratic programming; a maximum becomes an epigraph (min τ with τ ≥ x_m). The merit is the
// objective itself, because every step keeps the limits.
function polish(law, objective, start, limits, turns = 60) {
  let p = start, value = total(law, objective, p), shares = null;
  const free = [...p.keys()].filter((l) => limits.high[l] - limits.low[l] > 1e-12), n = free.length;
  if (n < 2 || !Number.isFinite(value)) return p;
  const place = new Map(free.map((l, i) => [l, i])), width = objective.peak ? n + 1 : n;
  const groups = (limits.groups ?? []).map((g) => ({ ...g, row: g.members.filter((l) => place.has(l)).map((l) => [place.get(l), 1]) }));
  const E = [free.map((_, i) => [i, 1]), ...groups.filter((g) => g.ceiling - g.floor < 1e-12).map((g) => g.row)];
  for (let turn = 0, damping = 0; turn < turns && damping < 1e12; turn++) {
    const x = objective.pieces(law.predict(p, objective.members)), inside = objective.peak ? objective.within(x) : x.map(() => true);
    const rows = slopesOf(law, objective, p), [, push] = penaltyOf(objective, p), top = objective.peak ? value : 0;
    // scaled so that differences of the objective are of order one
    const scale = 1 / Math.max(1e-12, ...rows.map((g, m) => (inside[m] ? Math.max(...free.map((l) => Math.abs(g[l] - g[free[0]]))) : 0)));
    if (!shares) shares = objective.peak ? x.map((v, m) => (inside[m] && v >= Math.max(...x.filter((_, k) => inside[k])) * (1 - 1e-3) ? 1 : 0)) : x.map(() => 1);
    if (objective.peak) { const s = sumOf(shares); shares = shares.map((v) => v / s); }
    const H = curvature(law, objective, p, shares, free).map((v) => v * scale);
    let trace = 0;
    for (let i = 0; i < n; i++) trace = Math.max(trace, Math.abs(H[i * n + i]));
    for (let more = damping; ; more = Math.max(10 * more, 1e-10 * Math.max(trace, 1))) {
      const test = Float64Array.from(H);
      for (let i = 0; i < n; i++) test[i * n + i] += more;
      if (cholesky(test.slice(), n)) { for (let i = 0; i < n; i++) H[i * n + i] += more; break; }
    }
    const Q = new Float64Array(width * width), c = new Float64Array(width);
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) Q[i * width + j] = H[i * n + j];
    free.forEach((l, i) => { c[i] = scale * push[l]; });
    if (objective.peak) c[n] = 1;
    else rows.forEach((g) => free.forEach((l, i) => { c[i] += scale * g[l]; }));
    const A = [], b = [];
    free.forEach((l, i) => {
      A.push([[i, -1]], [[i, 1]]);
      b.push(Math.max(p[l] - limits.low[l], 0), Math.max(limits.high[l] - p[l], 0));
    });
    for (const { members, row, floor, ceiling } of groups) {
      if (ceiling - floor < 1e-12 || !row.length) continue;
      const held = members.reduce((s, l) => s + p[l], 0);
      A.push(row.map(([i]) => [i, -1]), row);
      b.push(Math.max(held - floor, 0), Math.max(ceiling - held, 0));
    }
    const first = A.length, under = objective.peak ? [...x.keys()].filter((m) => inside[m]) : [];
    const peak = under.length ? Math.max(...under.map((m) => x[m])) : 0;
    for (const m of under) { A.push([...free.map((l, i) => [i, scale * rows[m][l]]), [n, -1]]); b.push(scale * (peak - x[m])); }
    const [z, u] = quadratic(Q, c, width, E, A, b);
    const along = (length, by = z) => { const q = p.slice(); free.forEach((l, i) => { q[l] = Math.min(limits.high[l], Math.max(limits.low[l], q[l] + length * by[i])); }); return q; };
    let gain = 0;
    for (let i = 0; i < width; i++) gain -= c[i] * z[i];
    if (!(gain > 1e-13 * scale * Math.max(Math.abs(value), 1e-3))) return p;
    let found = null;
    for (let length = 1; length > 1e-6 && !found; length /= 2) {
      const q = along(length), there = total(law, objective, q);
      if (there < value - (1e-4 * length * gain) / scale && violation(q, limits) < 1e-9) found = [q, there];
      if (length === 1 && !found && objective.peak) {
        // the pieces bend away from each other: their values at the full step correct the model
        const bent = objective.pieces(law.predict(q, objective.members)), again = b.slice();
        under.forEach((m, k) => { again[first + k] = scale * (peak - (bent[m] - free.reduce((s, l, i) => s + rows[m][l] * z[i], 0))); });
        const lift = Math.min(0, ...again.slice(first));
        for (let k = first; k < again.length; k++) again[k] -= lift;
        const [w] = quadratic(Q, c, width, E, A, again), r = along(1, w), better = total(law, objective, r);
        if (better < value - (1e-4 * gain) / scale && violation(r, limits) < 1e-9) found = [r, better];
      }
    }
    if (!found) { damping = Math.max(100 * damping, 1e-4 * Math.max(trace, 1)); continue; }
    damping = damping > 1e-8 ? damping / 10 : 0;
    if (objective.peak) { shares = x.map(() => 0); under.forEach((m, k) => { shares[m] = u[first + k]; }); }
    [p, value] = found;
  }
  return p;
}

// The least value found from several starts: each descends, the best distinct ends are polished.
function minimise(law, objective, starts, limits, steps = 150) {
  const one = [];
  for (const end of starts.map((start) => descend(law, objective, start, limits, steps)).map((p) => [total(law, objective, p), p]).sort((a, b) => a[0] - b[0])) {
    if (one.length < 3 && one.every(([, p]) => p.reduce((s, v, l) => s + Math.abs(v - end[1][l]), 0) > 0.02)) one.push(end);
  }
  const ends = one.map(([, p]) => polish(law, objective, p, limits)).map((p) => [total(law, objective, p), p]).sort((a, b) => a[0] - b[0]);
  return ends[0][1];
}

// Each counting target's least loss under the limits, [T]; 1 for the others.
function ownBests(law, weights, limits, told = () => {}) {
  const members = [...weights.keys()].filter((t) => weights[t] > 0), best = weights.map(() => 1);
  const even = new Float64Array(law.L).fill(1 / law.L);
  members.forEach((t, done) => {
    const alone = new Objective("mean", weights.map((_, k) => (k === t ? 1 : 0)));
    const starts = law.own[t] < 0 ? [even] : [even.map((_, l) => (l === law.own[t] ? 1 : 1e-6)), even];
    best[t] = total(law, alone, minimise(law, alone, starts, limits));
    told((done + 1) / members.length);
  });
  return best;
}

// What a worker is asked, {kind, weights, q, penalty, limits, N, D, best or null, starts or null}: own bests where the kind needs
// them and none are given, and the optimum where there are starts.
function answer(law, asked, told) {
  law.N = asked.N;
  law.D = asked.D;
  const best = asked.best ?? (RELATIVE.includes(asked.kind) ? ownBests(law, asked.weights, asked.limits, told) : null);
  if (!asked.starts) return { best };
  const objective = new Objective(asked.kind, asked.weights, best, asked.q, asked.penalty);
  return { best, p: minimise(law, objective, asked.starts, asked.limits) };
}
