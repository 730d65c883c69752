/* What Skein asks of FAISS, in plain C: one table of functions per variant of the library.
 *
 * The same table comes from the objects that are linked into the server and from a shared library (with CUDA, for a worker process), so everything here
 * is of fixed size and owned by whoever made it. No C++ exception leaves a function: each returns a code and, on failure, fills in the status. */
#ifndef SKEIN_BRIDGE_H
#define SKEIN_BRIDGE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Goes up whenever something below changes. A table of another version is not used. */
#define SKEIN_FAISS_ABI 1

/* Codes. */
#define SKEIN_OK 0
#define SKEIN_INVALID 1   /* the arguments cannot be accepted */
#define SKEIN_MEMORY 2    /* memory was refused */
#define SKEIN_STOPPED 3   /* the stop flag was set */
#define SKEIN_IO 4        /* a callback that reads or writes failed */
#define SKEIN_FAILED 5    /* FAISS failed otherwise */

/* Metrics of FAISS: squared L2 distances, or inner products. */
#define SKEIN_L2 0
#define SKEIN_INNER_PRODUCT 1

typedef struct skein_index skein_index;

typedef struct {
    int32_t code;
    char message[1020]; /* ends in 0 */
} skein_status;

/* What an index is and can. */
typedef struct {
    uint64_t rows;
    uint64_t lists;        /* inverted lists; 0 for an index without */
    uint64_t row_bytes;    /* bytes that one more vector takes, about */
    uint64_t fixed_bytes;  /* bytes that do not depend on how many there are, about */
    int32_t dimension;
    int32_t metric;
    int32_t trained;
    int32_t selects;       /* search heeds a selection */
    int32_t scans;         /* scan works */
    int32_t exact;         /* full vectors are held: scan, or search with all lists, is exact */
    int32_t graph;         /* it is a graph: ef counts */
    int32_t refines;       /* candidates are compared again: refine counts */
} skein_shape;

typedef struct {
    uint64_t k;
    uint64_t ef;
    uint64_t nprobe;
    const uint8_t *allowed; /* one bit per vector, the lowest first; null: all */
    uint64_t allowed_bytes;
    float refine;
} skein_search;

/* Takes or gives `size` bytes; 0 when it did. */
typedef int32_t (*skein_write)(void *context, const void *bytes, uint64_t size);
typedef int32_t (*skein_read)(void *context, void *bytes, uint64_t size);

/* Functions that may take long use `threads` threads and give up within about a second once *stop is not 0. */
typedef struct {
    uint32_t abi;
    uint32_t size;            /* of this table */
    const char *version;      /* of FAISS */
    const char *variant;

    /* An empty index of the dimension that FAISS's index factory makes. ef_construction: 0 for FAISS's own. */
    int32_t (*create)(const char *factory, int32_t dimension, int32_t metric, uint32_t ef_construction, skein_index **index, skein_status *status);
    void (*destroy)(skein_index *index);
    int32_t (*shape)(const skein_index *index, skein_shape *shape, skein_status *status);
    /* Makes room for so many vectors, so that adding them does not move those that are there. */
    int32_t (*reserve)(skein_index *index, uint64_t rows, skein_status *status);
    int32_t (*train)(skein_index *index, uint64_t rows, const float *vectors, int32_t threads, const volatile int32_t *stop, skein_status *status);
    int32_t (*add)(skein_index *index, uint64_t rows, const float *vectors, int32_t threads, const volatile int32_t *stop, skein_status *status);

    /* The k nearest of each query, nearest first, on the calling thread. Missing ones have position -1. Several threads may search at a time. */
    int32_t (*search)(const skein_index *index, uint64_t queries, const float *vectors, const skein_search *how, float *distances, int64_t *positions,
                      skein_status *status);
    /* The same by comparing with each of the given positions; with all of them when `among` is null. */
    int32_t (*scan)(const skein_index *index, uint64_t queries, const float *vectors, uint64_t k, const uint32_t *among, uint64_t among_count,
                    float *distances, int64_t *positions, skein_status *status);
    /* One vector as the index holds it: approximately, where it is compressed. */
    int32_t (*reconstruct)(const skein_index *index, uint64_t position, float *vector, skein_status *status);

    int32_t (*write)(const skein_index *index, skein_write write, void *context, skein_status *status);
    int32_t (*read)(skein_read read, void *context, skein_index **index, skein_status *status);
} skein_faiss;

typedef const skein_faiss *(*skein_faiss_entry)(void);

#ifdef __cplusplus
}
#endif

#endif
