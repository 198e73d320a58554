"use strict";
// What is added to a law: Gaussian processes that correct it (src/glotmix/laws/gaussian_process.py), and errors of its form in
// the resamples (src/glotmix/fit/form.py). And how numbers travel.

function unpack(text, bits) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bits === 8 ? new Int8Array(bytes.buffer) : bits === 16 ? new Int16Array(bytes.buffer) : bits === 32 ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

// resampled parameters [B * T * P]: exact, or fitted ones plus steps of 16 or 8 bits
function unpackResamples(data, theta) {
  if (!data) return new Float64Array(0);
  if (data.values) return unpack(data.values, 64);
  const step = unpack(data.step, 32), steps = unpack(data.steps, data.bits), values = new Float64Array(steps.length);
  for (let i = 0; i < values.length; ) for (let j = 0; j < theta.length; i++, j++) values[i] = theta[j] + steps[i] * step[j];
  return values;
}

// Processes, one per target: Matérn-5/2 on factor p^power and, where they are known, ln N and ln D, plus pairs (L p.q)^2. take(p)
// comes first; what it leads to is computed once per mixture and target.
class Processes {
  constructor({ power, factor, tiny, features, targets }) {
    this.power = power;
    this.factor = factor;
    this.tiny = tiny;
    const arrays = features.map((text) => unpack(text, 64));
    const taken = arrays.map((x) => x.map((v) => (v / factor) ** (1 / power)));   // shares, of the features that are powers of them
    this.targets = targets.map((one) => {
      const length = unpack(one.length, 64), alpha = unpack(one.alpha, 64), x = arrays[one.x], K = length.length, R = alpha.length;
      const scaled = new Float64Array(R * K);
      for (let r = 0, i = 0; r < R; r++) for (let k = 0; k < K; k++, i++) scaled[i] = x[i] / length[k];
      return { ...one, length, alpha, scaled, shares: taken[one.x], inner: new Float64Array(R), K, R, root: unpack(one.root, one.picked ? 32 : 64), at: new Float64Array(K), kernel: new Float64Array(R), decay: new Float64Array(R), fresh: false };
    });
  }

  take(p, N, D) {
    this.p = p;
    const known = [N, D].filter((x) => x !== null && x !== undefined);
    this.x = Float64Array.from([...Array.from(p, (v) => this.factor * Math.max(v, 0) ** this.power), ...known.map(Math.log)]);
    for (const one of this.targets) one.fresh = false;
  }

  target(t) {
    const one = this.targets[t];
    if (one.fresh) return one;
    const { K, R, at, scaled, shares, inner, kernel, decay } = one, L = this.p.length;
    for (let k = 0; k < K; k++) at[k] = this.x[k] / one.length[k];
    one.sum = 0;
    for (let r = 0, i = 0; r < R; r++) {
      let square = 0;
      for (let k = 0; k < K; k++, i++) { const away = at[k] - scaled[i]; square += away * away; }
      const far = Math.sqrt(5 * square);
      decay[r] = one.variance * Math.exp(-far) * (1 + far);
      let product = 0;
      for (let l = 0; l < L; l++) product += this.p[l] * shares[r * K + l];
      inner[r] = L * product;
      kernel[r] = decay[r] + (one.variance * Math.exp(-far) * far * far) / 3 + one.pairs * inner[r] * inner[r];
      one.sum += kernel[r] * one.alpha[r];
    }
    one.fresh = true;
    one.reach = null;
    return one;
  }

  // expected log of measured over predicted loss
  mean(t) {
    const one = this.target(t);
    return one.unit * one.sum;
  }

  // its standard deviation, from all runs or from those picked: k(x, x) - |C k|², C a lower triangle row by row
  deviation(t) {
    const one = this.target(t);
    if (one.reach === null) {
      const k = one.picked ? Float64Array.from(one.picked, (r) => one.kernel[r]) : one.kernel;
      let told = 0;
      for (let i = 0, at = 0; i < k.length; i++) {
        let sum = 0;
        for (let j = 0; j <= i; j++, at++) sum += one.root[at] * k[j];
        told += sum * sum;
      }
      const equal = this.p.length * this.p.reduce((sum, v) => sum + v * v, 0);
      one.reach = one.unit * Math.sqrt(Math.max(one.variance + one.pairs * equal * equal - told, 0));
    }
    return one.reach;
  }

  // adds c d mean / dp to gradient
  addSlope(t, c, gradient) {
    const one = this.target(t), { K, R, at, scaled, shares, inner, decay, alpha } = one, L = this.p.length;
    const sum = new Float64Array(L), pairs = new Float64Array(L);
    for (let r = 0; r < R; r++) {
      const w = decay[r] * alpha[r], v = inner[r] * alpha[r];
      for (let l = 0, i = r * K; l < L; l++, i++) {
        sum[l] += w * (at[l] - scaled[i]);
        pairs[l] += v * shares[i];
      }
    }
    for (let l = 0; l < L; l++) {
      const slope = this.factor * this.power * Math.max(this.p[l], this.tiny) ** (this.power - 1);
      gradient[l] -= ((c * one.unit * (5 / 3) * sum[l]) / one.length[l]) * slope;
      gradient[l] += 2 * c * one.unit * one.pairs * L * pairs[l];
    }
  }
}

// errors of a law's form, smooth in the root of the shares: sqrt(2 / F) times the sum of A[b, f, t] cos(turn . sqrt(p) + phase)
class Draws {
  constructor(data, L, T) {
    this.turn = unpack(data.turn, 64);
    this.phase = unpack(data.phase, 64);
    this.F = this.phase.length;
    this.T = T;
    this.amplitude = unpackResamples(data, new Float64Array(this.F * T));
  }

  waves(p) {
    const wave = Float64Array.from(this.phase), F = this.F;
    for (let l = 0, i = 0; l < p.length; l++) {
      const root = Math.sqrt(Math.max(p[l], 0));
      for (let f = 0; f < F; f++, i++) wave[f] += this.turn[i] * root;
    }
    return wave.map((x) => Math.sqrt(2 / F) * Math.cos(x));
  }

  at(wave, b, t) {
    let sum = 0;
    for (let f = 0, i = b * this.F * this.T + t; f < this.F; f++, i += this.T) sum += wave[f] * this.amplitude[i];
    return sum;
  }
}
