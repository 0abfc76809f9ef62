// One step of Muon for one gate's matrix, for one instruction set. MUON names the table that this compilation fills.
//
// Twin: Muon.step and orthogonalize in training/optimizers.py, where the method is explained. A step is begun, taken through
// MUON_PRODUCTS products, which are cut into panels that may be worked out side by side, and ended: muon.cpp deals them out.
// Products that are symmetric are worked out on and below the diagonal. All that a matrix of up to 256 x 256 needs stays in
// the second cache.

#include <math.h>

#include "kernels.h"
#include "multiply.h"

namespace {

// The coefficients of each step, those of training/optimizers.py.
struct Polynomial {
    float a, b, c;
};
constexpr Polynomial NEWTON_SCHULZ[] = {
    {8.0934f, -23.6204f, 17.4462f}, {3.6366f, -2.7219f, 0.5365f}, {2.6613f, -1.9772f, 0.4526f}};
constexpr int64_t PRODUCTS_A_STEP = 3;  // the Gram matrix, its polynomial, and that times the matrix
static_assert(sizeof NEWTON_SCHULZ / sizeof *NEWTON_SCHULZ * PRODUCTS_A_STEP == MUON_PRODUCTS, "three steps");

// A matrix of floats, and the same as terms: one memory where a term is a float.
struct Matrix {
    float *numbers;
    Term *as_terms;
    int64_t stride;

    Matrix(float *&room, int64_t rows, int64_t columns) : numbers(room), stride(row_stride(columns)) {
        if (NUMBERS > 1) room += rows * stride;
        as_terms = (Term *)room;
        room += rows * stride;
    }
    float *at(int64_t row, int64_t column) const { return numbers + row * stride + column; }
    const Term *row_terms(int64_t row) const { return as_terms + row * stride; }
    // After columns [first, last) of a row were written; first at the beginning of a tile.
    void written(int64_t row, int64_t first, int64_t last) const {
        if (NUMBERS > 1) to_terms(as_terms + row * stride + first / NUMBERS, at(row, first), last - first);
    }
};

// The gate's matrix (n, m), on its side if it is tall, its Gram matrix and the polynomial of that. Columns past m are zero
// up to the next tile, and stay so.
struct Work {
    const bool tall;
    const int64_t n, m;
    Matrix x, gram, polynomial;

    Work(const SonhoMuon &p, float *room)
        : tall(p.rows > p.columns), n(muon_least(p)), m(muon_most(p)), x(room, n, m), gram(room, n, n), polynomial(room, n, n) {}
    float &of(int64_t row, int64_t column) const { return tall ? *x.at(column, row) : *x.at(row, column); }
};

void begin(const SonhoMuon &p, int64_t gate, float *scratch) {
    const Work work(p, scratch);
    const Matrix &x = work.x;
    zero(x.numbers, work.n * x.stride);
    for (int64_t i = 0; i < p.rows; ++i)
        for (int64_t j = 0; j < p.columns; ++j) {
            const int64_t at = (gate * p.rows + i) * p.columns + j;
            const float gradient = p.gradient[at], momentum = p.momentum * p.buffer[at] + (1.0f - p.momentum) * gradient;
            p.buffer[at] = momentum;
            // Nesterov: once more towards the momentum.
            work.of(i, j) = p.momentum * momentum + (1.0f - p.momentum) * gradient;
        }
    double squares = 0.0;
    for (int64_t i = 0; i < work.n; ++i) {
        Vec sum{};
        for (int64_t j = 0; j < work.m; j += LANES) sum += load(x.at(i, j)) * load(x.at(i, j));
        for (int lane = 0; lane < LANES; ++lane) squares += sum[lane];
    }
    const float scale = 1.0f / (static_cast<float>(sqrt(squares)) + 1e-12f);
    for (int64_t i = 0; i < work.n; ++i) {
        for (int64_t j = 0; j < work.m; j += LANES) store(x.at(i, j), load(x.at(i, j)) * scale);
        x.written(i, 0, work.m);
    }
}

// The panel from column j on of a symmetric product (n, n) of `rows` with the packed panel, and its mirror image.
// change(i, sums) gives what is kept of the panel in row i.
template <class Change>
void symmetric_panel(const Matrix &rows, const Term *panel, int64_t depth, const Matrix &out, int64_t n, int64_t j,
                     Change change) {
    const Blocks blocks(n - j);
    for (int64_t block = 0; block < blocks.blocks; ++block) {
        const int64_t i = j + blocks.start(block), R = j + blocks.start(block + 1) - i;
        multiply_by_rows[R](rows.row_terms(i), rows.stride, 1, panel, terms(depth), out.at(i, j), out.stride);
        for (int64_t r = i; r < i + R; ++r) {
            store_pair(out.at(r, j), change(r, load_pair(out.at(r, j))));
            out.written(r, j, least(j + WIDTH, n));
        }
    }
    const int64_t right = j + WIDTH;
    if (right >= n) return;
    transpose(out.at(j, right), out.stride, out.at(right, j), out.stride, n - right, WIDTH);
    for (int64_t k = j; k < right; ++k) out.written(k, right, n);
}

int64_t panels(const SonhoMuon &p, int64_t product) {
    return ((product % PRODUCTS_A_STEP == 2 ? muon_most(p) : muon_least(p)) + WIDTH - 1) / WIDTH;
}

void multiply_panel(const SonhoMuon &p, int64_t product, int64_t number, float *scratch, float *room) {
    const Work work(p, scratch);
    const Polynomial &step = NEWTON_SCHULZ[product / PRODUCTS_A_STEP];
    const float A = step.a, B = step.b, C = step.c;
    const Matrix &x = work.x, &gram = work.gram, &polynomial = work.polynomial;
    const int64_t n = work.n, m = work.m, j = number * WIDTH;
    Term *panel = (Term *)room;
    if (product % PRODUCTS_A_STEP == 0) {
        const int64_t width = least(WIDTH, n - j);
        if (width < WIDTH) memset(panel, 0, sizeof(Term) * terms(m) * WIDTH);
        transpose_into(panel, x.at(j, 0), x.stride, m, width);
        symmetric_panel(x, panel, m, gram, n, j, [](int64_t, Pair sums) { return sums; });
    } else if (product % PRODUCTS_A_STEP == 1) {
        pack_rows(panel, gram.at(0, j), gram.stride, n, n - j);
        symmetric_panel(gram, panel, n, polynomial, n, j,
                        [&](int64_t i, Pair sums) { return C * sums + B * load_pair(gram.at(i, j)); });
    } else {
        float tile[TILE_ROWS * WIDTH];
        const Blocks blocks(n);
        pack_rows(panel, x.at(0, j), x.stride, n, WIDTH);
        for (int64_t block = 0; block < blocks.blocks; ++block) {
            const int64_t i = blocks.start(block), R = blocks.start(block + 1) - i;
            multiply_by_rows[R](polynomial.row_terms(i), polynomial.stride, 1, panel, terms(n), tile, WIDTH);
            for (int64_t r = 0; r < R; ++r) {
                store_pair(x.at(i + r, j), load_pair(tile + r * WIDTH) + A * load_pair(x.at(i + r, j)));
                x.written(i + r, j, least(j + WIDTH, m));
            }
        }
    }
}

void end(const SonhoMuon &p, int64_t gate, float *scratch) {
    const Work work(p, scratch);
    const float size = p.rate * 0.2f * sqrtf(static_cast<float>(work.m)), keep = 1.0f - p.rate * p.weight_decay;
    for (int64_t i = 0; i < p.rows; ++i)
        for (int64_t j = 0; j < p.columns; ++j) {
            float &value = p.parameter[(gate * p.rows + i) * p.columns + j];
            value = value * keep - size * work.of(i, j);
        }
}

}  // namespace

extern const MuonKernels MUON;
const MuonKernels MUON = {begin, panels, multiply_panel, end};
