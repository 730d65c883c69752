// Failures, and how work is ended early.
#include "internal.h"

#include <cstring>

namespace skein {

namespace {

thread_local const volatile int32_t *stop_flag = nullptr;

// FAISS asks it now and then, on the thread that called and, in places, on others of its threads, which have no flag.
struct Flag : faiss::InterruptCallback {
    bool want_interrupt() override { return stopped(); }
};

} // namespace

int32_t fail(skein_status *status, int32_t code, const char *message) {
    if (status) {
        status->code = code;
        std::strncpy(status->message, message, sizeof(status->message) - 1);
        status->message[sizeof(status->message) - 1] = 0;
    }
    return code;
}

bool stopped() { return stop_flag && *stop_flag != 0; }

Stoppable::Stoppable(const volatile int32_t *stop) {
    // Never taken away again: other threads may be looking at it.
    static std::once_flag once;
    std::call_once(once, [] { faiss::InterruptCallback::instance.reset(new Flag); });
    stop_flag = stop;
}

Stoppable::~Stoppable() { stop_flag = nullptr; }

} // namespace skein
