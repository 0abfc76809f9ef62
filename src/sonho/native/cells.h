// The cells: one unit vector of one row, forward and backward. Twins: nn/cells.py.
#pragma once

#include "vector.h"

namespace {

// `sum[g]` is U h, `in[g]` what the input adds, `c` the memory beside h. `keep` gets what backward needs, WIDTH apart.
constexpr float one = 1.0f;

struct LSTMCell {
    static constexpr int gates = 4, saved = 5;
    static Pair forward(const Pair *in, const Pair *sum, Pair, Pair &c, float *keep) {
        const Pair i = sigmoid(in[0] + sum[0]), f = sigmoid(in[1] + sum[1]);
        const Pair g = tanh(in[2] + sum[2]), o = sigmoid(in[3] + sum[3]);
        c = f * c + i * g;
        if (keep) {
            const Pair all[] = {i, f, g, o, c};
            UNROLL for (int s = 0; s < 5; ++s) store_pair(keep + s * WIDTH, all[s]);
        }
        return o * tanh(c);
    }
    // d: gradient of h. carry: gradient of c, before and after. d_sum[g]: of U h; d_n is the GRU's alone.
    static void backward(Pair d, Pair &carry, const float *keep, Pair *d_sum, Pair &) {
        const Pair i = load_pair(keep), f = load_pair(keep + WIDTH), g = load_pair(keep + 2 * WIDTH);
        const Pair o = load_pair(keep + 3 * WIDTH), c = load_pair(keep + 4 * WIDTH), tanh_c = tanh(c);
        const Pair d_c = carry + d * o * (one - tanh_c * tanh_c);
        d_sum[0] = d_c * g * i * (one - i);
        d_sum[1] = d_c * (c - i * g) * (one - f);  // c - i g is f times the c before: it need not be kept
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

}  // namespace
