// The table of functions of this variant.
#include "internal.h"

#define SKEIN_JOIN_(a, b) a##b
#define SKEIN_JOIN(a, b) SKEIN_JOIN_(a, b)
#define SKEIN_TEXT_(a) #a
#define SKEIN_TEXT(a) SKEIN_TEXT_(a)

#define SKEIN_VERSION SKEIN_TEXT(FAISS_VERSION_MAJOR) "." SKEIN_TEXT(FAISS_VERSION_MINOR) "." SKEIN_TEXT(FAISS_VERSION_PATCH)

#ifdef SKEIN_INITIALISERS
// build.rs has moved what would run before main here.
typedef void (*skein_initialiser)();
#define SKEIN_FIRST SKEIN_JOIN(__start_skein_init_, SKEIN_VARIANT)
#define SKEIN_LAST SKEIN_JOIN(__stop_skein_init_, SKEIN_VARIANT)
extern "C" {
extern const skein_initialiser SKEIN_FIRST[] __attribute__((visibility("hidden")));
extern const skein_initialiser SKEIN_LAST[] __attribute__((visibility("hidden")));
}
#endif

// In build.cc, which has more of them while something is built.
extern "C" void openblas_set_num_threads(int threads);

// Not to be called before it is known that the processor has the variant's instructions.
extern "C" const skein_faiss *SKEIN_JOIN(skein_faiss_, SKEIN_VARIANT)(void) {
#ifdef SKEIN_INITIALISERS
    static bool initialised = false;
    if (!initialised) {
        initialised = true;
        for (const skein_initialiser *run = SKEIN_FIRST; run != SKEIN_LAST; ++run) {
            (*run)();
        }
    }
#endif
    openblas_set_num_threads(1);
    static const skein_faiss table = {
        SKEIN_FAISS_ABI,
        sizeof(skein_faiss),
        SKEIN_VERSION,
        SKEIN_TEXT(SKEIN_VARIANT),
        skein::create,
        skein::destroy,
        skein::shape,
        skein::reserve,
        skein::train,
        skein::add,
        skein::search,
        skein::scan,
        skein::reconstruct,
        skein::write,
        skein::read,
    };
    return &table;
}
