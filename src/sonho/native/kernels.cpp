// The loops over time, for one instruction set: see kernels.h for the names and README.md for the plan.
//
// KERNELS names the table that this compilation fills; vector.h picks the vector width from the compiler's flags.

#include "kernels.h"
#include "vector.h"

namespace {

inline int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }

// ---------------------------------------------------------------------------------------------------------------------
// The multiply: R rows by one panel of WIDTH columns, all sums in registers.

// out (R, WIDTH) = a (R, depth) panel (depth, WIDTH); or with `add`, out += . Each sum runs over the depth in order, so
// a row's result does not depend on the rows beside it. `a_row` and `a_step` are the strides of a.
template <int R, bool add>
inline void multiply(const float *a, int64_t a_row, int64_t a_step, const float *panel, int64_t depth, float *out,
                     int64_t out_row) {
    Vec left[R], right[R];
    UNROLL for (int r = 0; r < R; ++r) {
        left[r] = add ? load(out + r * out_row) : Vec{};
        right[r] = add ? load(out + r * out_row + LANES) : Vec{};
    }
    for (int64_t k = 0; k < depth; ++k, a += a_step, panel += WIDTH) {
        const Vec b_left = load(panel), b_right = load(panel + LANES);
        UNROLL for (int r = 0; r < R; ++r) {
            const float x = a[r * a_row];
            left[r] += x * b_left;
            right[r] += x * b_right;
        }
    }
    UNROLL for (int r = 0; r < R; ++r) {
        store(out + r * out_row, left[r]);
        store(out + r * out_row + LANES, right[r]);
    }
}

typedef void (*Multiply)(const float *, int64_t, int64_t, const float *, int64_t, float *, int64_t);

template <int R, bool add>
void multiply_columns(const float *a, int64_t a_row, int64_t a_step, const float *panel, int64_t depth, float *out,
                      int64_t out_row) {
    (void)a_row;
    multiply<R, add>(a, 1, a_step, panel, depth, out, out_row);
}

template <int R>
void multiply_rows(const float *a, int64_t a_row, int64_t a_step, const float *panel, int64_t depth, float *out,
                   int64_t out_row) {
    (void)a_step;
    multiply<R, false>(a, a_row, 1, panel, depth, out, out_row);
}

// multiply_by_rows[R]: the rows of a are rows of memory. add_by_columns[R]: they are columns, and out is added to.
#if defined(__AVX512F__)
#define FOR_EACH_R(f) \
    { nullptr, f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12) }
#else
#define FOR_EACH_R(f) \
    { nullptr, f(1), f(2), f(3), f(4), f(5), f(6) }
#endif
#define ROWS_OF(R) multiply_rows<R>
#define COLUMNS_OF(R) multiply_columns<R, true>
const Multiply multiply_by_rows[TILE_ROWS + 1] = FOR_EACH_R(ROWS_OF);
const Multiply add_by_columns[TILE_ROWS + 1] = FOR_EACH_R(COLUMNS_OF);

// `count` rows in blocks of nearly equal size, none above TILE_ROWS: block i is [start(i), start(i + 1)).
struct Blocks {
    int64_t count, blocks;
    explicit Blocks(int64_t rows) : count(rows), blocks((rows + TILE_ROWS - 1) / TILE_ROWS) {}
    int64_t start(int64_t i) const { return i * count / blocks; }
};

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
// The cells. `sum[g]` is U h, `in[g]` what the input adds, `c` the memory beside h. `keep` gets what backward needs,
// WIDTH apart. Twins: nn/cells.py.

constexpr float one = 1.0f;

struct LSTMCell {
    static constexpr int gates = 4, saved = 6;
    static Pair forward(const Pair *in, const Pair *sum, Pair, Pair &c, float *keep) {
        const Pair i = sigmoid(in[0] + sum[0]), f = sigmoid(in[1] + sum[1]);
        const Pair g = tanh(in[2] + sum[2]), o = sigmoid(in[3] + sum[3]);
        const Pair before = c;
        c = f * before + i * g;
        const Pair tanh_c = tanh(c);
        if (keep) {
            const Pair all[] = {i, f, g, o, tanh_c, before};
            UNROLL for (int s = 0; s < 6; ++s) store_pair(keep + s * WIDTH, all[s]);
        }
        return o * tanh_c;
    }
    // d: gradient of h. carry: gradient of c, before and after. d_sum[g]: of U h; d_n is the GRU's alone.
    static void backward(Pair d, Pair &carry, const float *keep, Pair *d_sum, Pair &) {
        const Pair i = load_pair(keep), f = load_pair(keep + WIDTH), g = load_pair(keep + 2 * WIDTH);
        const Pair o = load_pair(keep + 3 * WIDTH), tanh_c = load_pair(keep + 4 * WIDTH), before = load_pair(keep + 5 * WIDTH);
        const Pair d_c = carry + d * o * (one - tanh_c * tanh_c);
        d_sum[0] = d_c * g * i * (one - i);
        d_sum[1] = d_c * before * f * (one - f);
        d_sum[2] = d_c * i * (one - g * g);
        d_sum[3] = d * tanh_c * o * (one - o);
        carry = d_c * f;
    }
};

struct GRUCell {
    static constexpr int gates = 3, saved = 5;
    static Pair forward(const Pair *in, const Pair *sum, Pair before, Pair &, float *keep) {
        const Pair r = sigmoid(in[0] + sum[0]), z = sigmoid(in[1] + sum[1]);
        const Pair n = tanh(in[2] + r * sum[2]);
        if (keep) {
            const Pair all[] = {r, z, n, sum[2], before};
            UNROLL for (int s = 0; s < 5; ++s) store_pair(keep + s * WIDTH, all[s]);
        }
        return n + z * (before - n);
    }
    // carry: the gradient that reaches h of the step before past the product.
    static void backward(Pair d, Pair &carry, const float *keep, Pair *d_sum, Pair &d_n) {
        const Pair r = load_pair(keep), z = load_pair(keep + WIDTH), n = load_pair(keep + 2 * WIDTH);
        const Pair sum_n = load_pair(keep + 3 * WIDTH), before = load_pair(keep + 4 * WIDTH);
        d = d + carry;
        d_n = d * (one - z) * (one - n * n);
        d_sum[0] = d_n * sum_n * r * (one - r);
        d_sum[1] = d * (before - n) * z * (one - z);
        d_sum[2] = d_n * r;
        carry = d * z;
    }
};

template <bool is_relu>
struct RNNCell {
    static constexpr int gates = 1, saved = 1;
    static Pair forward(const Pair *in, const Pair *sum, Pair, Pair &, float *keep) {
        const Pair h = is_relu ? relu(in[0] + sum[0]) : tanh(in[0] + sum[0]);
        if (keep) store_pair(keep, h);
        return h;
    }
    static void backward(Pair d, Pair &, const float *keep, Pair *d_sum, Pair &) {
        const Pair h = load_pair(keep);
        if (is_relu)
            d_sum[0] = {h.a > 0.0f ? d.a : Vec{}, h.b > 0.0f ? d.b : Vec{}};
        else
            d_sum[0] = d * (one - h * h);
    }
};

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
