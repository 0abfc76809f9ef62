// One step of a few rows, for one instruction set: see steps.h. STEPS names the table that this compilation fills.

#include "steps.h"

#include "cells.h"
#include "multiply.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace {

typedef int8_t Bytes __attribute__((vector_size(LANES * 2)));
typedef int16_t Shorts __attribute__((vector_size(LANES * 4)));
typedef int32_t Sums __attribute__((vector_size(LANES * 4)));
typedef double Doubles __attribute__((vector_size(LANES * 4)));
typedef float Halves __attribute__((vector_size(LANES * 2)));
typedef uint64_t Bits __attribute__((vector_size(LANES * 4)));
constexpr int DOUBLES = LANES / 2;

// ---------------------------------------------------------------------------------------------------------------------
// Products. With few rows there are several panels at a time, so that enough sums are on their way at once.

template <int R, int P>
void multiply_panels(const float *a, int64_t a_row, const float *packed, Inputs inputs, int64_t K, float *out, int64_t out_row) {
    Vec sums[R][2 * P] = {};
    packed += inputs.first * WIDTH;
    for (int64_t k = inputs.first; k < inputs.last; ++k, packed += WIDTH) {
        UNROLL for (int p = 0; p < P; ++p) {
            const Vec left = load(packed + p * K * WIDTH), right = load(packed + p * K * WIDTH + LANES);
            UNROLL for (int r = 0; r < R; ++r) {
                sums[r][2 * p] += a[r * a_row + k] * left;
                sums[r][2 * p + 1] += a[r * a_row + k] * right;
            }
        }
    }
    UNROLL for (int r = 0; r < R; ++r)
        UNROLL for (int p = 0; p < 2 * P; ++p) store(out + r * out_row + p * LANES, sums[r][p]);
}

// Sums of neighbouring products of 16-bit numbers.
inline Sums pair_sums(Shorts x, Shorts y) {
#if defined(__AVX512BW__)
    return (Sums)_mm512_madd_epi16((__m512i)x, (__m512i)y);
#elif defined(__AVX2__)
    return (Sums)_mm256_madd_epi16((__m256i)x, (__m256i)y);
#elif defined(__SSE2__)
    return (Sums)_mm_madd_epi16((__m128i)x, (__m128i)y);
#else
    Sums sums;
    for (int i = 0; i < LANES; ++i) sums[i] = (int32_t)x[2 * i] * y[2 * i] + (int32_t)x[2 * i + 1] * y[2 * i + 1];
    return sums;
#endif
}

// Compilers split and join a conversion of this width, so it is spelled out.
inline Shorts load_shorts(const int8_t *p) {
    Bytes bytes;
    memcpy(&bytes, p, sizeof bytes);
#if defined(__AVX512BW__)
    return (Shorts)_mm512_cvtepi8_epi16((__m256i)bytes);
#elif defined(__AVX2__)
    return (Shorts)_mm256_cvtepi8_epi16((__m128i)bytes);
#else
    return __builtin_convertvector(bytes, Shorts);
#endif
}

template <int R, int P>
void multiply_panels8(const int16_t *a, int64_t K, const float *steps, const int8_t *packed, const float *scales,
                      Inputs inputs, float *out, int64_t out_row) {
    Sums sums[R][2 * P] = {};
    const int64_t first = inputs.first - inputs.first % 2;
    packed += first * WIDTH;
    for (int64_t k = first; k < inputs.last; k += 2, packed += 2 * WIDTH) {
        UNROLL for (int p = 0; p < P; ++p) {
            const Shorts left = load_shorts(packed + p * K * WIDTH);
            const Shorts right = load_shorts(packed + p * K * WIDTH + 2 * LANES);
            UNROLL for (int r = 0; r < R; ++r) {
                int32_t pair;
                memcpy(&pair, a + r * K + k, sizeof pair);
                const Shorts both = (Shorts)(Sums{} + pair);
                sums[r][2 * p] += pair_sums(left, both);
                sums[r][2 * p + 1] += pair_sums(right, both);
            }
        }
    }
    UNROLL for (int r = 0; r < R; ++r)
        UNROLL for (int p = 0; p < 2 * P; ++p) {
            const Vec scaled = __builtin_convertvector(sums[r][p], Vec) * steps[r];
            store(out + r * out_row + p * LANES, scaled * load(scales + p * LANES));
        }
}

// Calls run(group of panels, their number): `most` at a time, in one direction or the other.
template <class Run>
void over_panels(int64_t panels, int64_t most, bool backwards, Run run) {
    const int64_t groups = (panels + most - 1) / most;
    for (int64_t i = 0; i < groups; ++i) {
        const int64_t first = (backwards ? groups - 1 - i : i) * most;
        run(first, least(most, panels - first));
    }
}

// What any of `count` panels takes.
Inputs joined(const Inputs *inputs, int64_t count) {
    Inputs all = *inputs;
    for (const Inputs *each = inputs + 1; each < inputs + count; ++each) {
        all.first = least(all.first, each->first);
        all.last = all.last > each->last ? all.last : each->last;
    }
    return all;
}

void product(const float *a, int64_t a_row, int64_t R, const float *packed, const Inputs *inputs, int64_t K, int64_t columns,
             float *out, int64_t out_row, bool backwards) {
    const int64_t panels = columns / WIDTH;
    if (R == 1)
        return over_panels(panels, 4, backwards, [&](int64_t first, int64_t count) {
            const float *from = packed + first * K * WIDTH;
            float *to = out + first * WIDTH;
            const Inputs taken = joined(inputs + first, count);
            if (count == 4) return multiply_panels<1, 4>(a, a_row, from, taken, K, to, out_row);
            if (count == 3) return multiply_panels<1, 3>(a, a_row, from, taken, K, to, out_row);
            if (count == 2) return multiply_panels<1, 2>(a, a_row, from, taken, K, to, out_row);
            return multiply_panels<1, 1>(a, a_row, from, taken, K, to, out_row);
        });
    const Blocks blocks(R);
    over_panels(panels, 1, backwards, [&](int64_t panel, int64_t) {
        const auto [first, last] = inputs[panel];
        for (int64_t block = 0; block < blocks.blocks; ++block) {
            const int64_t begin = blocks.start(block), rows = blocks.start(block + 1) - begin;
            multiply_by_rows[rows](a + begin * a_row + first, a_row, 1, packed + (panel * K + first) * WIDTH, last - first,
                                   out + begin * out_row + panel * WIDTH, out_row);
        }
    });
}

// The largest number becomes the largest 16-bit one, or less where the sums would not fit 32 bits. Returns what one step
// of the integers is worth: NaN if a number is NaN or infinite, so that all sums are.
float round_row(const float *a, int64_t K, int16_t *rounded) {
    float largest = 0.0f;
    bool finite = true;
    for (int64_t k = 0; k < K; ++k) {
        const float size = __builtin_fabsf(a[k]);
        finite &= size <= 3.4e38f;
        largest = size > largest ? size : largest;
    }
    const float room = (float)(2147483647 / 128 / (K + 1)), limit = room < 32767.0f ? room : 32767.0f;
    const float scale = finite && largest > 1e-30f ? limit / largest : 0.0f;
    for (int64_t k = 0; k < K; ++k) {
        const float x = finite ? a[k] * scale : 0.0f;
        rounded[k] = (int16_t)(x + (x < 0.0f ? -0.5f : 0.5f));
    }
    if (K % 2) rounded[K] = 0;
    return finite ? largest / limit : __builtin_nanf("");
}

void product8(const float *a, int64_t a_row, int64_t R, const int8_t *packed, const float *scales, const Inputs *inputs,
              int64_t K, int64_t columns, int16_t *rounded, float *out, int64_t out_row, bool backwards) {
    constexpr int64_t ROWS = 4;
    const int64_t panels = columns / WIDTH, even = K + K % 2;
    for (int64_t begin = 0; begin < R; begin += ROWS) {
        const int64_t rows = least(ROWS, R - begin);
        float steps[ROWS];
        for (int64_t r = 0; r < rows; ++r) steps[r] = round_row(a + (begin + r) * a_row, K, rounded + r * even);
        const auto run = [&](int64_t first, int64_t count) {
            const int8_t *from = packed + first * even * WIDTH;
            float *to = out + begin * out_row + first * WIDTH;
            const float *scale = scales + first * WIDTH;
            const Inputs taken = joined(inputs + first, count);
            if (rows == 1 && count == 4) return multiply_panels8<1, 4>(rounded, even, steps, from, scale, taken, to, out_row);
            if (rows == ROWS && count == 2)
                return multiply_panels8<ROWS, 2>(rounded, even, steps, from, scale, taken, to, out_row);
            for (int64_t p = 0; p < count; ++p)
                for (int64_t r = 0; r < rows; ++r)
                    multiply_panels8<1, 1>(rounded + r * even, even, steps + r, from + p * even * WIDTH,
                                           scale + p * WIDTH, taken, to + r * out_row + p * WIDTH, out_row);
        };
        over_panels(panels, rows == 1 ? 4 : 2, backwards, run);
    }
}

void pack(const float *weight, int64_t K, const int64_t *order, int64_t columns, float *packed) {
    for (int64_t j = 0; j < columns; ++j) {
        float *to = packed + j / WIDTH * K * WIDTH + j % WIDTH;
        for (int64_t k = 0; k < K; ++k) to[k * WIDTH] = order[j] < 0 ? 0.0f : weight[order[j] * K + k];
    }
}

void pack8(const float *weight, int64_t K, const int64_t *order, int64_t columns, int8_t *packed, float *scales) {
    const int64_t even = K + K % 2;
    for (int64_t j = 0; j < columns; ++j) {
        float largest = 0.0f;
        for (int64_t k = 0; k < K && order[j] >= 0; ++k)
            largest = __builtin_fmaxf(largest, __builtin_fabsf(weight[order[j] * K + k]));
        scales[j] = largest > 1e-30f ? largest / 127.0f : 0.0f;
        // Pairs of inputs side by side: (panel, pair, column, which of the pair).
        int8_t *to = packed + j / WIDTH * even * WIDTH + j % WIDTH * 2;
        for (int64_t k = 0; k < even; ++k) {
            const float x = k < K && scales[j] > 0.0f ? weight[order[j] * K + k] / scales[j] : 0.0f;
            to[k / 2 * 2 * WIDTH + k % 2] = (int8_t)(x + (x < 0.0f ? -0.5f : 0.5f));
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// What stands between the products.

template <class C>
void cell_step(const float *const *in, const float *sums, int64_t sums_row, const float *h, float *c, float *h_next,
               int64_t row, int64_t R, int64_t H) {
    for (int64_t r = 0; r < R; ++r)
        for (int64_t unit = 0; unit < H; unit += WIDTH) {
            Pair from_input[C::gates], sum[C::gates];
            UNROLL for (int g = 0; g < C::gates; ++g) {
                from_input[g] = load_pair(in[r] + unit * C::gates + g * WIDTH);
                sum[g] = load_pair(sums + r * sums_row + unit * C::gates + g * WIDTH);
            }
            Pair memory = c ? load_pair(c + r * row + unit) : Pair{};
            const Pair before = load_pair(h + r * row + unit);
            store_pair(h_next + r * row + unit, C::forward(from_input, sum, before, memory, nullptr));
            if (c) store_pair(c + r * row + unit, memory);
        }
}

void gate(const float *const *in, float *out, int64_t row, int64_t R, int64_t H) {
    for (int64_t r = 0; r < R; ++r)
        for (int64_t unit = 0; unit < H; unit += WIDTH) {
            const float *from = in[r] + 2 * unit;
            store_pair(out + r * row + unit, tanh(load_pair(from)) * sigmoid(load_pair(from + WIDTH)));
        }
}

void cell(int32_t cell, const float *const *in, const float *sums, int64_t sums_row, const float *h, float *c,
          float *h_next, int64_t row, int64_t R, int64_t H) {
    switch (cell) {
        case LSTM: return cell_step<LSTMCell>(in, sums, sums_row, h, c, h_next, row, R, H);
        case GRU: return cell_step<GRUCell>(in, sums, sums_row, h, c, h_next, row, R, H);
        case RNN_TANH: return cell_step<RNNCell<false>>(in, sums, sums_row, h, c, h_next, row, R, H);
        case RNN_RELU: return cell_step<RNNCell<true>>(in, sums, sums_row, h, c, h_next, row, R, H);
        case CONV: return gate(in, h_next, row, R, H);
    }
}

float total(Vec x) {
    float sum = 0.0f;
    for (int i = 0; i < LANES; ++i) sum += x[i];
    return sum;
}

void normalise(float *x, const float *weight, const float *bias, int64_t H) {
    Vec sums{}, squares{};
    for (int64_t i = 0; i < H; i += LANES) sums += load(x + i, H - i);
    const float mean = total(sums) / H;
    for (int64_t i = 0; i < H; i += LANES) {
        Vec centred = load(x + i, H - i) - mean;
        store(x + i, centred, H - i);
        centred = load(x + i, H - i);  // what lies past the end is zero again
        squares += centred * centred;
    }
    const float scale = 1.0f / __builtin_sqrtf(total(squares) / H + 1e-5f);
    for (int64_t i = 0; i < H; i += LANES)
        store(x + i, load(x + i, H - i) * scale * load(weight + i, H - i) + load(bias + i, H - i), H - i);
}

void add(const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) store(y + i, load(y + i, n - i) + load(x + i, n - i), n - i);
}

// ---------------------------------------------------------------------------------------------------------------------
// Drawing.

float peak(const float *x, int64_t n) {
    Vec best = splat(-__builtin_inff()), wrong{};
    for (int64_t i = 0; i < n; i += LANES) {
        Vec each = load(x + i, n - i);
        for (int64_t j = n - i; j < LANES; ++j) each[j] = x[i];
        best = each > best ? each : best;
        wrong = each == each ? wrong : each;
    }
    float largest = best[0];
    for (int i = 0; i < LANES; ++i) {
        if (wrong[i] != 0.0f) return __builtin_nanf("");
        largest = best[i] > largest ? best[i] : largest;
    }
    return largest;
}

// 2^n e^r with |r| at most ln(2)/2: the exponential's own series, far enough for a double.
inline Doubles exponential(Doubles x) {
    const Doubles lowest = Doubles{} - 707.0;
    const Doubles y = x < lowest ? lowest : x;
    const Doubles shifted = y * 1.4426950408889634 + 6755399441055744.0;  // 1.5 * 2^52: rounds, leaves n in the low bits
    const Doubles n = shifted - 6755399441055744.0;
    const Doubles r = (y - n * 6.93147180369123816490e-01) - n * 1.90821492927058770002e-10;
    Doubles p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    const Doubles result = (Doubles)((Bits)p + ((Bits)shifted << 52));
    return x < lowest ? Doubles{} : result;
}

void exponentials(double *x, int64_t n) {
    for (int64_t i = 0; i < n; i += DOUBLES) {
        Doubles each{};
        const int64_t bytes = least(DOUBLES, n - i) * sizeof(double);
        memcpy(&each, x + i, bytes);
        each = exponential(each);
        memcpy(x + i, &each, bytes);
    }
}

void weigh(const float *x, int64_t n, double peak, double temperature, double *y) {
    int64_t i = 0;
    for (; i + DOUBLES <= n; i += DOUBLES) {
        Halves each;
        memcpy(&each, x + i, sizeof each);
        const Doubles result = exponential((__builtin_convertvector(each, Doubles) - peak) / temperature);
        memcpy(y + i, &result, sizeof result);
    }
    for (int64_t j = i; j < n; ++j) y[j] = (x[j] - peak) / temperature;
    if (i < n) exponentials(y + i, n - i);
}

}  // namespace

extern const StepKernels STEPS;
const StepKernels STEPS = {WIDTH,     pack, pack8, product,  product8, cell,
                           normalise, add,  peak,  weigh, exponentials};
