// The output layer with the cross-entropy of its softmax, for one instruction set: see SonhoLoss in kernels.h.
//
// A block of rows goes all the way, from hidden to its own gradient, while its logits are in a near cache. LOSS names the
// table that this compilation fills. Twin: F.cross_entropy of F.linear.

#include <math.h>

#include "kernels.h"
#include "multiply.h"

namespace {

// Terms (terms.h) of a product with V are taken this many at a time, so that a panel's piece stays in the cache.
constexpr int64_t DEPTH = 512;

// Panels [0, V panels) are the weights transposed, for the logits; the rest are the weights, for the gradient of hidden.
const Term *logits_panel(const SonhoLoss &l, const float *packed, int64_t panel) {
    return (const Term *)packed + panel * terms(l.H) * WIDTH;
}
const Term *hidden_panel(const SonhoLoss &l, const float *packed, int64_t panel) {
    return logits_panel(l, packed, (l.V + WIDTH - 1) / WIDTH) + panel * terms(l.V) * WIDTH;
}

void pack(const SonhoLoss &l, float *packed, int64_t first, int64_t last) {
    const int64_t V = l.V, H = l.H, of_logits = (V + WIDTH - 1) / WIDTH;
    for (int64_t panel = first; panel < last; ++panel)
        if (panel < of_logits) {
            const int64_t column = panel * WIDTH, width = least(WIDTH, V - column);
            Term *out = (Term *)logits_panel(l, packed, panel);
            if (width < WIDTH) memset(out, 0, sizeof(Term) * terms(H) * WIDTH);
            transpose_into(out, l.weight + column * H, H, H, width);
        } else {
            const int64_t unit = (panel - of_logits) * WIDTH;
            Term *out = (Term *)hidden_panel(l, packed, panel - of_logits);
            pack_rows(out, l.weight + unit, H, V, least(WIDTH, H - unit));
        }
}

float largest(Vec x) {
    float most = x[0];
    for (int i = 1; i < LANES; ++i) most = x[i] > most ? x[i] : most;
    return most;
}

float total(Vec x) {
    float sum = 0.0f;
    for (int i = 0; i < LANES; ++i) sum += x[i];
    return sum;
}

// One row's logits become their own gradient, times `scale`. Returns the loss.
double softmax(float *logits, const float *bias, int64_t V, int64_t target, float scale) {
    const int64_t end = (V + WIDTH - 1) / WIDTH * WIDTH;
    const Vec nothing = splat(-INFINITY);
    Vec most = nothing;
    for (int64_t j = 0; j < V; j += LANES) {
        const Vec x = load(logits + j) + load(bias + j, V - j);
        store(logits + j, x);
        if (V - j < LANES) break;
        most = x > most ? x : most;
    }
    float peak = largest(most);
    for (int64_t j = V / LANES * LANES; j < V; ++j) peak = logits[j] > peak ? logits[j] : peak;
    for (int64_t j = V; j < end; ++j) logits[j] = -INFINITY;
    const double own = target >= 0 ? logits[target] : 0.0;
    Vec sum{};
    for (int64_t j = 0; j < end; j += LANES) {
        const Vec x = load(logits + j) - peak, e = exp_within(x, 1.0f, 126.0f);
        const Vec kept = x < -87.0f ? Vec{} : e;  // exactly zero for what is never predicted; a NaN stays one
        store(logits + j, kept);
        sum += kept;
    }
    const float all = total(sum);
    const float factor = target >= 0 ? scale / all : 0.0f;
    for (int64_t j = 0; j < end; j += LANES) store(logits + j, load(logits + j) * factor);
    if (target < 0) return 0.0;
    logits[target] -= scale;
    return log(static_cast<double>(all)) + peak - own;
}

void rows(const SonhoLoss &l, const float *packed, float scale, int64_t from, int64_t first, int64_t last, double *losses,
          float *gradients, float *scratch) {
    const int64_t V = l.V, H = l.H, panels = (V + WIDTH - 1) / WIDTH;
    const int64_t logits_stride = row_stride(V), stride = row_stride(H);
    float *logits = scratch, *d_hidden = logits + GRADIENT_ROWS * logits_stride;
    Term *hidden = (Term *)d_hidden, *d_logits = (Term *)logits;  // one written over the other
    for (int64_t start = first; start < last; start += GRADIENT_ROWS) {
        const int64_t count = least(GRADIENT_ROWS, last - start);
        const Blocks blocks(count);
        // Whole panels go where they belong at once.
        float *to = H % WIDTH ? d_hidden : l.d_hidden + start * H;
        const int64_t to_stride = H % WIDTH ? stride : H;
        for (int64_t i = 0; i < count; ++i) to_terms(hidden + i * stride, l.hidden + (start + i) * H, H);
        for (int64_t panel = 0; panel < panels; ++panel)
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t begin = blocks.start(block), R = blocks.start(block + 1) - begin;
                multiply_by_rows[R](hidden + begin * stride, stride, 1, logits_panel(l, packed, panel), terms(H),
                                    logits + begin * logits_stride + panel * WIDTH, logits_stride);
            }
        for (int64_t i = 0; i < count; ++i) {
            float *row = logits + i * logits_stride;
            losses[start + i] = softmax(row, l.bias, V, l.targets[start + i], scale);
            const int64_t number = start + i - from;
            Number *out = (Number *)gradients +
                          (number / GRADIENT_ROWS * panels * GRADIENT_ROWS + number % GRADIENT_ROWS) * WIDTH;
            for (int64_t panel = 0; panel < panels; ++panel) {
                const Pair each = load_pair(row + panel * WIDTH);
                store_numbers(out + panel * GRADIENT_ROWS * WIDTH, each);
                store_row(d_logits + i * logits_stride + panel * WIDTH / NUMBERS, each);
            }
        }
        for (int64_t unit = 0; unit < H; unit += WIDTH)
            for (int64_t v = 0; v < terms(V); v += DEPTH)
                for (int64_t block = 0; block < blocks.blocks; ++block) {
                    const int64_t begin = blocks.start(block), R = blocks.start(block + 1) - begin;
                    (v == 0 ? multiply_by_rows : add_by_rows)[R](
                        d_logits + begin * logits_stride + v, logits_stride, 1,
                        hidden_panel(l, packed, unit / WIDTH) + v * WIDTH, least(DEPTH, terms(V) - v),
                        to + begin * to_stride + unit, to_stride);
                }
        for (int64_t i = 0; H % WIDTH && i < count; ++i) copy(l.d_hidden + (start + i) * H, d_hidden + i * stride, H);
    }
}

// Adds to sums (panels, H+1, WIDTH) of these panels and units: the gradients of weight, transposed, and of bias.
void weights(const SonhoLoss &l, const float *gradients, int64_t from, int64_t rows, Part part, float *sums, float *scratch) {
    const int64_t H = l.H, stride = row_stride(H), panels = (l.V + WIDTH - 1) / WIDTH, units = part.last_unit - part.unit;
    const Blocks blocks(units);
    Term *hidden = (Term *)scratch, room[panel_room(GRADIENT_ROWS)];
    for (int64_t start = 0; start < rows; start += GRADIENT_ROWS) {
        const int64_t depth = least(GRADIENT_ROWS, rows - start);
        const float *upper = l.hidden + (from + start) * H + part.unit;
        for (int64_t k = 0; k < depth; k += NUMBERS, upper += NUMBERS * H)
            zip_rows(hidden + k / NUMBERS * stride, upper, NUMBERS > 1 && k + 1 < depth ? upper + H : nullptr, units);
        for (int64_t panel = part.panel; panel < part.last_panel; ++panel) {
            const Number *numbers = (const Number *)gradients + (start * panels + panel * GRADIENT_ROWS) * WIDTH;
            const Term *columns = panel_of(numbers, depth, room);
            float *to = sums + panel * (H + 1) * WIDTH;
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t m = blocks.start(block), M = blocks.start(block + 1) - m;
                add_by_columns[M](hidden + m, 1, stride, columns, terms(depth), to + (part.unit + m) * WIDTH, WIDTH);
            }
            if (part.unit > 0) continue;
            Pair sum = load_pair(to + H * WIDTH);
            for (int64_t k = 0; k < depth; ++k) sum = sum + load_numbers(numbers + k * WIDTH);
            store_pair(to + H * WIDTH, sum);
        }
    }
}

void finish(const SonhoLoss &l, const float *sums, Part part) {
    for (int64_t panel = part.panel; panel < part.last_panel; ++panel) {
        const int64_t v = panel * WIDTH, width = least(WIDTH, l.V - v), units = part.last_unit - part.unit;
        const float *from = sums + panel * (l.H + 1) * WIDTH;
        transpose(l.d_weight + v * l.H + part.unit, l.H, from + part.unit * WIDTH, WIDTH, units, width);
        if (part.unit == 0) copy(l.d_bias + v, from + l.H * WIDTH, width);
    }
}

}  // namespace

extern const LossKernels LOSS;
const LossKernels LOSS = {pack, rows, weights, finish};
