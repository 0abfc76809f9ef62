#include "threads.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr auto SPIN = std::chrono::microseconds(5);

class Pool {
public:
    void run(int64_t count, int threads, const std::function<void(int64_t)> &task) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            task_ = &task;
            count_ = count;
            next_.store(0);
            helpers_ = threads - 1;
            active_ = 0;
            ++generation_;
            start_helpers();
            keep_helpers_away();
        }
        wake_.notify_all();
        work(task, count);
        // The last helper is usually nearly done: look a little before going to sleep, but never for long, since another
        // process may need this core for that very helper.
        const auto end = std::chrono::steady_clock::now() + SPIN;
        while (done_.load() < count && std::chrono::steady_clock::now() < end) {
        }
        std::unique_lock<std::mutex> lock(mutex_);
        finished_.wait(lock, [&] { return done_.load() == count && active_ == 0; });
        done_.store(0);
        task_ = nullptr;
    }

private:
    void start_helpers() {
        try {
            for (; started_ < helpers_; ++started_) {
                std::thread helper([this, n = started_] { wait_for_work(n); });
                handles_.push_back(helper.native_handle());
                helper.detach();
                core_ = -1;
            }
        } catch (const std::system_error &) {
            // The system gives no more threads: those that are there do all the work.
        }
    }

    // A scheduler may wake a helper on the core of the thread that wakes it, where it waits for that thread's share to be
    // done, though another core is idle. So the helpers may run on every core that is allowed but this one.
    void keep_helpers_away() {
#if defined(__linux__)
        const int core = sched_getcpu();
        if (core < 0 || core == core_) return;
        core_ = core;
        cpu_set_t others;
        if (sched_getaffinity(0, sizeof others, &others)) return;  // more cores than it can name
        if (CPU_COUNT(&others) > 1) CPU_CLR(core, &others);
        for (pthread_t handle : handles_) pthread_setaffinity_np(handle, sizeof others, &others);
#endif
    }

    void work(const std::function<void(int64_t)> &task, int64_t count) {
        for (int64_t i; (i = next_.fetch_add(1)) < count;) {
            task(i);
            done_.fetch_add(1);
        }
    }

    void wait_for_work(int number) {
        uint64_t seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            // The next work often comes at once: weights are packed, then used.
            lock.unlock();
            const auto end = std::chrono::steady_clock::now() + SPIN;
            while (generation_.load() == seen && std::chrono::steady_clock::now() < end) {
            }
            lock.lock();
            wake_.wait(lock, [&] { return task_ && generation_ != seen && number < helpers_; });
            seen = generation_;
            const auto *task = task_;
            const int64_t count = count_;
            ++active_;
            lock.unlock();
            work(*task, count);
            lock.lock();
            --active_;
            finished_.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_, finished_;
    const std::function<void(int64_t)> *task_ = nullptr;
    int64_t count_ = 0;
    std::atomic<int64_t> next_{0}, done_{0};
    int helpers_ = 0, started_ = 0, active_ = 0, core_ = -1;
    std::vector<pthread_t> handles_;
    std::atomic<uint64_t> generation_{0};
};

std::mutex in_use;
Pool *pool = nullptr;

// Threads do not survive fork(): the child gets a pool of its own, and leaves the lost one where it is.
void after_fork() {
    pool = nullptr;
    new (&in_use) std::mutex;
}

}  // namespace

void run_tasks(int64_t count, int threads, const std::function<void(int64_t)> &task) {
    std::unique_lock<std::mutex> lock(in_use, std::defer_lock);
    if (count <= 1 || threads <= 1 || !lock.try_lock()) {
        for (int64_t i = 0; i < count; ++i) task(i);
        return;
    }
    if (!pool) {
        static const int registered = pthread_atfork(nullptr, nullptr, after_fork);
        (void)registered;
        // Never deleted: a thread may still wait in it while the process ends.
        pool = new Pool;
    }
    pool->run(count, static_cast<int>(threads < count ? threads : count), task);
}
