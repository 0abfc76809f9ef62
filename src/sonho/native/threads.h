// A few threads that wait for work. Knows tasks, not networks.
#pragma once

#include <cstdint>
#include <functional>

// Run task(0) ... task(count - 1), each once, on up to `threads` threads, and return when all are done. Which thread
// runs which task is left open, so a result must depend on the task alone. Calls from several threads are safe: while
// one of them has the pool, the others work alone.
void run_tasks(int64_t count, int threads, const std::function<void(int64_t)> &task);
