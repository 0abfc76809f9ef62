// What each symbol adds to the gates of a first layer, for one instruction set: see SonhoTable in kernels.h.
//
// TABLE names the table of functions that this compilation fills. Twin: F.linear of the embedding, or the weights
// transposed, with autograd.

#include "kernels.h"
#include "multiply.h"

namespace {

// Columns [first, last) of the table, in panels. `room` is table_forward_scratch() floats.
void forward(const SonhoTable &t, int64_t first, int64_t last, float *room) {
    Term *packed = (Term *)room;
    float tile[TILE_ROWS * WIDTH];
    const Rows embedding = t.embedding ? rows_of(t.embedding, t.E, t.V, t.E, room + padded(t.E) * PAD) : Rows{};
    for (int64_t panel = first; panel < last; ++panel) {
        const int64_t column = panel * WIDTH, width = least(WIDTH, t.C - column);
        const float *weight = t.weight + column * t.E;
        const Pair bias = load_pair(t.bias + column, width);
        if (!t.embedding) {
            transpose(t.table + column, t.C, weight, t.E, width, t.V);
            for (int64_t v = 0; v < t.V; ++v) {
                float *to = t.table + v * t.C + column;
                store_pair(to, load_pair(to, width) + bias, width);
            }
            continue;
        }
        if (width < WIDTH) memset(packed, 0, sizeof(Term) * terms(t.E) * WIDTH);
        transpose_into(packed, weight, t.E, t.E, width);
        const Blocks blocks(t.V);
        for (int64_t block = 0; block < blocks.blocks; ++block) {
            const int64_t v = blocks.start(block), R = blocks.start(block + 1) - v;
            multiply_by_rows[R](embedding.first + v * embedding.stride, embedding.stride, 1, packed, terms(t.E), tile, WIDTH);
            for (int64_t r = 0; r < R; ++r)
                store_pair(t.table + (v + r) * t.C + column, load_pair(tile + r * WIDTH) + bias, width);
        }
    }
}

// The embedding with its rows one above the other as terms, `row_stride(E)` apart; then the weights, in panels of E.
void pack(const SonhoTable &t, float *packed) {
    const int64_t stride = row_stride(t.E);
    Term *zipped = (Term *)packed, *panels = (Term *)(packed + t.V * stride);
    for (int64_t v = 0; v < t.V; v += NUMBERS) {
        const float *upper = t.embedding + v * t.E;
        zip_rows(zipped + v / NUMBERS * stride, upper, NUMBERS > 1 && v + 1 < t.V ? upper + t.E : nullptr, t.E);
    }
    for (int64_t e = 0; e < t.E; e += WIDTH, panels += terms(t.C) * WIDTH)
        pack_rows(panels, t.weight + e, t.E, t.C, least(WIDTH, t.E - e));
}

// The gradients of the weights and of the bias for panels [first, last) of columns. `sums` is (E, WIDTH).
void weights(const SonhoTable &t, const float *packed, int64_t first, int64_t last, float *sums) {
    const Term *zipped = (const Term *)packed;
    Term room[terms(GRADIENT_ROWS) * WIDTH];
    const int64_t stride = row_stride(t.E);
    const Blocks tiles(t.E);
    for (int64_t panel = first; panel < last; ++panel) {
        const int64_t column = panel * WIDTH, width = least(WIDTH, t.C - column);
        Pair sum{};
        for (int64_t v = 0; v < t.V; ++v) sum = sum + load_pair(t.d_table + v * t.C + column, width);
        store_pair(t.d_bias + column, sum, width);
        if (!t.embedding) {
            transpose(t.d_weight + column * t.E, t.E, t.d_table + column, t.C, t.V, width);
            continue;
        }
        zero(sums, t.E * WIDTH);
        for (int64_t v = 0; v < t.V; v += GRADIENT_ROWS) {
            const int64_t depth = least(GRADIENT_ROWS, t.V - v);
            pack_rows(room, t.d_table + v * t.C + column, t.C, depth, width);
            for (int64_t tile = 0; tile < tiles.blocks; ++tile) {
                const int64_t m = tiles.start(tile), M = tiles.start(tile + 1) - m;
                add_by_columns[M](zipped + v / NUMBERS * stride + m, 1, stride, room, terms(depth), sums + m * WIDTH, WIDTH);
            }
        }
        transpose(t.d_weight + column * t.E, t.E, sums, WIDTH, t.E, width);
    }
}

// The gradient of rows [first, last) of the embedding. `room` is table_rows_scratch() floats.
void rows(const SonhoTable &t, const float *packed, int64_t first, int64_t last, float *room) {
    const Term *panel = (const Term *)(packed + t.V * row_stride(t.E));
    float tile[TILE_ROWS * WIDTH];
    const Rows gradients = rows_of(t.d_table + first * t.C, t.C, last - first, t.C, room);
    const Blocks blocks(last - first);
    for (int64_t e = 0; e < t.E; e += WIDTH, panel += terms(t.C) * WIDTH)
        for (int64_t block = 0; block < blocks.blocks; ++block) {
            const int64_t v = blocks.start(block), R = blocks.start(block + 1) - v, width = least(WIDTH, t.E - e);
            multiply_by_rows[R](gradients.first + v * gradients.stride, gradients.stride, 1, panel, terms(t.C), tile, WIDTH);
            for (int64_t r = 0; r < R; ++r) {
                float *to = t.d_embedding + (first + v + r) * t.E + e;
                const Pair each = load_pair(tile + r * WIDTH);
                store_pair(to, t.adds ? load_pair(to, width) + each : each, width);
            }
        }
}

}  // namespace

extern const TableKernels TABLE;
const TableKernels TABLE = {forward, pack, weights, rows};
