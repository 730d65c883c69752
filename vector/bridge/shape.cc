// What an index is made of, and what follows for searching it.
#include "internal.h"

#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>
#include <faiss/IndexIVFPQ.h>
#include <faiss/IndexIVFPQFastScan.h>
#include <faiss/IndexIVFPQR.h>
#include <faiss/IndexPQ.h>
#include <faiss/IndexPreTransform.h>
#include <faiss/IndexScalarQuantizer.h>

#include <algorithm>

namespace skein {

const faiss::Index *inner(const faiss::Index *index) {
    while (auto *transformed = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
        index = transformed->index;
    }
    return index;
}

const faiss::Index *storage(const faiss::Index *index) {
    if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        return storage(refined->refine_index);
    }
    if (auto *graph = dynamic_cast<const faiss::IndexHNSW *>(index)) {
        return storage(graph->storage);
    }
    bool direct = dynamic_cast<const faiss::IndexFlat *>(index) || dynamic_cast<const faiss::IndexScalarQuantizer *>(index) ||
        dynamic_cast<const faiss::IndexPQ *>(index);
    return direct ? index : nullptr;
}

bool selects(const faiss::Index *index) {
    index = inner(index);
    if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        return selects(refined->base_index);
    }
    if (dynamic_cast<const faiss::IndexIVFFlatDedup *>(index) || dynamic_cast<const faiss::IndexIVFPQR *>(index)) {
        return false;
    }
    return dynamic_cast<const faiss::IndexFlat *>(index) || dynamic_cast<const faiss::IndexScalarQuantizer *>(index) ||
        dynamic_cast<const faiss::IndexHNSW *>(index) || dynamic_cast<const faiss::IndexIVFFlat *>(index) ||
        dynamic_cast<const faiss::IndexIVFScalarQuantizer *>(index) || dynamic_cast<const faiss::IndexIVFPQ *>(index) ||
        dynamic_cast<const faiss::IndexIVFPQFastScan *>(index);
}

namespace {

const faiss::IndexIVF *lists(const faiss::Index *index) {
    index = inner(index);
    if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        return lists(refined->base_index);
    }
    return dynamic_cast<const faiss::IndexIVF *>(index);
}

const faiss::IndexHNSW *graph(const faiss::Index *index) {
    index = inner(index);
    if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        return graph(refined->base_index);
    }
    return dynamic_cast<const faiss::IndexHNSW *>(index);
}

bool exact(const faiss::Index *index) {
    auto *held = storage(index);
    bool flat_lists = dynamic_cast<const faiss::IndexIVFFlat *>(index) && !dynamic_cast<const faiss::IndexIVFFlatDedup *>(index);
    return flat_lists || dynamic_cast<const faiss::IndexFlat *>(held);
}

uint64_t row_bytes(const faiss::Index *index) {
    if (auto *transformed = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
        return row_bytes(transformed->index);
    }
    if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        return row_bytes(refined->base_index) + row_bytes(refined->refine_index);
    }
    if (auto *walked = dynamic_cast<const faiss::IndexHNSW *>(index)) {
        // Neighbours on the lowest level and, on average, one on those above; its level; where they begin.
        uint64_t links = uint64_t(walked->hnsw.nb_neighbors(0) + 2) * sizeof(faiss::HNSW::storage_idx_t);
        return row_bytes(walked->storage) + links + sizeof(int) + sizeof(size_t);
    }
    if (auto *listed = dynamic_cast<const faiss::IndexIVF *>(index)) {
        // A list grows by doubling: on average a quarter of what is allocated is empty.
        return (listed->code_size + sizeof(faiss::idx_t)) * 4 / 3;
    }
    if (auto *codes = dynamic_cast<const faiss::IndexFlatCodes *>(index)) {
        return codes->code_size;
    }
    return uint64_t(index->d) * sizeof(float);
}

uint64_t fixed_bytes(const faiss::Index *index) {
    uint64_t square = uint64_t(index->d) * uint64_t(index->d) * sizeof(float);
    if (auto *transformed = dynamic_cast<const faiss::IndexPreTransform *>(index)) {
        return fixed_bytes(transformed->index) + transformed->chain.size() * square;
    }
    if (auto *refined = dynamic_cast<const faiss::IndexRefine *>(index)) {
        return fixed_bytes(refined->base_index) + fixed_bytes(refined->refine_index);
    }
    auto *listed = dynamic_cast<const faiss::IndexIVF *>(index);
    if (!listed) {
        return 4096;
    }
    // A centroid and the two vectors of a list.
    uint64_t bytes = listed->nlist * (uint64_t(index->d) * sizeof(float) + 256);
    if (auto *quantized = dynamic_cast<const faiss::IndexIVFPQ *>(listed)) {
        bytes += quantized->pq.ksub * uint64_t(index->d) * sizeof(float);
        uint64_t table = listed->nlist * quantized->pq.M * quantized->pq.ksub * sizeof(float);
        // FAISS makes a table of distances for L2, unless it would be larger than this.
        bool made = index->metric_type == faiss::METRIC_L2 && quantized->by_residual && table <= faiss::precomputed_table_max_bytes;
        bytes += made ? table : 0;
    }
    return bytes;
}

} // namespace

int32_t shape(const skein_index *index, skein_shape *shape, skein_status *status) {
    return guarded(status, [&] {
        const faiss::Index *whole = index->index.get();
        auto *listed = lists(whole);
        shape->rows = uint64_t(whole->ntotal);
        shape->lists = listed ? listed->nlist : 0;
        shape->row_bytes = row_bytes(whole);
        shape->fixed_bytes = fixed_bytes(whole);
        shape->dimension = whole->d;
        shape->metric = whole->metric_type == faiss::METRIC_L2 ? SKEIN_L2 : whole->metric_type == faiss::METRIC_INNER_PRODUCT ? SKEIN_INNER_PRODUCT : -1;
        shape->trained = whole->is_trained;
        shape->selects = selects(whole);
        shape->scans = storage(whole) != nullptr;
        shape->exact = exact(whole);
        shape->graph = graph(whole) != nullptr;
        shape->refines = dynamic_cast<const faiss::IndexRefine *>(inner(whole)) != nullptr;
    });
}

} // namespace skein
