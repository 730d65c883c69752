// Making an index and filling it.
#include "internal.h"

#include <faiss/IndexFlatCodes.h>
#include <faiss/IndexIDMap.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexNSG.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/index_factory.h>

#include <omp.h>

#include <limits>

extern "C" void openblas_set_num_threads(int threads);

namespace skein {

namespace {

// OpenBLAS has one number of threads for the whole process: 1, so that searches do not wait for each other, but as many as the build with the most while
// there are builds.
class BlasThreads {
public:
    explicit BlasThreads(int threads) : threads(threads) {
        std::lock_guard<std::mutex> guard(lock());
        running().push_back(threads);
        apply();
    }
    ~BlasThreads() {
        std::lock_guard<std::mutex> guard(lock());
        auto &all = running();
        for (size_t i = 0; i < all.size(); i++) {
            if (all[i] == threads) {
                all.erase(all.begin() + i);
                break;
            }
        }
        apply();
    }

private:
    static std::mutex &lock() {
        static std::mutex one;
        return one;
    }
    static std::vector<int> &running() {
        static std::vector<int> all;
        return all;
    }
    static void apply() {
        int most = 1;
        for (int threads : running()) {
            most = std::max(most, threads);
        }
        openblas_set_num_threads(most);
    }
    int threads;
};

// The threads of one call that trains or adds.
struct Threads {
    explicit Threads(int threads) : blas(threads) { omp_set_num_threads(threads); }
    ~Threads() { omp_set_num_threads(1); }
    BlasThreads blas;
};

void check_batch(uint64_t rows, const float *vectors, int32_t threads) {
    require(rows == 0 || vectors, "no vectors were given");
    require(rows <= uint64_t(std::numeric_limits<int32_t>::max()), "too many vectors at once");
    require(threads >= 1 && threads <= 1024, "the number of threads must be from 1 to 1024");
}

// FAISS prints warnings about few training vectors; the caller has chosen how many there are.
void quiet(faiss::Index *index) {
    if (auto *transformed = dynamic_cast<faiss::IndexPreTransform *>(index)) {
        quiet(transformed->index);
    } else if (auto *refined = dynamic_cast<faiss::IndexRefine *>(index)) {
        quiet(refined->base_index);
        quiet(refined->refine_index);
    } else if (auto *graph = dynamic_cast<faiss::IndexHNSW *>(index)) {
        quiet(graph->storage);
    } else if (auto *lists = dynamic_cast<faiss::IndexIVF *>(index)) {
        lists->cp.min_points_per_centroid = 1;
        if (auto *quantized = dynamic_cast<faiss::IndexIVFPQ *>(lists)) {
            quantized->pq.cp.min_points_per_centroid = 1;
        }
    } else if (auto *quantized = dynamic_cast<faiss::IndexPQ *>(index)) {
        quantized->pq.cp.min_points_per_centroid = 1;
    }
}

void check_structure(const faiss::Index *index) {
    require(!dynamic_cast<const faiss::IndexIDMap *>(index), "IDMap is not needed: positions are the ids");
    require(!dynamic_cast<const faiss::IndexNSG *>(index), "NSG cannot be filled in several steps");
    if (auto *transformed = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
        check_structure(transformed->index);
    } else if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        check_structure(refined->base_index);
        check_structure(refined->refine_index);
    }
}

template <typename Owned>
void reserve_owned(Owned &vector, size_t count) {
    vector.owned_data.reserve(count);
    vector.c_ptr = vector.owned_data.data();
}

void reserve_rows(faiss::Index *index, uint64_t rows) {
    if (auto *transformed = dynamic_cast<faiss::IndexPreTransform *>(index)) {
        reserve_rows(transformed->index, rows);
    } else if (auto *refined = dynamic_cast<faiss::IndexRefine *>(index)) {
        reserve_rows(refined->base_index, rows);
        reserve_rows(refined->refine_index, rows);
    } else if (auto *graph = dynamic_cast<faiss::IndexHNSW *>(index)) {
        reserve_rows(graph->storage, rows);
        graph->hnsw.levels.reserve(rows);
        graph->hnsw.offsets.reserve(rows + 1);
        // Levels are drawn at random; one vector in M has a second one, with M more neighbours, and so on: one neighbour per vector and a margin.
        reserve_owned(graph->hnsw.neighbors, size_t(rows) * (graph->hnsw.nb_neighbors(0) + 2) + 4096);
    } else if (auto *codes = dynamic_cast<faiss::IndexFlatCodes *>(index)) {
        reserve_owned(codes->codes, size_t(rows) * codes->code_size);
    }
}

} // namespace

int32_t create(const char *factory, int32_t dimension, int32_t metric, uint32_t ef_construction, skein_index **index, skein_status *status) {
    return guarded(status, [&] {
        require(factory && index, "no factory string was given");
        require(dimension > 0, "the dimension must be above 0");
        require(metric == SKEIN_L2 || metric == SKEIN_INNER_PRODUCT, "the metric must be L2 or inner product");
        auto made = std::make_unique<skein_index>();
        made->index.reset(faiss::index_factory(dimension, factory, metric == SKEIN_L2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT));
        check_structure(made->index.get());
        quiet(made->index.get());
        if (auto *graph = dynamic_cast<faiss::IndexHNSW *>(made->index.get()); graph && ef_construction > 0) {
            graph->hnsw.efConstruction = int(ef_construction);
        }
        *index = made.release();
    });
}

void destroy(skein_index *index) {
    guarded(nullptr, [&] { delete index; });
}

int32_t reserve(skein_index *index, uint64_t rows, skein_status *status) {
    return guarded(status, [&] {
        if (index->index->ntotal == 0) {
            reserve_rows(index->index.get(), rows);
        }
    });
}

int32_t train(skein_index *index, uint64_t rows, const float *vectors, int32_t threads, const volatile int32_t *stop, skein_status *status) {
    // Outside, so that the flag is still there when a failure is given its code.
    Stoppable stoppable(stop);
    return guarded(status, [&] {
        check_batch(rows, vectors, threads);
        require(rows > 0, "there is nothing to train with");
        Threads all(threads);
        index->index->train(faiss::idx_t(rows), vectors);
    });
}

int32_t add(skein_index *index, uint64_t rows, const float *vectors, int32_t threads, const volatile int32_t *stop, skein_status *status) {
    Stoppable stoppable(stop);
    return guarded(status, [&] {
        check_batch(rows, vectors, threads);
        require(index->index->is_trained, "the index must be trained before vectors are added");
        require(uint64_t(index->index->ntotal) + rows <= uint64_t(std::numeric_limits<int32_t>::max()), "an index holds at most 2147483647 vectors");
        if (rows > 0) {
            Threads all(threads);
            index->index->add(faiss::idx_t(rows), vectors);
        }
        index->visited.clear();
    });
}

} // namespace skein
