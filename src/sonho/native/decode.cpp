// The C ABI of decoding: networks, samplers, and the loop that draws.

#include <algorithm>
#include <exception>
#include <numeric>

#include "network.h"
#include "runtime.h"
#include "sampling.h"

using sonho::Drawn;
using sonho::Network;
using sonho::Prior;
using sonho::Rows;
using sonho::Sampler;

namespace {

enum Logits { NONE = 0, LAST = 1, ALL = 2 };

// Outputs computed side by side: enough for a full tile of the multiply, few enough for the cache.
constexpr int64_t ROWS_AT_ONCE = 192;

// Calls run(first row, rows) for each thread's share of N rows.
template <class Run>
Status over_rows(int64_t N, int threads, Run run) {
    const int64_t slices = std::max<int64_t>(1, std::min<int64_t>(threads, N));
    std::vector<Status> statuses(slices, OK);
    run_tasks(slices, threads, [&](int64_t s) {
        const int64_t first = N * s / slices, last = N * (s + 1) / slices;
        try {
            run(first, last - first);
        } catch (const std::exception &) {
            statuses[s] = NO_MEMORY;
        }
    });
    return *std::max_element(statuses.begin(), statuses.end());
}

// Whether the states' nodes, the last array of them, are nodes of the prior.
bool nodes_are_sound(const Network &network, int64_t N, void *const *states) {
    if (!network.prior) return true;
    for (const sonho::Layer &layer : network.layers) states += (layer.cell == LSTM ? 2 : 1) + layer.is_conditioned;
    const int64_t *nodes = static_cast<const int64_t *>(*states);
    return std::all_of(nodes, nodes + N, [&](int64_t node) { return network.prior->is_context(node); });
}

void run_slice(const Network &network, int64_t first, int64_t rows, int64_t T, const int64_t *ids, void *const *states,
               float *logits, int32_t which) {
    Rows slice(network, first, rows, states);
    const int64_t V = network.V;
    std::vector<int64_t> piece;
    const int64_t most = std::clamp<int64_t>(ROWS_AT_ONCE / rows, 1, Rows::MOST_STEPS);
    for (int64_t t = 0; t < T; t += most) {
        const int64_t steps = std::min(most, T - t);
        piece.resize(steps * rows);
        for (int64_t i = 0; i < steps; ++i)
            for (int64_t r = 0; r < rows; ++r) piece[i * rows + r] = ids[(first + r) * T + t + i];
        const float *outputs = slice.feed(piece.data(), steps, rows);
        if (which == LAST && t + steps == T) {
            const float *last = slice.project(outputs, (steps - 1) * rows, rows);
            for (int64_t r = 0; r < rows; ++r) std::copy_n(last + r * slice.logits_row(), V, logits + (first + r) * V);
        } else if (which == ALL) {
            const float *all = slice.project(outputs, 0, steps * rows);
            for (int64_t i = 0; i < steps * rows; ++i)
                std::copy_n(all + i * slice.logits_row(), V, logits + ((first + i % rows) * T + t + i / rows) * V);
        }
    }
    std::vector<int64_t> order(rows);
    std::iota(order.begin(), order.end(), 0);
    slice.store(order);
}

}  // namespace

extern "C" {

// A packed copy of a network, for the instruction set in force; null without memory.
API void *sonho_network_new(const SonhoNetwork *spec) {
    try {
        return new Network(*spec);
    } catch (const std::exception &) {
        return nullptr;
    }
}

API void sonho_network_free(void *network) { delete static_cast<Network *>(network); }

API void *sonho_prior_new(const SonhoPrior *spec) {
    try {
        return new Prior(*spec);
    } catch (const std::exception &) {
        return nullptr;
    }
}

API void sonho_prior_free(void *prior) { delete static_cast<Prior *>(prior); }

// Take nodes (N) through ids (N, T): the nodes after each into `after` (N, T).
API int sonho_prior_advance(const void *prior, int64_t N, int64_t T, const int64_t *ids, const int64_t *nodes,
                            int64_t *after) {
    const Prior &counted = *static_cast<const Prior *>(prior);
    for (int64_t i = 0; i < N * T; ++i)
        if (ids[i] < 0 || ids[i] >= counted.vocab_size()) return BAD_ID;
    for (int64_t r = 0; r < N; ++r) {
        if (!counted.is_context(nodes[r])) return BAD_ARGUMENT;
        int64_t node = nodes[r];
        for (int64_t t = r * T; t < (r + 1) * T; ++t) after[t] = node = counted.next(node, ids[t]);
    }
    return OK;
}

// Mix logits (M, V) with the predictions after nodes (M), in place.
API int sonho_prior_mix(const void *prior, int64_t M, const int64_t *nodes, float *logits) {
    const Prior &counted = *static_cast<const Prior *>(prior);
    if (!std::all_of(nodes, nodes + M, [&](int64_t node) { return counted.is_context(node); })) return BAD_ARGUMENT;
    try {
        std::vector<float> room(counted.vocab_size());
        for (int64_t i = 0; i < M; ++i) counted.mix(nodes[i], logits + i * counted.vocab_size(), room.data());
    } catch (const std::exception &) {
        return NO_MEMORY;
    }
    return OK;
}

// Feed ids (N, T) to rows with `states` (see Rows), which are changed in place. Logits: none, (N, V) of the last step,
// or all (N, T, V).
API int sonho_network_run(const void *network, int64_t N, int64_t T, const int64_t *ids, void *const *states, float *logits,
                          int32_t which, int threads) {
    const Network &net = *static_cast<const Network *>(network);
    for (int64_t i = 0; i < N * T; ++i)
        if (ids[i] < 0 || ids[i] >= net.V) return BAD_ID;
    if (N < 0 || T < 0 || threads < 1 || (which == LAST && T < 1)) return BAD_ARGUMENT;
    if (N == 0 || T == 0) return OK;
    if (!nodes_are_sound(net, N, states)) return BAD_ARGUMENT;
    return over_rows(N, N * T < 32 ? 1 : threads, [&](int64_t first, int64_t rows) {
        run_slice(net, first, rows, T, ids, states, logits, which);
    });
}

API void *sonho_sampler_new(const SonhoSampling *settings, const int64_t *prompt, int64_t prompt_length) {
    try {
        return new Sampler(*settings, prompt, prompt_length);
    } catch (const std::exception &) {
        return nullptr;
    }
}

API void sonho_sampler_free(void *sampler) { delete static_cast<Sampler *>(sampler); }

// Draw up to `count` tokens for each of N rows. `logits` (N, V) are those of the next draw, before and after; samplers
// (N), temperatures and forced (N, count), forced may be null. Written: tokens (N, count), drawn (N): how many, fewer
// than count where the row ended with its eos or failed; failures (N): Drawn.
API int sonho_draw(const void *network, int64_t N, int64_t count, void *const *states, void *const *samplers,
                   const double *temperatures, const int64_t *forced, float *logits, int64_t *tokens, int64_t *drawn,
                   int32_t *failures, int threads) {
    const Network &net = *static_cast<const Network *>(network);
    if (N < 0 || count < 0 || threads < 1) return BAD_ARGUMENT;
    if (N == 0) return OK;
    if (!nodes_are_sound(net, N, states)) return BAD_ARGUMENT;
    return over_rows(N, threads, [&](int64_t first, int64_t rows) {
        Rows slice(net, first, rows, states);
        const int64_t V = net.V;
        // Slot i holds row order[i]; the rows that go on are always the first few.
        std::vector<int64_t> order(rows), fed(rows);
        std::iota(order.begin(), order.end(), 0);
        int64_t running = rows;
        for (int64_t r = 0; r < rows; ++r) drawn[first + r] = failures[first + r] = 0;
        for (int64_t step = 0; step < count && running > 0; ++step) {
            for (int64_t slot = 0; slot < running;) {
                const int64_t row = first + order[slot];
                Sampler &sampler = *static_cast<Sampler *>(samplers[row]);
                int64_t token = 0;
                const Drawn result = sampler.draw(logits + row * V, temperatures[row * count + step],
                                                  forced ? forced[row * count + step] : -1, &token);
                if (result == Drawn::TOKEN) {
                    tokens[row * count + step] = token;
                    drawn[row] = step + 1;
                }
                failures[row] = static_cast<int32_t>(result);
                if (result != Drawn::TOKEN || token == sampler.eos()) {
                    if (slot < --running) slice.swap(slot, running), std::swap(order[slot], order[running]);
                    continue;
                }
                fed[slot++] = token;
            }
            if (running == 0) break;
            const float *next = slice.project(slice.feed(fed.data(), 1, running), 0, running);
            for (int64_t slot = 0; slot < running; ++slot)
                std::copy_n(next + slot * slice.logits_row(), V, logits + (first + order[slot]) * V);
        }
        slice.store(order);
    });
}
}
