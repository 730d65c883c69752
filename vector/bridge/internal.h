// What the bridge's files share.
#pragma once

#include "bridge.h"

#include <faiss/Index.h>
#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexRefine.h>
#include <faiss/impl/AuxIndexStructures.h>

#include <memory>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

// An index and what searches of it use again.
struct skein_index {
    std::unique_ptr<faiss::Index> index;

    // Marks of the vectors that a walk over a graph has seen. FAISS makes one per call, a byte per vector, which costs more than a short walk.
    mutable std::mutex lock;
    mutable std::vector<std::unique_ptr<faiss::VisitedTable>> visited;
};

namespace skein {

// The caller's mistake.
struct Invalid : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// A callback failed; whoever gave it knows why.
struct Io : std::runtime_error {
    using std::runtime_error::runtime_error;
};

int32_t fail(skein_status *status, int32_t code, const char *message);

// Whether the calling thread's work is to end.
bool stopped();

// While it lives, FAISS ends the calling thread's work once the flag is set.
class Stoppable {
public:
    explicit Stoppable(const volatile int32_t *stop);
    ~Stoppable();
    Stoppable(const Stoppable &) = delete;
    Stoppable &operator=(const Stoppable &) = delete;
};

// Runs the work; whatever it throws becomes a code and a message.
template <typename Work>
int32_t guarded(skein_status *status, Work work) {
    try {
        work();
        if (status) {
            status->code = SKEIN_OK;
            status->message[0] = 0;
        }
        return SKEIN_OK;
    } catch (const Invalid &error) {
        return fail(status, SKEIN_INVALID, error.what());
    } catch (const Io &error) {
        return fail(status, SKEIN_IO, error.what());
    } catch (const std::bad_alloc &) {
        return fail(status, SKEIN_MEMORY, "there was not enough memory");
    } catch (const std::length_error &) {
        return fail(status, SKEIN_MEMORY, "more memory was asked for than there can be");
    } catch (const std::exception &error) {
        return fail(status, stopped() ? SKEIN_STOPPED : SKEIN_FAILED, error.what());
    } catch (...) {
        return fail(status, SKEIN_FAILED, "an error of an unknown kind");
    }
}

inline void require(bool condition, const char *message) {
    if (!condition) {
        throw Invalid(message);
    }
}

// The index below transformations of the vectors: the index itself, mostly.
const faiss::Index *inner(const faiss::Index *index);

// Where vectors or their codes lie one after the other, if anywhere; it computes distances to single positions.
const faiss::Index *storage(const faiss::Index *index);

// Whether the index's search heeds a selector. Some of FAISS's do not look at it.
bool selects(const faiss::Index *index);

// The functions of the table.
int32_t create(const char *factory, int32_t dimension, int32_t metric, uint32_t ef_construction, skein_index **index, skein_status *status);
void destroy(skein_index *index);
int32_t shape(const skein_index *index, skein_shape *shape, skein_status *status);
int32_t reserve(skein_index *index, uint64_t rows, skein_status *status);
int32_t train(skein_index *index, uint64_t rows, const float *vectors, int32_t threads, const volatile int32_t *stop, skein_status *status);
int32_t add(skein_index *index, uint64_t rows, const float *vectors, int32_t threads, const volatile int32_t *stop, skein_status *status);
int32_t search(const skein_index *index, uint64_t queries, const float *vectors, const skein_search *how, float *distances, int64_t *positions,
               skein_status *status);
int32_t scan(const skein_index *index, uint64_t queries, const float *vectors, uint64_t k, const uint32_t *among, uint64_t among_count,
             float *distances, int64_t *positions, skein_status *status);
int32_t reconstruct(const skein_index *index, uint64_t position, float *vector, skein_status *status);
int32_t write(const skein_index *index, skein_write write, void *context, skein_status *status);
int32_t read(skein_read read, void *context, skein_index **index, skein_status *status);

} // namespace skein
