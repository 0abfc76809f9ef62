// A step of Muon for all its parameters: every gate of each is a task of its own. Compiled once, for any machine.

#include <atomic>
#include <vector>

#include "runtime.h"

extern "C" API int sonho_muon(const SonhoMuon *parameters, int64_t count, int threads, int32_t precision) {
    if (!has_precision(precision)) return NO_BFLOAT16;
    struct Task {
        const SonhoMuon *parameter;
        int64_t gate;
    };
    std::vector<Task> tasks;
    for (const SonhoMuon *p = parameters; p < parameters + count; ++p) {
        if (p->gates < 1 || p->rows < 1 || p->columns < 1) return BAD_ARGUMENT;
        for (int64_t gate = 0; gate < p->gates; ++gate) tasks.push_back({p, gate});
    }
    std::atomic<bool> failed{false};
    run_tasks(static_cast<int64_t>(tasks.size()), threads, [&](int64_t i) {
        const Task &task = tasks[i];
        if (float *scratch = workspace(muon_scratch(*task.parameter)))
            isa().muon[precision](*task.parameter, task.gate, scratch);
        else
            failed = true;
    });
    return failed ? NO_MEMORY : OK;
}
