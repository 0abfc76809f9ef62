// A step of Muon for all its parameters, dealt to the threads. Compiled once, for any machine.
//
// A gate of a parameter is a task of its own while there are enough of them for all threads. Those that are left over, such
// as the third gate of a GRU on two threads, are worked out by all threads together, a panel of a product at a time.

#include <algorithm>
#include <atomic>
#include <vector>

#include "runtime.h"

namespace {

struct Task {
    const SonhoMuon *parameter;
    int64_t gate;
};

// Threads that share a product wait for each other nine times: below so many multiplications each is as quick alone.
constexpr int64_t LEAST_SHARED = 160 * 160 * 160;

bool shareable(const Task &task) {
    return muon_least(*task.parameter) * muon_least(*task.parameter) * muon_most(*task.parameter) >= LEAST_SHARED;
}

bool run_alone(const MuonKernels &k, const Task &task) {
    const SonhoMuon &p = *task.parameter;
    Memory memory;
    const auto scratch = memory.add(muon_scratch(p)), room = memory.add(muon_room(p));
    if (!memory.take()) return false;
    k.begin(p, task.gate, memory[scratch]);
    for (int64_t product = 0; product < MUON_PRODUCTS; ++product)
        for (int64_t panel = 0; panel < k.panels(p, product); ++panel)
            k.multiply(p, product, panel, memory[scratch], memory[room]);
    k.end(p, task.gate, memory[scratch]);
    return true;
}

bool run_together(const MuonKernels &k, const std::vector<Task> &tasks, int threads) {
    struct Panel {
        int64_t task, number, room;
    };
    const int64_t count = static_cast<int64_t>(tasks.size());
    int64_t room = 0;
    for (const Task &task : tasks) room = std::max(room, muon_room(*task.parameter));
    Memory memory;
    std::vector<int64_t> scratch, rooms;
    for (const Task &task : tasks) scratch.push_back(memory.add(muon_scratch(*task.parameter)));
    std::vector<std::vector<Panel>> products(MUON_PRODUCTS);
    for (int64_t product = 0; product < MUON_PRODUCTS; ++product)
        for (int64_t task = 0; task < count; ++task)
            for (int64_t panel = 0; panel < k.panels(*tasks[task].parameter, product); ++panel) {
                const int64_t number = static_cast<int64_t>(products[product].size());
                if (number == static_cast<int64_t>(rooms.size())) rooms.push_back(memory.add(room));
                products[product].push_back({task, panel, rooms[number]});
            }
    if (!memory.take()) return false;
    run_tasks(count, threads, [&](int64_t i) { k.begin(*tasks[i].parameter, tasks[i].gate, memory[scratch[i]]); });
    for (int64_t product = 0; product < MUON_PRODUCTS; ++product)
        run_tasks(static_cast<int64_t>(products[product].size()), threads, [&](int64_t i) {
            const Panel &panel = products[product][i];
            k.multiply(*tasks[panel.task].parameter, product, panel.number, memory[scratch[panel.task]], memory[panel.room]);
        });
    run_tasks(count, threads, [&](int64_t i) { k.end(*tasks[i].parameter, tasks[i].gate, memory[scratch[i]]); });
    return true;
}

}  // namespace

extern "C" API int sonho_muon(const SonhoMuon *parameters, int64_t count, int threads, int32_t precision) {
    if (threads < 1 || count < 0) return BAD_ARGUMENT;
    if (!has_precision(precision)) return NO_BFLOAT16;
    std::vector<Task> tasks;
    for (const SonhoMuon *p = parameters; p < parameters + count; ++p) {
        if (p->gates < 1 || p->rows < 1 || p->columns < 1) return BAD_ARGUMENT;
        for (int64_t gate = 0; gate < p->gates; ++gate) tasks.push_back({p, gate});
    }
    // The last few of those that are worth it are shared.
    std::vector<Task> shared;
    const auto left_over = static_cast<int64_t>(tasks.size()) % threads;
    for (auto at = tasks.end(); at != tasks.begin() && static_cast<int64_t>(shared.size()) < left_over;) {
        --at;
        if (!shareable(*at)) continue;
        shared.push_back(*at);
        at = tasks.erase(at);
    }
    const MuonKernels &k = *isa().muon[precision];
    std::atomic<bool> failed{false};
    run_tasks(static_cast<int64_t>(tasks.size()), threads, [&](int64_t i) {
        if (!run_alone(k, tasks[i])) failed = true;
    });
    if (!shared.empty() && !run_together(k, shared, threads)) failed = true;
    return failed ? NO_MEMORY : OK;
}
