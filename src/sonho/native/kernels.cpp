// The loops over time, for one instruction set: see kernels.h for the names and README.md for the plan.
//
// KERNELS names the table that this compilation fills; vector.h picks the vector width from the compiler's flags.

#include "cells.h"
#include "kernels.h"
#include "multiply.h"

namespace {

// ---------------------------------------------------------------------------------------------------------------------
// Packing: forward panels are (unit block, gate), each (x and h, WIDTH): the weights of x, then those of h, transposed.
// Backward panels are blocks of x, if its gradient is wanted, then of h, each (gates, WIDTH). Columns past D or H are zero.
// What is packed, and all that it is multiplied with, are terms (terms.h).

int64_t input_terms(const SonhoWindow &w) { return terms(w.D) + terms(w.H); }

void pack_forward(const SonhoWindow &w, float *packed, int64_t first, int64_t last) {
    const int64_t G = gates_of(w.cell), D = w.D, H = w.H, depth = input_terms(w);
    for (int64_t panel = first; panel < last; ++panel) {
        Term *out = (Term *)packed + panel * depth * WIDTH;
        const int64_t unit = panel / G * WIDTH, width = least(WIDTH, H - unit), row = panel % G * H + unit;
        if (width < WIDTH) memset(out, 0, sizeof(Term) * depth * WIDTH);
        if (D > 0) transpose_into(out, w.weight_ih + row * D, D, D, width);
        transpose_into(out + terms(D) * WIDTH, w.weight_hh + row * H, H, H, width);
    }
}

int64_t input_panels(const SonhoWindow &w) { return w.d_inputs ? (w.D + WIDTH - 1) / WIDTH : 0; }

void pack_backward(const SonhoWindow &w, float *packed, int64_t first, int64_t last) {
    const int64_t G = gates_of(w.cell), H = w.H, before = input_panels(w);
    for (int64_t panel = first; panel < last; ++panel) {
        Term *out = (Term *)packed + panel * G * terms(H) * WIDTH;
        const bool of_input = panel < before;
        const float *weight = of_input ? w.weight_ih : w.weight_hh;
        const int64_t columns = of_input ? w.D : H, column = (of_input ? panel : panel - before) * WIDTH;
        // The gates in the order of the gradients that this product takes: for the GRU r z n with x, n' r z with h.
        for (int64_t place = 0; place < G; ++place, out += terms(H) * WIDTH) {
            const float *rows = weight + (of_input ? place : gate_of(w.cell, place)) * H * columns + column;
            pack_rows(out, rows, columns, H, least(WIDTH, columns - column));
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// A slice of the batch, through all its time steps.

template <int G>
const float *table_row(const SonhoWindow &w, int64_t at) {
    return w.table + (w.ids ? w.ids[at] : 0) * G * w.H;
}

// Ask for what a block will touch after its products: rows of a window are far apart, so no hardware guesses them.
void prefetch(const float *p, int64_t floats) {
    for (int64_t j = 0; j < floats; j += 16) __builtin_prefetch(p + j);
}
void prefetch_to_write(float *p, int64_t floats) {
    for (int64_t j = 0; j < floats; j += 16) __builtin_prefetch(p + j, 1);
}

// What backward needs of the row with a rank at step t: time first, so that both passes walk through memory in order.
template <class C>
float *saved_at(const SonhoWindow &w, const Order &order, int64_t rank, int64_t t) {
    return w.saved + (order.base[t] + rank) * C::saved * padded(w.H);
}

template <class C>
void forward_slice(const SonhoWindow &w, const float *packed, const Slice &slice) {
    constexpr int G = C::gates;
    const int64_t T = w.T, D = w.D, H = w.H, S = padded(H), depth = input_terms(w), x_terms = terms(D);
    const int64_t stride = row_stride(terms(padded(D)) + terms(S));
    // The terms of x and h alternate between two halves, since every unit block reads all of h. At step t they are in half
    // t % 2. x ends where h begins.
    Term *half[2] = {(Term *)slice.scratch + terms(padded(D)), (Term *)slice.scratch + terms(padded(D)) + slice.count * stride};
    float *hidden = slice.scratch + 2 * slice.count * input_stride(D, H), *carry = hidden + slice.count * S;
    float *sums = carry + slice.count * S;  // (G, TILE_ROWS, WIDTH), and one gate more for the GRU
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t n = slice.row(i);
        to_terms(half[0] + i * stride, w.h_first + n * H, H);
        // Lanes past H are zero, not whatever memory held: tanh(c) divides once for two units, and they may be one.
        zero(hidden + i * S, S);
        zero(carry + i * S, S);
        copy(hidden + i * S, w.h_first + n * H, H);
        if (w.c_first) copy(carry + i * S, w.c_first + n * H, H);
    }
    int64_t running = slice.count;
    for (int64_t t = 0; t < T; ++t) {
        while (running > 0 && slice.steps[running - 1] <= t) --running;
        if (running == 0) break;
        Term *h_now = half[t % 2], *h_next = half[(t + 1) % 2];
        for (int64_t i = 0; i < running && D > 0; ++i)
            to_terms(h_now + i * stride - x_terms, w.inputs + (slice.row(i) * T + t) * D, D);
        const Blocks blocks(running);
        for (int64_t unit = 0; unit < H; unit += WIDTH) {
            const int64_t width = least(WIDTH, H - unit);
            const Term *panels = (const Term *)packed + unit * G * depth;
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t begin = blocks.start(block), R = blocks.start(block + 1) - begin;
                for (int64_t i = begin; i < begin + R; ++i) {
                    if (w.ids)
                        for (int g = 0; g < G; ++g)
                            prefetch(table_row<G>(w, slice.row(i) * T + t) + g * H + unit, width);
                    if (w.saved)
                        prefetch_to_write(saved_at<C>(w, *slice.order, slice.rank(i), t) + unit * C::saved, WIDTH * C::saved);
                }
                const Term *rows = h_now + begin * stride - x_terms;
                for (int g = 0; g < G; ++g) {
                    // The GRU's n sees h through r, so that its sums of h and of x stay apart.
                    const bool apart = G == 3 && g == 2 && D > 0;
                    const Term *panel = panels + g * depth * WIDTH;
                    float *to = sums + g * TILE_ROWS * WIDTH;
                    if (apart) multiply_by_rows[R](rows, stride, 1, panel, x_terms, to + TILE_ROWS * WIDTH, WIDTH);
                    const int64_t skip = apart ? x_terms : 0;
                    multiply_by_rows[R](rows + skip, stride, 1, panel + skip * WIDTH, depth - skip, to, WIDTH);
                }
                for (int64_t r = 0; r < R; ++r) {
                    const int64_t i = begin + r;
                    const float *from = table_row<G>(w, slice.row(i) * T + t) + unit;
                    Pair in[G], sum[G];
                    UNROLL for (int g = 0; g < G; ++g) {
                        in[g] = load_pair(from + g * H, width);
                        sum[g] = load_pair(sums + (g * TILE_ROWS + r) * WIDTH);
                    }
                    if (G == 3 && D > 0) in[2] = in[2] + load_pair(sums + (3 * TILE_ROWS + r) * WIDTH);
                    const Pair before = load_pair(hidden + i * S + unit);
                    Pair c = load_pair(carry + i * S + unit);
                    float *keep = w.saved ? saved_at<C>(w, *slice.order, slice.rank(i), t) + unit * C::saved : nullptr;
                    const Pair h = C::forward(in, sum, before, c, keep);
                    store_pair(carry + i * S + unit, c);
                    store_pair(hidden + i * S + unit, h);
                    store_row(h_next + i * stride + unit / NUMBERS, h);
                    store_pair(w.outputs + (slice.row(i) * T + t) * H + unit, h, width);
                }
            }
        }
    }
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t n = slice.row(i), steps = slice.steps[i];
        copy(w.h_last + n * H, hidden + i * S, H);
        if (w.c_last) copy(w.c_last + n * H, carry + i * S, H);
        zero(w.outputs + (n * T + steps) * H, (T - steps) * H);
    }
}

// Where the gradients of one row begin, for its first unit block; the next block is GRADIENT_ROWS * WIDTH further.
template <int places>
Number *gradients_at(const SonhoWindow &w, float *gradients, int64_t number) {
    const int64_t panels = places * ((w.H + WIDTH - 1) / WIDTH);
    return (Number *)gradients + (number / GRADIENT_ROWS * panels * GRADIENT_ROWS + number % GRADIENT_ROWS) * WIDTH;
}

// The gate gradients of every row of the slice at step t, to `d_sums` by rows and to `gradients` by panels.
template <class C>
void cells_backward(const SonhoWindow &w, const Slice &slice, int64_t t, int64_t running, const float *d_h, float *carry,
                    Term *d_sums, float *gradients) {
    constexpr int G = C::gates, places = G == 3 ? 4 : G;
    const int64_t H = w.H, S = padded(H), stride = row_stride(places * terms(H));
    const int64_t next_place = (H + WIDTH - 1) / WIDTH * GRADIENT_ROWS * WIDTH;
    for (int64_t i = 0; i < running; ++i) {
        const int64_t rank = slice.rank(i);
        const float *keep = saved_at<C>(w, *slice.order, rank, t);
        const float *d_output = w.d_outputs ? w.d_outputs + (slice.row(i) * w.T + t) * H : nullptr;
        Term *sums = d_sums + i * stride;
        Number *out = gradients_at<places>(w, gradients, slice.order->base[t] + rank);
        for (int64_t unit = 0; unit < H; unit += WIDTH, out += GRADIENT_ROWS * WIDTH) {
            const int64_t width = least(WIDTH, H - unit);
            Pair d = load_pair(d_h + i * S + unit), memory = load_pair(carry + i * S + unit);
            if (d_output) d = d + load_pair(d_output + unit, width);
            Pair d_sum[G], d_n{};
            C::backward(d, memory, keep + unit * C::saved, d_sum, d_n);
            store_pair(carry + i * S + unit, memory);
            UNROLL for (int g = 0; g < G; ++g) {
                // GRU: n as U h sees it comes first, n as the input sees it last (kernels.h).
                const int place = places == G ? g : (g + 1) % G;
                store_row(sums + place * terms(H) + unit / NUMBERS, d_sum[g], width);
                store_numbers(out + place * next_place, d_sum[g]);
            }
            if (places != G) {
                store_row(sums + G * terms(H) + unit / NUMBERS, d_n, width);
                store_numbers(out + G * next_place, d_n);
            }
        }
    }
}

template <class C>
void backward_slice(const SonhoWindow &w, const float *packed, const Slice &slice, float *gradients) {
    constexpr int G = C::gates, places = G == 3 ? 4 : G;
    const int64_t T = w.T, D = w.D, H = w.H, S = padded(H), depth = G * terms(H), stride = row_stride(places * terms(H));
    Term *d_sums = (Term *)slice.scratch;  // (count, places, terms of H): gradients of the gates at this step
    float *d_h = slice.scratch + slice.count * stride, *carry = d_h + slice.count * S, *tile = carry + slice.count * S;
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t n = slice.row(i), steps = slice.steps[i];
        zero(d_h + i * S, S);
        zero(carry + i * S, S);
        if (w.d_h_last) copy(d_h + i * S, w.d_h_last + n * H, H);
        if (w.d_c_last) copy(carry + i * S, w.d_c_last + n * H, H);
        if (w.d_inputs) zero(w.d_inputs + (n * T + steps) * D, (T - steps) * D);
    }
    int64_t running = 0;
    for (int64_t t = T - 1; t >= 0; --t) {
        while (running < slice.count && slice.steps[running] > t) ++running;
        cells_backward<C>(w, slice, t, running, d_h, carry, d_sums, gradients);
        const Blocks blocks(running);
        const Term *panel = (const Term *)packed;
        for (int64_t column = 0; w.d_inputs && column < D; column += WIDTH, panel += depth * WIDTH)
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t begin = blocks.start(block), R = blocks.start(block + 1) - begin;
                multiply_by_rows[R](d_sums + begin * stride + (places - G) * terms(H), stride, 1, panel, depth, tile, WIDTH);
                for (int64_t r = 0; r < R; ++r)
                    store_pair(w.d_inputs + (slice.row(begin + r) * T + t) * D + column, load_pair(tile + r * WIDTH),
                               least(WIDTH, D - column));
            }
        if (t == 0 && !w.d_h_first) break;
        for (int64_t unit = 0; unit < H; unit += WIDTH, panel += depth * WIDTH)
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t begin = blocks.start(block), R = blocks.start(block + 1) - begin;
                multiply_by_rows[R](d_sums + begin * stride, stride, 1, panel, depth, d_h + begin * S + unit, S);
            }
    }
    for (int64_t i = 0; i < slice.count; ++i) {
        const int64_t at = slice.row(i) * H;
        if (w.d_c_first) copy(w.d_c_first + at, carry + i * S, H);
        if (!w.d_h_first) continue;
        if (places != G)
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

void backward(const SonhoWindow &w, const float *packed, const Slice &slice, float *gradients) {
    switch (w.cell) {
        case LSTM: return backward_slice<LSTMCell>(w, packed, slice, gradients);
        case GRU: return backward_slice<GRUCell>(w, packed, slice, gradients);
        case RNN_TANH: return backward_slice<RNNCell<false>>(w, packed, slice, gradients);
        case RNN_RELU: return backward_slice<RNNCell<true>>(w, packed, slice, gradients);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// Gradients of the weights: [x h] (R, D+H) transposed times the gradients of the gates (R, G*H), which are panels already.

// table[ids of the rows] += rows (count, WIDTH): `width` columns, from `column` on, of a table (V, columns).
void add_to_table(const SonhoWindow &w, const int64_t *at, const Number *rows, int64_t count, int64_t column, int64_t width) {
    const int64_t columns = gates_of(w.cell) * w.H;
    if (!w.ids) {
        Pair sum = load_pair(w.d_table + column, width);
        for (int64_t k = 0; k < count; ++k) sum = sum + load_numbers(rows + k * WIDTH);
        return store_pair(w.d_table + column, sum, width);
    }
    for (int64_t k = 0; k < count; ++k) {
        float *to = w.d_table + w.ids[at[k]] * columns + column;
        store_pair(to, load_pair(to, width) + load_numbers(rows + k * WIDTH), width);
    }
}

void weights(const SonhoWindow &w, const Order &order, const float *gradients, int64_t first, int64_t last, float *scratch) {
    const int64_t G = gates_of(w.cell), places = gradients_of(w.cell), D = w.D, H = w.H, K = D + H;
    const int64_t blocks = (H + WIDTH - 1) / WIDTH, panels = places * blocks, stride = input_stride(D, H);
    Term *left = (Term *)scratch + padded(D) - D, room[panel_room(GRADIENT_ROWS)];  // left: (terms of the rows, [x h])
    float *all_sums = scratch + GRADIENT_ROWS * stride;  // (panels, K, WIDTH)
    const auto sees_input = [&](int64_t panel) { return panel / blocks >= places - G; };
    const auto sees_hidden = [&](int64_t panel) { return panel / blocks < G; };
    const auto column_of = [&](int64_t panel) { return gate_of(w.cell, panel / blocks) * H + panel % blocks * WIDTH; };
    const auto width_of = [&](int64_t panel) { return least(WIDTH, H - panel % blocks * WIDTH); };
    zero(all_sums, (last - first) * K * WIDTH);
    for (int64_t panel = first; panel < last; ++panel)
        for (int64_t v = 0; v < w.V && sees_input(panel); ++v)
            zero(w.d_table + v * G * H + column_of(panel), width_of(panel));

    int64_t t = 0, rank = 0, at[GRADIENT_ROWS];
    const float *before[GRADIENT_ROWS + 1];  // h before each row
    for (int64_t from = 0; from < order.total; from += GRADIENT_ROWS) {
        const int64_t depth = least(GRADIENT_ROWS, order.total - from);
        for (int64_t k = 0; k < depth; ++k, ++rank) {
            while (rank == order.running[t]) rank = 0, ++t;
            const int64_t n = order.row[rank];
            at[k] = n * w.T + t;
            before[k] = t == 0 ? w.h_first + n * H : w.outputs + (at[k] - 1) * H;
        }
        for (int64_t k = 0; k < depth; k += NUMBERS) {
            Term *to = left + k / NUMBERS * stride;
            const bool both = k + 1 < depth && NUMBERS > 1;
            if (D > 0) zip_rows(to, w.inputs + at[k] * D, both ? w.inputs + at[k + 1] * D : nullptr, D);
            zip_rows(to + D, before[k], both ? before[k + 1] : nullptr, H);
        }
        for (int64_t panel = first; panel < last; ++panel) {
            const Number *rows = (const Number *)gradients + (from * panels + panel * GRADIENT_ROWS) * WIDTH;
            const Term *columns = panel_of(rows, depth, room);
            const int64_t begin = sees_input(panel) ? 0 : D, end = sees_hidden(panel) ? K : D;
            const Blocks tiles(end - begin);
            for (int64_t tile = 0; tile < tiles.blocks; ++tile) {
                const int64_t m = begin + tiles.start(tile), M = begin + tiles.start(tile + 1) - m;
                float *sums = all_sums + ((panel - first) * K + m) * WIDTH;
                add_by_columns[M](left + m, 1, stride, columns, terms(depth), sums, WIDTH);
            }
            if (sees_input(panel)) add_to_table(w, at, rows, depth, column_of(panel), width_of(panel));
        }
    }
    for (int64_t panel = first; panel < last; ++panel) {
        const float *sums = all_sums + (panel - first) * K * WIDTH;
        const int64_t row = column_of(panel), width = width_of(panel);
        if (sees_input(panel) && D > 0) transpose(w.d_weight_ih + row * D, D, sums, WIDTH, D, width);
        if (sees_hidden(panel)) transpose(w.d_weight_hh + row * H, H, sums + D * WIDTH, WIDTH, H, width);
    }
}

double multiply_alone(float *scratch, int64_t depth, int64_t repeats) {
    const Term *panel = (const Term *)scratch, *rows = panel + depth * WIDTH;
    float *sums = scratch + depth * WIDTH + TILE_ROWS * row_stride(depth);
    for (int64_t i = 0; i < repeats; ++i) multiply_by_rows[TILE_ROWS](rows, row_stride(depth), 1, panel, depth, sums, WIDTH);
    return 2.0 * NUMBERS * TILE_ROWS * WIDTH * depth * repeats;
}

template <Pair (*f)(Pair)>
void apply(const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i += WIDTH) store_pair(y + i, f(load_pair(x + i, n - i)), n - i);
}

}  // namespace

extern const Kernels KERNELS;
const Kernels KERNELS = {WIDTH,   TILE_ROWS,      pack_forward, pack_backward, forward,
                         backward, weights, apply<sigmoid>, apply<tanh>,  multiply_alone};
