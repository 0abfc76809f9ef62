// The loops over time, for one instruction set: see kernels.h for the names and README.md for the plan.
//
// KERNELS names the table that this compilation fills; vector.h picks the vector width from the compiler's flags.

#include "cells.h"
#include "kernels.h"
#include "multiply.h"

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Packing: forward panels are (unit block, gate), each (H, WIDTH) of U transposed; backward panels are unit blocks, each
// (G*H, WIDTH) of U. Columns past H are zero.

void pack_forward(const SonhoWindow &w, float *packed, int64_t first, int64_t last) {
    const int64_t G = gates_of(w.cell), H = w.H;
    for (int64_t panel = first; panel < last; ++panel) {
        float *out = packed + panel * H * WIDTH;
        const int64_t unit = panel / G * WIDTH, width = least(WIDTH, H - unit);
        const float *rows = w.weight_hh + (panel % G * H + unit) * H;
        if (width < WIDTH) memset(out, 0, sizeof(float) * H * WIDTH);
        for (int64_t k = 0; k < H; ++k)
            for (int64_t j = 0; j < width; ++j) out[k * WIDTH + j] = rows[j * H + k];
    }
}

void pack_backward(const SonhoWindow &w, float *packed, int64_t first, int64_t last) {
    const int64_t depth = gates_of(w.cell) * w.H, H = w.H;
    for (int64_t panel = first; panel < last; ++panel) {
        float *out = packed + panel * depth * WIDTH;
        const int64_t unit = panel * WIDTH, width = H - unit;
        for (int64_t k = 0; k < depth; ++k)
            store_pair(out + k * WIDTH, load_pair(w.weight_hh + k * H + unit, least(width, WIDTH)));
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// A slice of the batch, through all its time steps.

// An empty array may have no address, and memset and memcpy insist on one.
void zero(float *p, int64_t n) {
    if (n > 0) memset(p, 0, sizeof(float) * n);
}
void copy(float *to, const float *from, int64_t n) {
    if (n > 0) memcpy(to, from, sizeof(float) * n);
}

template <int G>
const float *input_gates(const SonhoWindow &w, int64_t at) {
    return w.gates + (w.ids ? w.ids[at] : at) * G * w.H;
}

// Ask for what a block will need after its products: rows of a window are far apart, so no hardware guesses them.
template <int G>
void prefetch_gates(const SonhoWindow &w, int64_t at, int64_t unit) {
    for (int g = 0; g < G; ++g)
        for (int64_t j = 0; j < WIDTH; j += 16) __builtin_prefetch(input_gates<G>(w, at) + g * w.H + unit + j);
}

// What backward needs of row n at step t: time first, so that both passes walk through memory in order.
template <class C>
float *saved_at(const SonhoWindow &w, int64_t n, int64_t t) {
    return w.saved + (t * w.N + n) * C::saved * padded(w.H);
}

template <class C>
void forward_slice(const SonhoWindow &w, const float *packed, const Slice &slice) {
    constexpr int G = C::gates;
    const int64_t T = w.T, H = w.H, S = padded(H), stride = row_stride(H);
    // h alternates between two halves, since every unit block reads all of it. After s steps it is in half s % 2.
    float *half[2] = {slice.scratch, slice.scratch + slice.count * stride};
    float *carry = half[1] + slice.count * stride;
    float *sums = carry + slice.count * S;  // (G, TILE_ROWS, WIDTH)
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t n = slice.rows[i];
        copy(half[0] + i * stride, w.h_first + n * H, H);
        // Lanes past H are zero, not whatever memory held: tanh(c) divides once for two units, and they may be one.
        zero(carry + i * S, S);
        if (w.c_first) copy(carry + i * S, w.c_first + n * H, H);
    }
    int64_t running = slice.count;
    for (int64_t t = 0; t < T; ++t) {
        while (running > 0 && slice.steps[running - 1] <= t) --running;
        if (running == 0) break;
        const float *h_now = half[t % 2];
        float *h_next = half[(t + 1) % 2];
        if (w.h_before)
            for (int64_t i = 0; i < running; ++i)
                copy(w.h_before + (slice.rows[i] * T + t) * H, h_now + i * stride, H);
        const Blocks blocks(running);
        for (int64_t unit = 0; unit < H; unit += WIDTH) {
            const int64_t width = least(WIDTH, H - unit);
            const float *panels = packed + unit * G * H;
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t begin = blocks.start(block), R = blocks.start(block + 1) - begin;
                for (int64_t r = 0; r < R; ++r) prefetch_gates<G>(w, slice.rows[begin + r] * T + t, unit);
                for (int g = 0; g < G; ++g)
                    multiply_by_rows[R](h_now + begin * stride, stride, 1, panels + g * H * WIDTH, H,
                                        sums + g * TILE_ROWS * WIDTH, WIDTH);
                for (int64_t r = 0; r < R; ++r) {
                    const int64_t i = begin + r, at = slice.rows[i] * T + t;
                    const float *from = input_gates<G>(w, at) + unit;
                    Pair in[G], sum[G];
                    UNROLL for (int g = 0; g < G; ++g) {
                        in[g] = load_pair(from + g * H, width);
                        sum[g] = load_pair(sums + (g * TILE_ROWS + r) * WIDTH);
                    }
                    const Pair before = load_pair(h_now + i * stride + unit);
                    Pair c = load_pair(carry + i * S + unit);
                    float *keep = w.saved ? saved_at<C>(w, slice.rows[i], t) + unit * C::saved : nullptr;
                    const Pair h = C::forward(in, sum, before, c, keep);
                    store_pair(carry + i * S + unit, c);
                    store_pair(h_next + i * stride + unit, h);
                }
            }
        }
        for (int64_t i = 0; i < running; ++i)
            copy(w.outputs + (slice.rows[i] * T + t) * H, h_next + i * stride, H);
    }
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t n = slice.rows[i], steps = slice.steps[i];
        copy(w.h_last + n * H, half[steps % 2] + i * stride, H);
        if (w.c_last) copy(w.c_last + n * H, carry + i * S, H);
        zero(w.outputs + (n * T + steps) * H, (T - steps) * H);
        if (w.h_before) zero(w.h_before + (n * T + steps) * H, (T - steps) * H);
    }
}

template <class C>
void backward_slice(const SonhoWindow &w, const float *packed, const Slice &slice) {
    constexpr int G = C::gates, columns = C::gates == 3 ? 4 : C::gates;
    const int64_t T = w.T, H = w.H, S = padded(H), stride = row_stride(G * H);
    float *d_sums = slice.scratch;  // (count, G*H): gradients of U h at this step
    float *d_h = d_sums + slice.count * stride, *carry = d_h + slice.count * S;
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t n = slice.rows[i], steps = slice.steps[i];
        zero(d_h + i * S, S);
        zero(carry + i * S, S);
        if (w.d_h_last) copy(d_h + i * S, w.d_h_last + n * H, H);
        if (w.d_c_last) copy(carry + i * S, w.d_c_last + n * H, H);
        zero(w.d_gates + (n * T + steps) * columns * H, (T - steps) * columns * H);
    }
    int64_t running = 0;
    for (int64_t t = T - 1; t >= 0; --t) {
        while (running < slice.count && slice.steps[running] > t) ++running;
        for (int64_t i = 0; i < running; ++i) {
            const int64_t at = slice.rows[i] * T + t;
            const float *keep = saved_at<C>(w, slice.rows[i], t);
            float *sums = d_sums + i * stride, *out = w.d_gates + at * columns * H;
            for (int64_t unit = 0; unit < H; unit += WIDTH) {
                const int64_t width = least(WIDTH, H - unit);
                Pair d = load_pair(d_h + i * S + unit), memory = load_pair(carry + i * S + unit);
                if (w.d_outputs) d = d + load_pair(w.d_outputs + at * H + unit, width);
                Pair d_sum[G], d_n{};
                C::backward(d, memory, keep + unit * C::saved, d_sum, d_n);
                store_pair(carry + i * S + unit, memory);
                UNROLL for (int g = 0; g < G; ++g) {
                    store_pair(sums + g * H + unit, d_sum[g], width);
                    // GRU: n as U h sees it comes first, n as the input sees it last (kernels.h).
                    const int place = columns == G ? g : (g + 1) % G;
                    store_pair(out + place * H + unit, d_sum[g], width);
                }
                if (columns != G) store_pair(out + G * H + unit, d_n, width);
            }
        }
        if (t == 0 && !w.d_h_first) break;
        const Blocks blocks(running);
        for (int64_t unit = 0; unit < H; unit += WIDTH)
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t begin = blocks.start(block), R = blocks.start(block + 1) - begin;
                multiply_by_rows[R](d_sums + begin * stride, stride, 1, packed + unit * G * H, G * H,
                                    d_h + begin * S + unit, S);
            }
    }
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t at = slice.rows[i] * H;
        if (w.d_c_first) copy(w.d_c_first + at, carry + i * S, H);
        if (!w.d_h_first) continue;
        if (columns != G)
            for (int64_t unit = 0; unit < H; unit += WIDTH)
                store_pair(d_h + i * S + unit, load_pair(d_h + i * S + unit) + load_pair(carry + i * S + unit));
        copy(w.d_h_first + at, d_h + i * S, H);
    }
}

void forward(const SonhoWindow &w, const float *packed, const Slice &slice) {
    switch (w.cell) {
        case LSTM: return forward_slice<LSTMCell>(w, packed, slice);
        case GRU: return forward_slice<GRUCell>(w, packed, slice);
        case RNN_TANH: return forward_slice<RNNCell<false>>(w, packed, slice);
        case RNN_RELU: return forward_slice<RNNCell<true>>(w, packed, slice);
    }
}

void backward(const SonhoWindow &w, const float *packed, const Slice &slice) {
    switch (w.cell) {
        case LSTM: return backward_slice<LSTMCell>(w, packed, slice);
        case GRU: return backward_slice<GRUCell>(w, packed, slice);
        case RNN_TANH: return backward_slice<RNNCell<false>>(w, packed, slice);
        case RNN_RELU: return backward_slice<RNNCell<true>>(w, packed, slice);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Gradients of the two tables that a window is multiplied with.

void scatter_add(const int64_t *ids, const float *rows, int64_t stride, int64_t R, float *table, int64_t columns,
                 int64_t first, int64_t last) {
    for (int64_t r = 0; r < R; ++r) {
        const float *from = rows + r * stride;
        float *to = table + ids[r] * columns;
        for (int64_t j = first; j < last; j += WIDTH)
            store_pair(to + j, load_pair(to + j, last - j) + load_pair(from + j, last - j), last - j);
    }
}

// Both sides are packed, OUTER_ROWS at a time: rows of a power of two apart would fight for the same lines of the cache.
void outer_sum(const float *a, int64_t a_stride, const float *b, int64_t R, int64_t C, float *out, int64_t first,
               int64_t last, float *scratch) {
    const int64_t panels = (C + WIDTH - 1) / WIDTH;
    float *right = scratch, *left = right + panels * OUTER_ROWS * WIDTH, *tile = left + (OUTER_ROWS + 1) * PAD;
    const Blocks blocks(last - first);
    for (int64_t m = first; m < last; ++m) zero(out + m * C, C);
    for (int64_t from = 0; from < R; from += OUTER_ROWS) {
        const int64_t depth = least(OUTER_ROWS, R - from);
        for (int64_t k = 0; k < depth; ++k)
            for (int64_t panel = 0; panel < panels; ++panel)
                store_pair(right + (panel * depth + k) * WIDTH,
                           load_pair(b + (from + k) * C + panel * WIDTH, least(WIDTH, C - panel * WIDTH)));
        for (int64_t block = 0; block < blocks.blocks; ++block) {
            const int64_t m = first + blocks.start(block), M = first + blocks.start(block + 1) - m;
            // Each store runs over into the next row, which is written after it.
            for (int64_t k = 0; k < depth; ++k)
                store_pair(left + k * M, load_pair(a + (from + k) * a_stride + m, least(WIDTH, a_stride - m)));
            for (int64_t panel = 0; panel < panels; ++panel) {
                const int64_t width = least(WIDTH, C - panel * WIDTH);
                const float *columns = right + panel * depth * WIDTH;
                float *to = out + m * C + panel * WIDTH;
                if (width == WIDTH) {
                    add_by_columns[M](left, 1, M, columns, depth, to, C);
                    continue;
                }
                for (int64_t r = 0; r < M; ++r) store_pair(tile + r * WIDTH, load_pair(to + r * C, width));
                add_by_columns[M](left, 1, M, columns, depth, tile, WIDTH);
                for (int64_t r = 0; r < M; ++r) store_pair(to + r * C, load_pair(tile + r * WIDTH), width);
            }
        }
    }
}

template <Pair (*f)(Pair)>
void apply(const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i += WIDTH) store_pair(y + i, f(load_pair(x + i, n - i)), n - i);
}

}  // namespace

extern const Kernels KERNELS;
const Kernels KERNELS = {WIDTH,       TILE_ROWS, pack_forward,   pack_backward, forward, backward,
                         scatter_add, outer_sum, apply<sigmoid>, apply<tanh>};
