// Searching, always on the calling thread: the caller has a pool of its own, and OpenMP's would be another one for each of its threads.
#include "internal.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/impl/DistanceComputer.h>
#include <faiss/impl/HNSW.h>
#include <faiss/impl/IDSelector.h>
#include <faiss/impl/ResultHandler.h>
#include <faiss/utils/distances.h>

#include <omp.h>

#include <algorithm>
#include <limits>

namespace skein {

namespace {

// The parameters of a search for an index and those it is made of, and their owner.
class Parameters {
public:
    Parameters(const skein_search &how, faiss::IDSelector *selector) : how(how), selector(selector) {}

    faiss::SearchParameters *of(const faiss::Index *index) {
        if (auto *transformed = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
            auto *made = keep(new faiss::SearchParametersPreTransform);
            made->index_params = of(transformed->index);
            return made;
        }
        if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
            auto *made = keep(new faiss::IndexRefineSearchParameters);
            made->k_factor = factor(refined->ntotal);
            made->base_index_params = of(refined->base_index);
            return made;
        }
        if (dynamic_cast<const faiss::IndexHNSW *>(index)) {
            return walk(how.ef);
        }
        if (auto *lists = dynamic_cast<const faiss::IndexIVF *>(index)) {
            auto *made = keep(new faiss::SearchParametersIVF);
            made->nprobe = std::max<size_t>(1, std::min<size_t>(how.nprobe, lists->nlist));
            if (dynamic_cast<const faiss::IndexHNSW *>(lists->quantizer)) {
                auto *coarse = walk(std::max<uint64_t>(64, 2 * made->nprobe));
                coarse->sel = nullptr;
                made->quantizer_params = coarse;
            }
            return made;
        }
        return selector ? keep(new faiss::SearchParameters) : nullptr;
    }

private:
    template <typename Made>
    Made *keep(Made *made) {
        owned.emplace_back(made);
        made->sel = selector;
        return made;
    }

    faiss::SearchParametersHNSW *walk(uint64_t ef) {
        auto *made = keep(new faiss::SearchParametersHNSW);
        made->efSearch = int(std::min<uint64_t>(std::max<uint64_t>(ef, 1), std::numeric_limits<int32_t>::max() / 2));
        return made;
    }

    // No more candidates than there are vectors.
    float factor(faiss::idx_t rows) const {
        float most = std::max(1.0f, float(rows) / float(how.k));
        return std::min(std::max(how.refine, 1.0f), most);
    }

    const skein_search &how;
    faiss::IDSelector *selector;
    std::vector<std::unique_ptr<faiss::SearchParameters>> owned;
};

using Nearest = faiss::HeapBlockResultHandler<faiss::HNSW::C>;

std::unique_ptr<faiss::DistanceComputer> computer(const faiss::Index *storage) {
    auto *made = storage->get_distance_computer();
    // Heaps here keep the smallest.
    return std::unique_ptr<faiss::DistanceComputer>(
        faiss::is_similarity_metric(storage->metric_type) ? new faiss::NegativeDistanceComputer(made) : made);
}

void negate(const faiss::Index *index, size_t count, float *distances) {
    if (faiss::is_similarity_metric(index->metric_type)) {
        for (size_t i = 0; i < count; i++) {
            distances[i] = -distances[i];
        }
    }
}

// Marks to be used by one walk at a time.
class Visited {
public:
    explicit Visited(const skein_index *index) : index(index) {
        std::lock_guard<std::mutex> guard(index->lock);
        if (!index->visited.empty()) {
            table = std::move(index->visited.back());
            index->visited.pop_back();
        }
    }
    // To be used again, once its walks have ended well: they leave it clean.
    void keep() {
        std::lock_guard<std::mutex> guard(index->lock);
        if (index->visited.size() < KEPT) {
            index->visited.push_back(std::move(table));
        }
    }
    faiss::VisitedTable &get() {
        if (!table) {
            table = std::make_unique<faiss::VisitedTable>(int(index->index->ntotal));
        }
        return *table;
    }

private:
    static constexpr size_t KEPT = 64;
    const skein_index *index;
    std::unique_ptr<faiss::VisitedTable> table;
};

// What IndexHNSW::search does, with marks that are used again.
void walk(const skein_index *index, const faiss::IndexHNSW *graph, uint64_t queries, const float *vectors, uint64_t k,
          const faiss::SearchParameters *parameters, float *distances, faiss::idx_t *positions) {
    Nearest all(queries, distances, positions, k);
    Nearest::SingleResultHandler nearest(all);
    auto distance = computer(graph->storage);
    Visited visited(index);
    faiss::VisitedTable &table = visited.get();
    for (uint64_t i = 0; i < queries; i++) {
        nearest.begin(i);
        distance->set_query(vectors + i * graph->d);
        graph->hnsw.search(*distance, nearest, table, parameters);
        nearest.end();
    }
    visited.keep();
    negate(graph, queries * k, distances);
}

// One query against some positions, four at a time as FAISS's computers have it.
void scan_some(faiss::DistanceComputer &distance, const uint32_t *among, uint64_t count, Nearest::SingleResultHandler &nearest) {
    uint64_t i = 0;
    for (; i + 4 <= count; i += 4) {
        float four[4];
        distance.distances_batch_4(among[i], among[i + 1], among[i + 2], among[i + 3], four[0], four[1], four[2], four[3]);
        for (int j = 0; j < 4; j++) {
            nearest.add_result(four[j], among[i + j]);
        }
    }
    for (; i < count; i++) {
        nearest.add_result(distance(among[i]), among[i]);
    }
}

// FAISS computes the distances of many queries by a matrix product, which loses digits of small distances between long vectors.
void search_all(const faiss::Index *held, uint64_t queries, const float *vectors, uint64_t k, float *distances, faiss::idx_t *positions) {
    held->search(faiss::idx_t(queries), vectors, faiss::idx_t(k), distances, positions);
    auto *flat = dynamic_cast<const faiss::IndexFlat *>(held);
    if (flat && held->metric_type == faiss::METRIC_L2 && queries >= uint64_t(faiss::distance_compute_blas_threshold)) {
        flat->compute_distance_subset(faiss::idx_t(queries), vectors, faiss::idx_t(k), distances, positions);
    }
}

void check(uint64_t queries, const float *vectors, uint64_t k, const float *distances, const int64_t *positions) {
    require(queries == 0 || (vectors && distances && positions), "a pointer is missing");
    require(k > 0, "k must be above 0");
    require(queries <= uint64_t(std::numeric_limits<int32_t>::max()) / k, "too many neighbours are asked for at once");
}

// For an index that keeps vectors in lists: the vector's list is looked for.
void reconstruct_listed(const faiss::IndexIVF *index, faiss::idx_t position, float *vector) {
    for (size_t list = 0; list < index->nlist; list++) {
        size_t size = index->invlists->list_size(list);
        faiss::InvertedLists::ScopedIds ids(index->invlists, list);
        const faiss::idx_t *found = std::find(ids.get(), ids.get() + size, position);
        if (found != ids.get() + size) {
            index->reconstruct_from_offset(faiss::idx_t(list), found - ids.get(), vector);
            return;
        }
    }
    throw Invalid("no list has the vector");
}

} // namespace

int32_t search(const skein_index *index, uint64_t queries, const float *vectors, const skein_search *how, float *distances, int64_t *positions,
               skein_status *status) {
    return guarded(status, [&] {
        const faiss::Index *whole = index->index.get();
        check(queries, vectors, how->k, distances, positions);
        require(!how->allowed || selects(whole), "this index cannot be searched with a selection");
        omp_set_num_threads(1);
        faiss::IDSelectorBitmap bitmap(how->allowed_bytes, how->allowed);
        Parameters made(*how, how->allowed ? &bitmap : nullptr);
        faiss::SearchParameters *parameters = made.of(whole);
        if (auto *graph = dynamic_cast<const faiss::IndexHNSW *>(whole)) {
            walk(index, graph, queries, vectors, how->k, parameters, distances, positions);
        } else if (!parameters) {
            search_all(whole, queries, vectors, how->k, distances, positions);
        } else {
            whole->search(faiss::idx_t(queries), vectors, faiss::idx_t(how->k), distances, positions, parameters);
        }
    });
}

int32_t scan(const skein_index *index, uint64_t queries, const float *vectors, uint64_t k, const uint32_t *among, uint64_t among_count,
             float *distances, int64_t *positions, skein_status *status) {
    return guarded(status, [&] {
        check(queries, vectors, k, distances, positions);
        const faiss::Index *held = storage(index->index.get());
        require(held, "this index cannot compare with single vectors");
        omp_set_num_threads(1);
        if (!among) {
            search_all(held, queries, vectors, k, distances, positions);
            return;
        }
        for (uint64_t i = 0; i < among_count; i++) {
            require(among[i] < uint64_t(held->ntotal), "a position is past the end");
        }
        Nearest all(queries, distances, positions, k);
        Nearest::SingleResultHandler nearest(all);
        auto distance = computer(held);
        for (uint64_t i = 0; i < queries; i++) {
            nearest.begin(i);
            distance->set_query(vectors + i * held->d);
            scan_some(*distance, among, among_count, nearest);
            nearest.end();
        }
        negate(held, queries * k, distances);
    });
}

int32_t reconstruct(const skein_index *index, uint64_t position, float *vector, skein_status *status) {
    return guarded(status, [&] {
        const faiss::Index *whole = index->index.get();
        require(position < uint64_t(whole->ntotal), "the position is past the end");
        if (auto *lists = dynamic_cast<const faiss::IndexIVF *>(whole)) {
            reconstruct_listed(lists, faiss::idx_t(position), vector);
        } else {
            whole->reconstruct(faiss::idx_t(position), vector);
        }
    });
}

} // namespace skein
