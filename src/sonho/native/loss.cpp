// The output layer with its loss: checks, memory, and rows or panels dealt to the threads. Compiled once.

#include <algorithm>
#include <limits>
#include <vector>

#include "runtime.h"

namespace {

constexpr int64_t NO_TARGET = -100;
// The gradients of the logits are held for so many rows at once that they have this many numbers, or a little more.
constexpr int64_t GRADIENTS_AT_ONCE = 1 << 23;

}  // namespace

extern "C" API int sonho_cross_entropy(const SonhoLoss *loss) {
    const SonhoLoss &l = *loss;
    if (l.R < 0 || l.H < 1 || l.V < 1 || l.threads < 1) return BAD_ARGUMENT;
    if (!has_precision(l.precision)) return NO_BFLOAT16;
    int64_t targets = 0;
    for (int64_t r = 0; r < l.R; ++r) {
        if (l.targets[r] != NO_TARGET && (l.targets[r] < 0 || l.targets[r] >= l.V)) return BAD_ID;
        targets += l.targets[r] != NO_TARGET;
    }
    const LossKernels &k = *isa().loss[l.precision];
    const int64_t panels = tiles(l.V), all_panels = panels + tiles(l.H), width = isa().kernels[l.precision]->tile_columns;
    // Few panels would not be shared out evenly, so that threads then share the hidden units.
    const bool by_units = panels < 4 * l.threads;
    const int64_t parts = std::min<int64_t>(l.threads, by_units ? l.H : panels), sums_size = panels * (l.H + 1) * width;
    const auto part = [&](int64_t i) {
        return by_units ? Part{0, panels, cut(l.H, parts, i), cut(l.H, parts, i + 1)}
                        : Part{cut(panels, parts, i), cut(panels, parts, i + 1), 0, l.H};
    };
    const int64_t blocks = std::max<int64_t>(l.threads, GRADIENTS_AT_ONCE / (GRADIENT_ROWS * padded(l.V)));
    const int64_t at_once = std::min(blocks * GRADIENT_ROWS, l.R);
    Memory memory;
    const auto packed = memory.add(loss_packed(l)), sums = memory.add(sums_size);
    const auto gradients = memory.add((at_once + GRADIENT_ROWS) * padded(l.V));
    const auto scratch = memory.add(0), each = std::max(loss_rows_scratch(l), loss_weights_scratch(l));
    memory.add(l.threads * each);
    if (!memory.take()) return NO_MEMORY;
    std::vector<double> losses(l.R);
    run_tasks(l.threads, l.threads, [&](int64_t i) {
        k.pack(l, memory[packed], cut(all_panels, l.threads, i), cut(all_panels, l.threads, i + 1));
        std::fill(memory[sums] + cut(sums_size, l.threads, i), memory[sums] + cut(sums_size, l.threads, i + 1), 0.0f);
    });
    for (int64_t from = 0; from < l.R; from += at_once) {
        const int64_t rows = std::min(at_once, l.R - from), deals = std::min<int64_t>(l.threads, rows);
        run_tasks(deals, l.threads, [&](int64_t i) {
            k.rows(l, memory[packed], 1.0f / targets, from, from + cut(rows, deals, i), from + cut(rows, deals, i + 1),
                   losses.data(), memory[gradients], memory[scratch] + i * each);
        });
        run_tasks(parts, l.threads, [&](int64_t i) {
            k.weights(l, memory[gradients], from, rows, part(i), memory[sums], memory[scratch] + i * each);
            if (from + rows == l.R) k.finish(l, memory[sums], part(i));
        });
    }
    if (l.R == 0) k.finish(l, memory[sums], {0, panels, 0, l.H});
    double sum = 0.0;
    for (double each_loss : losses) sum += each_loss;
    *l.loss = targets ? sum / targets : std::numeric_limits<double>::quiet_NaN();
    return OK;
}
