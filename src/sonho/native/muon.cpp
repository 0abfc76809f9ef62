// A step of Muon for all its parameters, dealt to the threads. Compiled once, for any machine.

#include <algorithm>
#include <atomic>
#include <vector>

#include "runtime.h"

// Threads that share a step wait for each other at each stage: below so many multiplications one is as quick.
constexpr int64_t LEAST_SHARED = 12'000'000;

extern "C" API int sonho_muon(const SonhoMuon *parameters, int64_t count, int threads, int32_t precision) {
    if (threads < 1 || count < 0) return BAD_ARGUMENT;
    if (!has_precision(precision)) return NO_BFLOAT16;
    Memory memory;
    std::vector<int64_t> scratch, rooms;
    int64_t room = 0, multiplications = 0;
    for (const SonhoMuon *p = parameters; p < parameters + count; ++p) {
        if (p->rows < 1 || p->columns < 1) return BAD_ARGUMENT;
        scratch.push_back(memory.add(muon_scratch(*p)));
        room = std::max(room, muon_room(*p));
        multiplications += muon_least(*p) * p->rows * p->columns;
    }
    if (multiplications < LEAST_SHARED) threads = 1;
    for (int i = 0; i < threads; ++i) rooms.push_back(memory.add(room));
    if (!memory.take()) return NO_MEMORY;
    struct Panel {
        int64_t parameter, number;
    };
    std::vector<Panel> panels;
    for (int64_t stage = 0; stage < MUON_STAGES; ++stage) {
        const MuonKernels &k = *isa().muon[isa().muon[FLOAT32]->exact(stage) ? FLOAT32 : precision];
        panels.clear();
        for (int64_t i = 0; i < count; ++i)
            for (int64_t number = 0; number < k.panels(parameters[i], stage); ++number) panels.push_back({i, number});
        // Each thread takes one panel after another, so that it has a room of its own.
        std::atomic<size_t> next{0};
        run_tasks(threads, threads, [&](int64_t thread) {
            for (size_t at; (at = next.fetch_add(1)) < panels.size();) {
                const auto [i, number] = panels[at];
                k.work_out(parameters[i], stage, number, memory[scratch[i]], memory[rooms[thread]]);
            }
        });
    }
    return OK;
}
