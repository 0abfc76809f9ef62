// What an optimiser does to every number by itself: the numbers dealt to the threads. Compiled once, for any machine.

#include <vector>

#include "runtime.h"

namespace {

// Waking a thread takes as long as so many numbers do.
constexpr int64_t PIECE = 1 << 15;

// Calls work(array, first, last) on pieces of all arrays; `threads` share them.
template <class Array, class Work>
Status for_pieces(const Array *arrays, int64_t count, int threads, Work work) {
    struct Piece {
        const Array *array;
        int64_t first, last;
    };
    std::vector<Piece> pieces;
    if (count < 0 || threads < 1) return BAD_ARGUMENT;
    for (const Array *array = arrays; array < arrays + count; ++array) {
        if (array->n < 0) return BAD_ARGUMENT;
        for (int64_t first = 0; first < array->n; first += PIECE)
            pieces.push_back({array, first, first + PIECE < array->n ? first + PIECE : array->n});
    }
    run_tasks(static_cast<int64_t>(pieces.size()), threads,
              [&](int64_t i) { work(*pieces[i].array, pieces[i].first, pieces[i].last); });
    return OK;
}

}  // namespace

extern "C" {

API int sonho_adamw(const SonhoAdamW *parameters, int64_t count, int threads) {
    return for_pieces(parameters, count, threads, isa().updates->adamw);
}

// values += share * (towards - values), for every array.
API int sonho_approach(const SonhoArray *arrays, int64_t count, float share, int threads) {
    return for_pieces(arrays, count, threads, [&](const SonhoArray &array, int64_t first, int64_t last) {
        isa().updates->approach(array.values + first, array.towards + first, share, last - first);
    });
}

// values *= factor, for every array.
API int sonho_scale(const SonhoArray *arrays, int64_t count, float factor, int threads) {
    return for_pieces(arrays, count, threads, [&](const SonhoArray &array, int64_t first, int64_t last) {
        isa().updates->scale(array.values + first, factor, last - first);
    });
}

// The sum of all squares, the arrays one behind the other.
API double sonho_sum_of_squares(const SonhoArray *arrays, int64_t count) {
    double sum = 0.0;
    for (const SonhoArray *array = arrays; array < arrays + count; ++array)
        sum += isa().updates->sum_of_squares(array->values, array->n);
    return sum;
}
}
