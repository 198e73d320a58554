/* The operations between the matrix products of a small proxy, on one CPU core, for tensors in fp32 and in bf16.

   What is read and written is of the type STORED; every sum, exponential and root in between is fp32, in vectors of
   LANES floats: 8 everywhere, and 16 as well where the processor has them, for rows that they divide. This file includes
   itself once for each of them. Plain C with GCC/Clang vector types; compiled once per machine by native.py and called on
   tensors' memory.
   Every function is checked against torch's own operations in tests/proxy/test_kernels.py.
   Comparisons are written so that NaN and infinity pass through: a diverging model must show. */

#ifndef LANES /* ---- what depends on neither ------------------------------------------------------------------ */

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__AVX512BF16__) && defined(__AVX512VL__)
#include <immintrin.h>
#define BF16_ROUNDING /* an instruction for it */
#endif

typedef uint16_t bf16;

static inline float get_f32(const float *p) { return *p; }
static inline void put_f32(float *p, float x) { *p = x; }
static inline float get_bf16(const bf16 *p) {
    union { uint32_t bits; float x; } u = {(uint32_t)*p << 16};
    return u.x;
}
static inline void put_bf16(bf16 *p, float x) {
    union { float x; uint32_t bits; } u = {x};
    *p = x != x ? (u.bits | 0x400000) >> 16 : (u.bits + 0x7FFF + ((u.bits >> 16) & 1)) >> 16;
}
#define get(p) _Generic((p), const float *: get_f32, float *: get_f32, const bf16 *: get_bf16, bf16 *: get_bf16)(p)
#define put(p, x) _Generic((p), float *: put_f32, bf16 *: put_bf16)(p, x)

/* One AdamW update of a model's parameters; the gradient is scaled by clip and cleared. */
void adamw(float *weight, float *gradient, float *first, float *second, int64_t size, float clip, float beta1,
           float beta2, float keep, float rate, float inverse_root, float epsilon) {
    for (int64_t i = 0; i < size; i++) {
        float g = gradient[i] * clip;
        gradient[i] = 0;
        float m = first[i] = beta1 * first[i] + (1 - beta1) * g;
        float v = second[i] = beta2 * second[i] + (1 - beta2) * g * g;
        weight[i] = weight[i] * keep - rate * m / (sqrtf(v) * inverse_root + epsilon);
    }
}

/* --- causal attention with rotary positions -------------------------------------------------------------------
   qkv [B, T, 3, H, W], out [B, T, H, W], lse [B, H, T]; cos and sin [T, W/2]. W is a multiple of 8.
   One head at a time: its keys and values (T W floats each) stay in the first-level cache. Keys after the
   query are never touched, which halves the work.
   work: floats for one head, see native.py. Scores have row length S = T rounded up to 16. */

static void transposed(const float *x, float *out, int64_t S, int64_t W) {
    for (int64_t t = 0; t < S; t++)
        for (int64_t w = 0; w < W; w++) out[w * S + t] = x[t * W + w];
}

#define PASTE(a, b) a##b
#define JOIN(a, b) PASTE(a, b)
#define V JOIN(v, LANES) /* a vector */
#define WITH(name) JOIN(name, LANES)
#define load(p)                                                                                                        \
    _Generic((p), const float *: WITH(load_f32_), float *: WITH(load_f32_), const bf16 *: WITH(load_bf16_),            \
             bf16 *: WITH(load_bf16_))(p)
#define store(p, x) _Generic((p), float *: WITH(store_f32_), bf16 *: WITH(store_bf16_))(p, x)
#define all WITH(all)
#define choose WITH(choose)
#define sum WITH(sum)
#define highest WITH(highest)
#define exponential WITH(exponential)

#ifdef __AVX512F__
const int64_t widest = 16;
#define LANES 16
#define ROWS 8 /* queries that share a pass over the keys: enough accumulators to keep the multipliers busy */
#include "native.c"
#undef LANES
#undef ROWS
#else
const int64_t widest = 8;
#endif
#define LANES 8
#define ROWS 4
#include "native.c"

#elif !defined(STORED) /* ---- once for each width of a vector -------------------------------------------------- */

typedef float V __attribute__((vector_size(4 * LANES)));
typedef float WITH(loose_f32_) __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t WITH(whole) __attribute__((vector_size(4 * LANES)));
typedef uint32_t WITH(bits) __attribute__((vector_size(4 * LANES)));
typedef uint16_t WITH(half) __attribute__((vector_size(2 * LANES)));
typedef uint16_t WITH(loose_bf16_) __attribute__((vector_size(2 * LANES), aligned(2)));

static inline V WITH(load_f32_)(const float *p) { return *(const WITH(loose_f32_) *)p; }
static inline void WITH(store_f32_)(float *p, V x) { *(WITH(loose_f32_) *)p = x; }
static inline V WITH(load_bf16_)(const bf16 *p) {
    return (V)(__builtin_convertvector(*(const WITH(loose_bf16_) *)p, WITH(bits)) << 16);
}
/* To the nearest, ties to even; NaN stays NaN. */
static inline void WITH(store_bf16_)(bf16 *p, V x) {
#if defined(BF16_ROUNDING) && LANES == 16
    *(WITH(loose_bf16_) *)p = (WITH(half))_mm512_cvtneps_pbh((__m512)x);
#elif defined(BF16_ROUNDING)
    *(WITH(loose_bf16_) *)p = (WITH(half))_mm256_cvtneps_pbh((__m256)x);
#else
    WITH(bits) bits = (WITH(bits))x, rounded = bits + 0x7FFF + ((bits >> 16) & 1);
    WITH(bits) nan = (WITH(bits))(x != x);
    *(WITH(loose_bf16_) *)p = __builtin_convertvector(((nan & (bits | 0x400000)) | (~nan & rounded)) >> 16, WITH(half));
#endif
}

static inline V all(float x) { return x - (V){0}; }
static inline V choose(WITH(whole) mask, V a, V b) {
    return (V)((mask & (WITH(whole))a) | (~mask & (WITH(whole))b));
}
static inline float sum(V x) {
    float s[LANES];
    memcpy(s, &x, sizeof s);
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++) s[i] += s[i + half];
    return s[0];
}
static inline float highest(V x) {
    float top = x[0];
    for (int i = 1; i < LANES; i++) top = x[i] < top ? top : x[i];
    return top;
}

/* e^x to 2 units in the last place for x <= 0 and moderate x > 0; below -87 it is e^-87. */
static inline V exponential(V x) {
    x = choose(x < all(-87.0f), all(-87.0f), x);
    x = choose(x > all(88.0f), all(88.0f), x);
    V shifted = x * all(1.44269504f) + all(12582912.0f); /* rounds to the nearest integer in the low bits */
    V n = shifted - all(12582912.0f);
    V r = x - n * all(0.693359375f) + n * all(2.12194440e-4f);
    V p = all(1.9875691500e-4f);
    p = p * r + all(1.3981999507e-3f);
    p = p * r + all(8.3334519073e-3f);
    p = p * r + all(4.1665795894e-2f);
    p = p * r + all(1.6666665459e-1f);
    p = p * r + all(5.0000001201e-1f);
    p = p * r * r + r + all(1.0f);
    WITH(whole) power = ((WITH(whole))shifted - 0x4B400000 + 127) << 23;
    return p * (V)power;
}

/* out[r][j] = sum_w a[r][w] b[w][j] for ROWS rows and the first `count` (multiple of 16) columns */
static inline void WITH(scores)(const float *a, const float *b, float *out, int64_t W, int64_t S, int64_t count) {
    for (int64_t j = 0; j < count; j += 16) {
        V total[ROWS][16 / LANES] = {0};
        for (int64_t w = 0; w < W; w++)
            for (int c = 0; c < 16 / LANES; c++) {
                V column = load(b + w * S + j + c * LANES);
                for (int r = 0; r < ROWS; r++) total[r][c] += all(a[r * W + w]) * column;
            }
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < 16 / LANES; c++) store(out + r * S + j + c * LANES, total[r][c]);
    }
}

/* out[r][w] = sum_j a[r][j] b[j][w] over the first `count` rows of b */
static inline void WITH(mix)(const float *a, const float *b, float *out, int64_t W, int64_t S, int64_t count) {
    int64_t w = 0;
    for (; w + 16 <= W; w += 16) {
        V total[ROWS][16 / LANES] = {0};
        for (int64_t j = 0; j < count; j++)
            for (int c = 0; c < 16 / LANES; c++) {
                V column = load(b + j * W + w + c * LANES);
                for (int r = 0; r < ROWS; r++) total[r][c] += all(a[r * S + j]) * column;
            }
        for (int r = 0; r < ROWS; r++)
            for (int c = 0; c < 16 / LANES; c++) store(out + r * W + w + c * LANES, total[r][c]);
    }
    for (; w < W; w += LANES) {
        V total[ROWS] = {0};
        for (int64_t j = 0; j < count; j++)
            for (int r = 0; r < ROWS; r++) total[r] += all(a[r * S + j]) * load(b + j * W + w);
        for (int r = 0; r < ROWS; r++) store(out + r * W + w, total[r]);
    }
}

/* b[j][w] += sum_r a[r][j] c[r][w] for the first `count` rows of b */
static inline void WITH(spread)(const float *a, const float *c, float *b, int64_t W, int64_t S, int64_t count) {
    for (int64_t w = 0; w < W; w += LANES) {
        V row[ROWS];
        for (int r = 0; r < ROWS; r++) row[r] = load(c + r * W + w);
        for (int64_t j = 0; j < count; j++) {
            V total = load(b + j * W + w);
            for (int r = 0; r < ROWS; r++) total += all(a[r * S + j]) * row[r];
            store(b + j * W + w, total);
        }
    }
}

static inline int64_t WITH(keys)(int64_t i) { return (i + ROWS + 15) / 16 * 16; }

#define STORED float
#define OF(name) WITH(name##_f32_)
#include "native.c"
#undef STORED
#undef OF
#define STORED bf16
#define OF(name) WITH(name##_bf16_)
#include "native.c"
#undef STORED
#undef OF

#else /* ---- once for each type as well ------------------------------------------------------------------------- */

/* y = x / sqrt(mean(x^2) + epsilon) for every row; scale keeps 1 / sqrt(...). width is a multiple of LANES. */
void OF(rms_forward)(const STORED *x, STORED *y, float *scale, int64_t rows, int64_t width, float epsilon) {
    for (int64_t n = 0; n < rows; n++, x += width, y += width) {
        V square = all(0);
        for (int64_t d = 0; d < width; d += LANES) square += load(x + d) * load(x + d);
        float s = scale[n] = 1.0f / sqrtf(sum(square) / width + epsilon);
        for (int64_t d = 0; d < width; d += LANES) store(y + d, load(x + d) * all(s));
    }
}

/* dx = scale (dy - y mean(dy y)) */
void OF(rms_backward)(const STORED *dy, const STORED *y, const float *scale, STORED *dx, int64_t rows, int64_t width) {
    for (int64_t n = 0; n < rows; n++, dy += width, y += width, dx += width) {
        V dot = all(0);
        for (int64_t d = 0; d < width; d += LANES) dot += load(dy + d) * load(y + d);
        V mean = all(sum(dot) / width), s = all(scale[n]);
        for (int64_t d = 0; d < width; d += LANES) store(dx + d, s * (load(dy + d) - load(y + d) * mean));
    }
}

/* y = silu(gate) up, gate and up being the halves of a row. width is a multiple of LANES. */
void OF(swiglu_forward)(const STORED *x, STORED *y, int64_t rows, int64_t width) {
    for (int64_t n = 0; n < rows; n++, x += 2 * width, y += width)
        for (int64_t d = 0; d < width; d += LANES) {
            V gate = load(x + d);
            store(y + d, gate / (all(1) + exponential(-gate)) * load(x + width + d));
        }
}

void OF(swiglu_backward)(const STORED *dy, const STORED *x, STORED *dx, int64_t rows, int64_t width) {
    for (int64_t n = 0; n < rows; n++, x += 2 * width, dx += 2 * width, dy += width)
        for (int64_t d = 0; d < width; d += LANES) {
            V gate = load(x + d), up = load(x + width + d), g = load(dy + d);
            V sigmoid = all(1) / (all(1) + exponential(-gate)), silu = gate * sigmoid;
            store(dx + d, g * up * (sigmoid + silu - silu * sigmoid));
            store(dx + width + d, g * silu);
        }
}

/* Cross-entropy of each row of logits; the logits become their gradient p - 1{target}. row: room for `vocab` floats. */
void OF(cross_entropy)(STORED *logits, const int64_t *target, float *loss, float *row, int64_t rows, int64_t vocab) {
    for (int64_t n = 0; n < rows; n++, logits += vocab) {
        int64_t whole = vocab - vocab % LANES, v;
        V high = all(-INFINITY), total = all(0);
        for (v = 0; v < whole; v += LANES) high = choose(load(logits + v) < high, high, load(logits + v));
        float top = highest(high);
        for (; v < vocab; v++) top = get(logits + v) < top ? top : get(logits + v);
        float chosen = get(logits + target[n]);
        for (v = 0; v < whole; v += LANES) {
            V e = exponential(load(logits + v) - all(top));
            total += e;
            store(row + v, e);
        }
        float whole_sum = sum(total);
        for (; v < vocab; v++) whole_sum += row[v] = expf(get(logits + v) - top);
        loss[n] = logf(whole_sum) + top - chosen;
        float inverse = 1.0f / whole_sum;
        for (v = 0; v < whole; v += LANES) store(logits + v, load(row + v) * all(inverse));
        for (; v < vocab; v++) put(logits + v, row[v] * inverse);
        put(logits + target[n], row[target[n]] * inverse - 1.0f);
    }
}

/* A head's rotated rows: [T, W] from memory with row length `stride`; rows T..S are zeros. */
static void OF(rotated)(const STORED *x, int64_t stride, const float *cos, const float *sin, float scale, float *out,
                        int64_t T, int64_t S, int64_t W) {
    int64_t half = W / 2;
    for (int64_t t = 0; t < T; t++, x += stride, out += W, cos += half, sin += half) {
        int64_t w = 0;
        for (; w + LANES <= half; w += LANES) {
            V a = load(x + w), b = load(x + half + w), c = load(cos + w), s = load(sin + w);
            store(out + w, (a * c - b * s) * all(scale));
            store(out + half + w, (b * c + a * s) * all(scale));
        }
        for (; w < half; w++) {
            float a = get(x + w), b = get(x + half + w), c = cos[w], s = sin[w];
            out[w] = (a * c - b * s) * scale;
            out[half + w] = (b * c + a * s) * scale;
        }
    }
    memset(out, 0, (S - T) * W * sizeof(float));
}

/* The transpose of `rotated`: gradients back to before the rotation. */
static void OF(rotated_back)(const float *dx, int64_t stride, const float *cos, const float *sin, float scale,
                             STORED *out, int64_t T, int64_t W) {
    int64_t half = W / 2;
    for (int64_t t = 0; t < T; t++, dx += W, out += stride, cos += half, sin += half) {
        int64_t w = 0;
        for (; w + LANES <= half; w += LANES) {
            V a = load(dx + w), b = load(dx + half + w), c = load(cos + w), s = load(sin + w);
            store(out + w, (a * c + b * s) * all(scale));
            store(out + half + w, (b * c - a * s) * all(scale));
        }
        for (; w < half; w++) {
            float a = dx[w], b = dx[half + w], c = cos[w], s = sin[w];
            put(out + w, (a * c + b * s) * scale);
            put(out + half + w, (b * c - a * s) * scale);
        }
    }
}

static void OF(copied)(const STORED *x, int64_t stride, float *out, int64_t T, int64_t S, int64_t W) {
    for (int64_t t = 0; t < T; t++)
        for (int64_t w = 0; w < W; w += LANES) store(out + t * W + w, load(x + t * stride + w));
    memset(out + T * W, 0, (S - T) * W * sizeof(float));
}

void OF(attention_forward)(const STORED *qkv, const float *cos, const float *sin, STORED *out, float *lse, float *work,
                           int64_t B, int64_t T, int64_t H, int64_t W) {
    int64_t S = (T + 15) / 16 * 16, D = H * W;
    float scale = 1.0f / sqrtf((float)W);
    float *q = work, *k = q + S * W, *kT = k + S * W, *v = kT + S * W, *p = v + S * W, *o = p + ROWS * S;
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++) {
            const STORED *head = qkv + b * T * 3 * D + h * W;
            OF(rotated)(head, 3 * D, cos, sin, scale, q, T, S, W);
            OF(rotated)(head + D, 3 * D, cos, sin, 1, k, T, S, W);
            transposed(k, kT, S, W);
            OF(copied)(head + 2 * D, 3 * D, v, T, S, W);
            for (int64_t i = 0; i < T; i += ROWS) {
                WITH(scores)(q + i * W, kT, p, W, S, WITH(keys)(i));
                int64_t rows = T - i < ROWS ? T - i : ROWS;
                float inverse[ROWS] = {0};
                for (int64_t r = 0; r < rows; r++) {
                    float *row = p + r * S;
                    for (int64_t j = i + r + 1; j < WITH(keys)(i); j++) row[j] = -INFINITY;
                    V high = load(row);
                    for (int64_t j = LANES; j <= i + r; j += LANES)
                        high = choose(load(row + j) < high, high, load(row + j));
                    float top = highest(high);
                    V total = all(0);
                    for (int64_t j = 0; j <= i + r; j += LANES) {
                        V e = exponential(load(row + j) - all(top));
                        store(row + j, e);
                    }
                    for (int64_t j = i + r + 1; j < WITH(keys)(i); j++) row[j] = 0;
                    for (int64_t j = 0; j <= i + r; j += LANES) total += load(row + j);
                    float row_sum = sum(total);
                    inverse[r] = 1.0f / row_sum;
                    lse[(b * H + h) * T + i + r] = top + logf(row_sum);
                }
                WITH(mix)(p, v, o, W, S, i + rows);
                for (int64_t r = 0; r < rows; r++) {
                    STORED *to = out + ((b * T + i + r) * H + h) * W;
                    for (int64_t w = 0; w < W; w += LANES) store(to + w, load(o + r * W + w) * all(inverse[r]));
                }
            }
        }
}

void OF(attention_backward)(const STORED *dout, const STORED *out, const STORED *qkv, const float *cos,
                            const float *sin, const float *lse, STORED *dqkv, float *work, int64_t B, int64_t T,
                            int64_t H, int64_t W) {
    int64_t S = (T + 15) / 16 * 16, D = H * W, size = S * W;
    float scale = 1.0f / sqrtf((float)W);
    float *q = work, *k = q + size, *kT = k + size, *v = kT + size, *vT = v + size, *g = vT + size;
    float *dq = g + size, *dk = dq + size, *dv = dk + size, *p = dv + size, *ds = p + ROWS * S;
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++) {
            const STORED *head = qkv + b * T * 3 * D + h * W;
            const STORED *o = out + b * T * D + h * W;
            STORED *dhead = dqkv + b * T * 3 * D + h * W;
            OF(rotated)(head, 3 * D, cos, sin, scale, q, T, S, W);
            OF(rotated)(head + D, 3 * D, cos, sin, 1, k, T, S, W);
            transposed(k, kT, S, W);
            OF(copied)(head + 2 * D, 3 * D, v, T, S, W);
            transposed(v, vT, S, W);
            OF(copied)(dout + b * T * D + h * W, D, g, T, S, W);
            memset(dk, 0, 2 * size * sizeof(float));
            for (int64_t i = 0; i < T; i += ROWS) {
                WITH(scores)(q + i * W, kT, p, W, S, WITH(keys)(i));
                WITH(scores)(g + i * W, vT, ds, W, S, WITH(keys)(i));
                for (int64_t r = 0; r < ROWS; r++) {
                    int64_t t = i + r, end = WITH(keys)(i);
                    float *row = p + r * S, *drow = ds + r * S;
                    if (t >= T) {
                        memset(row, 0, end * sizeof(float));
                        memset(drow, 0, end * sizeof(float));
                        continue;
                    }
                    V dot = all(0);
                    for (int64_t w = 0; w < W; w += LANES) dot += load(g + t * W + w) * load(o + t * D + w);
                    V delta = all(sum(dot)), top = all(lse[(b * H + h) * T + t]);
                    for (int64_t j = 0; j <= t; j += LANES) {
                        V e = exponential(load(row + j) - top);
                        store(row + j, e);
                        store(drow + j, e * (load(drow + j) - delta));
                    }
                    for (int64_t j = t + 1; j < end; j++) row[j] = drow[j] = 0;
                }
                WITH(mix)(ds, k, dq + i * W, W, S, WITH(keys)(i) < S ? WITH(keys)(i) : S);
                WITH(spread)(ds, q + i * W, dk, W, S, i + ROWS < S ? i + ROWS : S);
                WITH(spread)(p, g + i * W, dv, W, S, i + ROWS < S ? i + ROWS : S);
            }
            OF(rotated_back)(dq, 3 * D, cos, sin, scale, dhead, T, W);
            OF(rotated_back)(dk, 3 * D, cos, sin, 1, dhead + D, T, W);
            for (int64_t t = 0; t < T; t++)
                for (int64_t w = 0; w < W; w += LANES) store(dhead + 2 * D + t * 3 * D + w, load(dv + t * W + w));
        }
}

#endif
