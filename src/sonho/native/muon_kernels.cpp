// A step of Muon for one matrix, for one instruction set. MUON names the table that this compilation fills.
//
// Twin: muon_step and orthogonalize in training/optimizers.py, where the method is explained. There every step of the
// iteration multiplies the matrix X (n, m), n the shorter side. But each X_k is Q_k X with a Q_k that is a polynomial of the
// Gram matrix X X^T, so here Q is iterated, (n, n) and symmetric, and X is multiplied twice in all: 21 n^3 multiplications
// and additions for the four gates of an LSTM; gate by gate it would be 48 (docs/log.md, 43).
//
// A step is taken in MUON_STAGES stages, each cut into panels that may be worked out side by side: muon.cpp deals them out.
// Products that are symmetric are worked out on and below the diagonal, and but for the Gram matrix itself of float32 numbers,
// whatever the precision: rounding errors would add up over the steps.

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

// Past 1 the first polynomial grows fast: so much room is left for what rounding adds (NORM in optimizers.py).
constexpr double NORM = 1.01;

enum Kind { GATHER, GRAM, POLYNOMIAL, PRODUCT, ROUND, UPDATE };
enum Name { A, P, Q, R, SQUARES };  // SQUARES: how many matrices (n, n) there are

// A is the Gram matrix of what the steps so far have made of X, P the polynomial of it that the next step multiplies by.
struct Stage {
    Kind kind;
    Name left, right, out;
    int step;
};
constexpr Stage STAGES[] = {
    {GATHER, A, A, A, 0},      //
    {GRAM, A, A, A, 0},        // A = X X^T
    {POLYNOMIAL, A, A, P, 0},  // P = a + b A + c A^2
    {PRODUCT, P, A, R, 0},     //
    {PRODUCT, R, P, A, 0},     // A = P A P
    {POLYNOMIAL, A, A, R, 1},  // R: the next P
    {PRODUCT, R, P, Q, 0},     // Q = R P
    {PRODUCT, R, A, P, 0},     //
    {PRODUCT, P, R, A, 0},     // A = R A R
    {POLYNOMIAL, A, A, P, 2},  //
    {PRODUCT, P, Q, R, 0},     // R = P Q: what X is multiplied by in all
    {ROUND, R, R, P, 0},       // as terms, where that is another thing
    {UPDATE, NUMBERS == 1 ? R : P, A, A, 0},
};
static_assert(sizeof STAGES / sizeof *STAGES == MUON_STAGES, "kernels.h counts them");

// A symmetric matrix of floats.
struct Square {
    float *numbers;
    int64_t stride;

    float *at(int64_t row, int64_t column) const { return numbers + row * stride + column; }
    const Term *terms_of(int64_t row) const { return (const Term *)at(row, 0); }
};

// The matrix as terms (n, m), on its side if it is tall; zero past m up to the next tile. The sums of the squares of what
// each panel of GATHER brought; the symmetric matrices.
struct Work {
    const bool tall;
    const int64_t n, m, stride;
    double *sums;
    Term *x;
    Square squares[SQUARES];

    Work(const SonhoMuon &p, float *room)
        : tall(p.rows > p.columns), n(muon_least(p)), m(muon_most(p)), stride(row_stride(m)), sums((double *)room) {
        room += 2 * stride;
        x = (Term *)room;
        room += n * stride;
        for (Square &square : squares) {
            square = {room, row_stride(n)};
            room += n * square.stride;
        }
    }
    Term *row(int64_t i) const { return x + i * stride; }
    // What gives the matrix its norm for the first step.
    float scale(int64_t rows) const {
        double sum = 0.0;
        for (int64_t i = 0; i * WIDTH < rows; ++i) sum += sums[i];
        return 1.0f / (static_cast<float>(NORM * sqrt(sum)) + 1e-12f);
    }
};

// Rows from i on of the parameter: the momentum moves, and what it steps along is kept.
void gather(const SonhoMuon &p, const Work &work, int64_t number) {
    const int64_t i = number * WIDTH, rows = least(WIDTH, p.rows - i);
    float block[WIDTH * WIDTH] = {}, turned[WIDTH * WIDTH];
    Vec squares{};
    for (int64_t j = 0; j < p.columns; j += WIDTH) {
        const int64_t width = least(WIDTH, p.columns - j);
        for (int64_t r = 0; r < rows; ++r) {
            const int64_t at = (i + r) * p.columns + j;
            const Pair gradient = load_pair(p.gradient + at, width);
            const Pair momentum = p.momentum * load_pair(p.buffer + at, width) + (1.0f - p.momentum) * gradient;
            store_pair(p.buffer + at, momentum, width);
            // Nesterov: once more towards the momentum.
            const Pair ahead = p.momentum * momentum + (1.0f - p.momentum) * gradient;
            store_pair(block + r * WIDTH, ahead);
            squares += ahead.a * ahead.a + ahead.b * ahead.b;
        }
        if (work.tall) {
            transpose_tiles(turned, block);
            for (int64_t c = 0; c < width; ++c) store_row(work.row(j + c) + i / NUMBERS, load_pair(turned + c * WIDTH));
        } else {
            for (int64_t r = 0; r < rows; ++r) store_row(work.row(i + r) + j / NUMBERS, load_pair(block + r * WIDTH));
        }
    }
    double sum = 0.0;
    for (int lane = 0; lane < LANES; ++lane) sum += squares[lane];
    work.sums[number] = sum;
}

// The panel from column j on of a symmetric product (n, n): rows, `stride` terms apart and `depth` long, times the packed
// panel; and its mirror image. change(i, sums) gives what is kept of the panel in row i; `diagonal` is added there.
template <class Change>
void symmetric_panel(const Term *rows, int64_t stride, const Term *panel, int64_t depth, const Square &out, int64_t n, int64_t j,
                     float diagonal, Change change) {
    const Blocks blocks(n - j);
    for (int64_t block = 0; block < blocks.blocks; ++block) {
        const int64_t i = j + blocks.start(block), count = j + blocks.start(block + 1) - i;
        multiply_by_rows[count](rows + i * stride, stride, 1, panel, depth, out.at(i, j), out.stride);
        for (int64_t r = i; r < i + count; ++r) {
            store_pair(out.at(r, j), change(r, load_pair(out.at(r, j))));
            if (r < j + WIDTH) *out.at(r, r) += diagonal;
        }
    }
    const int64_t right = j + WIDTH;
    if (right < n) transpose(out.at(j, right), out.stride, out.at(right, j), out.stride, n - right, WIDTH);
}

void gram(const SonhoMuon &p, const Work &work, const Stage &stage, int64_t j, Term *panel) {
    const int64_t n = work.n, depth = terms(work.m), width = least(WIDTH, n - j);
    const float scale = work.scale(p.rows);
    if (width < WIDTH) memset(panel, 0, sizeof(Term) * depth * WIDTH);
    transpose(panel, WIDTH, work.row(j), work.stride, width, depth);
    symmetric_panel(work.x, work.stride, panel, depth, work.squares[stage.out], n, j, 0.0f,
                    [=](int64_t, Pair sums) { return scale * (scale * sums); });
}

// A product of two matrices that are polynomials of the same one, which is symmetric, too. Of numbers of float32: it is the
// compilation for these that is asked for it (muon.cpp).
void square_product(const Work &work, const Stage &stage, int64_t j, Term *panel) {
    const Square &left = work.squares[stage.left], &right = work.squares[stage.right], &out = work.squares[stage.out];
    const int64_t n = work.n;
    pack_rows(panel, right.at(0, j), right.stride, n, n - j);
    if (stage.kind == PRODUCT)
        return symmetric_panel(left.terms_of(0), left.stride, panel, n, out, n, j, 0.0f,
                               [](int64_t, Pair sums) { return sums; });
    const Polynomial &step = NEWTON_SCHULZ[stage.step];
    const float b = step.b, c = step.c;
    symmetric_panel(left.terms_of(0), left.stride, panel, n, out, n, j, step.a,
                    [&](int64_t i, Pair sums) { return c * sums + b * load_pair(left.at(i, j)); });
}

// Each column of `made` (n, WIDTH) divided by its length.
void make_columns_one_long(float *made, int64_t n) {
    Pair squares{};
    for (int64_t i = 0; i < n; ++i) squares = squares + load_pair(made + i * WIDTH) * load_pair(made + i * WIDTH);
    float lengths[WIDTH];
    store_pair(lengths, squares);
    for (float &length : lengths) length = 1.0f / (sqrtf(length) + 1e-12f);
    const Pair scales = load_pair(lengths);
    for (int64_t i = 0; i < n; ++i) store_pair(made + i * WIDTH, scales * load_pair(made + i * WIDTH));
}

// Columns from j on of the orthogonalised matrix, and the parameter's step along them.
void update(const SonhoMuon &p, const Work &work, const Stage &stage, int64_t j, Term *panel, float *made) {
    const Square &factor = work.squares[stage.left];
    const int64_t n = work.n, width = least(WIDTH, work.m - j);
    // Of a tall matrix each row becomes a step of one length; those of another are about that long already.
    const float size = p.rate * 0.2f * (work.tall ? sqrtf(static_cast<float>(n)) : sqrtf(static_cast<float>(work.m)) * work.scale(p.rows));
    const float keep = 1.0f - p.rate * p.weight_decay;
    Term *to = panel;
    for (int64_t k = 0; k < n; k += NUMBERS, to += WIDTH) {
        const bool both = NUMBERS > 1 && k + 1 < n;
        zip(to, load_numbers((const Number *)work.row(k) + j), both ? load_numbers((const Number *)work.row(k + 1) + j) : Pair{});
    }
    const Blocks blocks(n);
    for (int64_t block = 0; block < blocks.blocks; ++block) {
        const int64_t i = blocks.start(block), count = blocks.start(block + 1) - i;
        multiply_by_rows[count](factor.terms_of(i), factor.stride, 1, panel, terms(n), made + i * WIDTH, WIDTH);
    }
    const auto step = [&](int64_t row, int64_t column, const float *along, int64_t count) {
        float *values = p.parameter + row * p.columns + column;
        store_pair(values, keep * load_pair(values, count) - size * load_pair(along), count);
    };
    if (!work.tall) {
        for (int64_t i = 0; i < n; ++i) step(i, j, made + i * WIDTH, width);
        return;
    }
    make_columns_one_long(made, n);
    float turned[WIDTH * WIDTH];
    for (int64_t i = 0; i < n; i += WIDTH) {
        transpose_tiles(turned, made + i * WIDTH);  // past n it is anything, and not used
        for (int64_t r = 0; r < width; ++r) step(j + r, i, turned + r * WIDTH, least(WIDTH, n - i));
    }
}

void round(const Work &work, const Stage &stage, int64_t first) {
    for (int64_t i = first; i < least(first + WIDTH, work.n); ++i)
        to_terms((Term *)work.squares[stage.out].at(i, 0), work.squares[stage.left].at(i, 0), work.n);
}

bool exact(int64_t stage) { return STAGES[stage].kind == POLYNOMIAL || STAGES[stage].kind == PRODUCT; }

int64_t panels(const SonhoMuon &p, int64_t stage) {
    const Kind kind = STAGES[stage].kind;
    if (kind == ROUND && NUMBERS == 1) return 0;
    return ((kind == GATHER ? p.rows : kind == UPDATE ? muon_most(p) : muon_least(p)) + WIDTH - 1) / WIDTH;
}

void work_out(const SonhoMuon &p, int64_t number, int64_t panel, float *scratch, float *room) {
    const Work work(p, scratch);
    const Stage &stage = STAGES[number];
    switch (stage.kind) {
        case GATHER: return gather(p, work, panel);
        case GRAM: return gram(p, work, stage, panel * WIDTH, (Term *)room);
        case POLYNOMIAL:
        case PRODUCT: return square_product(work, stage, panel * WIDTH, (Term *)room);
        case ROUND: return round(work, stage, panel * WIDTH);
        case UPDATE: return update(p, work, stage, panel * WIDTH, (Term *)room, room + padded(work.n) * WIDTH);
    }
}

}  // namespace

extern const MuonKernels MUON;
const MuonKernels MUON = {exact, panels, work_out};
