// The table of a first layer: checks, memory, and panels or rows dealt to the threads. Compiled once, for any machine.

#include <algorithm>

#include "runtime.h"

namespace {

Status check(const SonhoTable &t) {
    if (t.V < 1 || t.E < 1 || t.C < 1 || t.threads < 1 || (!t.embedding && t.E != t.V)) return BAD_ARGUMENT;
    return has_precision(t.precision) ? OK : NO_BFLOAT16;
}

}  // namespace

extern "C" {

API int sonho_table_forward(const SonhoTable *table) {
    const SonhoTable &t = *table;
    const Status status = check(t);
    if (status != OK) return status;
    const int64_t panels = tiles(t.C), deals = std::min<int64_t>(t.threads, panels);
    Memory memory;
    const auto scratch = memory.add(0), each = table_forward_scratch(t);
    memory.add(deals * each);
    if (!memory.take()) return NO_MEMORY;
    run_tasks(deals, t.threads, [&](int64_t i) {
        isa().table[t.precision]->forward(t, cut(panels, deals, i), cut(panels, deals, i + 1), memory[scratch] + i * each);
    });
    return OK;
}

API int sonho_table_backward(const SonhoTable *table) {
    const SonhoTable &t = *table;
    const Status status = check(t);
    if (status != OK) return status;
    const TableKernels &k = *isa().table[t.precision];
    const int64_t panels = tiles(t.C), deals = std::min<int64_t>(t.threads, panels);
    const int64_t row_deals = t.embedding ? std::min<int64_t>(t.threads, t.V) : 0;
    Memory memory;
    const auto packed = memory.add(t.embedding ? table_packed(t) : 0);
    const auto scratch = memory.add(0), each = std::max(table_weights_scratch(t), table_rows_scratch(t, row_deals));
    memory.add((deals + row_deals) * each);
    if (!memory.take()) return NO_MEMORY;
    if (t.embedding) k.pack(t, memory[packed]);
    run_tasks(deals + row_deals, t.threads, [&](int64_t i) {
        float *own = memory[scratch] + i * each;
        if (i < deals) return k.weights(t, memory[packed], cut(panels, deals, i), cut(panels, deals, i + 1), own);
        const int64_t deal = i - deals;
        k.rows(t, memory[packed], cut(t.V, row_deals, deal), cut(t.V, row_deals, deal + 1), own);
    });
    return OK;
}
}
