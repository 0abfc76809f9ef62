// What every call of the C ABI needs: the instruction set in force, threads, memory and error codes.
#pragma once

#include "kernels.h"
#include "steps.h"
#include "threads.h"

#define API __attribute__((visibility("default")))

struct Isa {
    const char *name;
    const Kernels *kernels[2];  // by Precision; null where the machine or the compiler lacks it
    const TableKernels *table[2];
    const LossKernels *loss[2];
    const MuonKernels *muon[2];
    const StepKernels *steps;
    const UpdateKernels *updates;
};
const Isa &isa();
inline bool has_precision(int32_t precision) {
    return precision == FLOAT32 || (precision == BFLOAT16 && isa().kernels[BFLOAT16]);
}

enum Status { OK = 0, BAD_ID = 1, BAD_LENGTH = 2, NO_MEMORY = 3, BAD_ARGUMENT = 4, NO_BFLOAT16 = 5 };

// Parts [first, last) of `total` things, cut into `parts` nearly equal ones.
inline int64_t cut(int64_t total, int64_t parts, int64_t i) { return total * i / parts; }

inline int64_t tiles(int64_t columns) {
    const int64_t width = isa().kernels[FLOAT32]->tile_columns;
    return (columns + width - 1) / width;
}

// Memory that a thread keeps from call to call: fresh pages cost as much as the arithmetic of a small window. Null if
// there is none.
float *workspace(int64_t floats);

// One call's memory, in pieces that begin at a cache line. Pieces are asked for first and have addresses after `take`.
class Memory {
public:
    int64_t add(int64_t floats) {
        const int64_t at = size_;
        size_ += (floats + 15) / 16 * 16;
        return at;
    }
    bool take() { return (memory_ = workspace(size_ + 16)); }
    float *operator[](int64_t piece) const { return memory_ + piece; }

private:
    int64_t size_ = 0;
    float *memory_ = nullptr;
};
