// One step of Muon for one gate's matrix, for one instruction set. MUON names the function that this compilation fills.
//
// Twin: Muon.step and orthogonalize in training/optimizers.py, where the method is explained. All that is worked on stays
// in the second cache up to 256 x 256. Products that are symmetric are worked out on and below the diagonal.

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

// A symmetric product (n, n) = rows (n, depth) times columns (depth, n), the depth counted in terms. pack(j) makes the panel
// of columns from j on; finish(row, i, j) gets the tile's columns [j, j + WIDTH) of row i and may change them.
template <class Pack, class Finish>
void multiply_symmetric(Rows rows, int64_t n, int64_t depth, const Term *panel, float *out, int64_t out_stride, Pack pack,
                        Finish finish) {
    for (int64_t j = 0; j < n; j += WIDTH) {
        pack(j);
        const Blocks blocks(n - j);
        for (int64_t block = 0; block < blocks.blocks; ++block) {
            const int64_t i = j + blocks.start(block), R = j + blocks.start(block + 1) - i;
            multiply_by_rows[R](rows.first + i * rows.stride, rows.stride, 1, panel, depth, out + i * out_stride + j,
                                out_stride);
            for (int64_t r = i; r < i + R; ++r) finish(out + r * out_stride + j, r, j);
        }
        for (int64_t k = j; k < least(j + WIDTH, n); ++k)
            for (int64_t i = j + WIDTH; i < n; ++i) out[k * out_stride + i] = out[i * out_stride + k];
    }
}

// Brings the singular values of x (n, m), n <= m, near 1. Columns past m are zero up to the next tile, and stay so.
void orthogonalize(float *x, int64_t n, int64_t m, float *scratch) {
    const int64_t x_stride = row_stride(m), stride = row_stride(n);
    float *gram = scratch, *polynomial = gram + n * stride, *room = polynomial + n * stride, tile[TILE_ROWS * WIDTH];
    Term *panel = (Term *)(room + n * x_stride);
    double squares = 0.0;
    for (int64_t i = 0; i < n; ++i) {
        Vec sum{};
        for (int64_t j = 0; j < m; j += LANES) sum += load(x + i * x_stride + j) * load(x + i * x_stride + j);
        for (int lane = 0; lane < LANES; ++lane) squares += sum[lane];
    }
    const float scale = 1.0f / (static_cast<float>(sqrt(squares)) + 1e-12f);
    for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < m; j += LANES) store(x + i * x_stride + j, load(x + i * x_stride + j) * scale);

    for (const Polynomial &step : NEWTON_SCHULZ) {
        const float A = step.a, B = step.b, C = step.c;
        multiply_symmetric(
            rows_of(x, x_stride, n, m, room), n, terms(m), panel, gram, stride,
            [&](int64_t j) {
                const int64_t width = least(WIDTH, n - j);
                if (width < WIDTH) memset(panel, 0, sizeof(Term) * terms(m) * WIDTH);
                transpose_into(panel, x + j * x_stride, x_stride, m, width);
            },
            [](float *, int64_t, int64_t) {});
        multiply_symmetric(
            rows_of(gram, stride, n, n, room), n, terms(n), panel, polynomial, stride,
            [&](int64_t j) { pack_rows(panel, gram + j, stride, n, n - j); },
            [&](float *row, int64_t i, int64_t j) {
                store_pair(row, C * load_pair(row) + B * load_pair(gram + i * stride + j));
            });
        const Blocks blocks(n);
        const Rows rows = rows_of(polynomial, stride, n, n, room);
        for (int64_t j = 0; j < m; j += WIDTH) {
            pack_rows(panel, x + j, x_stride, n, WIDTH);
            for (int64_t block = 0; block < blocks.blocks; ++block) {
                const int64_t i = blocks.start(block), R = blocks.start(block + 1) - i;
                multiply_by_rows[R](rows.first + i * rows.stride, rows.stride, 1, panel, terms(n), tile, WIDTH);
                for (int64_t r = 0; r < R; ++r) {
                    float *to = x + (i + r) * x_stride + j;
                    store_pair(to, load_pair(tile + r * WIDTH) + A * load_pair(to));
                }
            }
        }
    }
}

void muon(const SonhoMuon &p, int64_t gate, float *scratch) {
    const int64_t rows = p.rows, columns = p.columns, from = gate * rows * columns;
    const bool tall = rows > columns;
    const int64_t n = tall ? columns : rows, m = tall ? rows : columns, stride = row_stride(m);
    float *x = scratch;
    zero(x, n * stride);
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
            const int64_t at = from + i * columns + j;
            const float gradient = p.gradient[at], momentum = p.momentum * p.buffer[at] + (1.0f - p.momentum) * gradient;
            p.buffer[at] = momentum;
            // Nesterov: once more towards the momentum.
            x[tall ? j * stride + i : i * stride + j] = p.momentum * momentum + (1.0f - p.momentum) * gradient;
        }
    orthogonalize(x, n, m, x + n * stride);
    const float size = p.rate * 0.2f * sqrtf(static_cast<float>(m)), keep = 1.0f - p.rate * p.weight_decay;
    for (int64_t i = 0; i < rows; ++i)
        for (int64_t j = 0; j < columns; ++j) {
            float &value = p.parameter[from + i * columns + j];
            value = value * keep - size * x[tall ? j * stride + i : i * stride + j];
        }
}

}  // namespace

extern const MuonKernel MUON;
const MuonKernel MUON = muon;
