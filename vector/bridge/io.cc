// Indexes as bytes.
#include "internal.h"

#include <faiss/impl/io.h>
#include <faiss/index_io.h>

namespace skein {

namespace {

struct Writer : faiss::IOWriter {
    skein_write write;
    void *context;

    size_t operator()(const void *bytes, size_t size, size_t items) override {
        if (size != 0 && items != 0 && write(context, bytes, size * items) != 0) {
            throw Io("the bytes could not be written");
        }
        return items;
    }
};

struct Reader : faiss::IOReader {
    skein_read read;
    void *context;

    size_t operator()(void *bytes, size_t size, size_t items) override {
        if (size != 0 && items != 0 && read(context, bytes, size * items) != 0) {
            throw Io("the bytes end early or could not be read");
        }
        return items;
    }
};

} // namespace

int32_t write(const skein_index *index, skein_write write, void *context, skein_status *status) {
    return guarded(status, [&] {
        Writer writer;
        writer.write = write;
        writer.context = context;
        faiss::write_index(index->index.get(), &writer);
    });
}

int32_t read(skein_read read, void *context, skein_index **index, skein_status *status) {
    return guarded(status, [&] {
        Reader reader;
        reader.read = read;
        reader.context = context;
        // No flags: the index owns its memory. One that is mapped from a file aborts the process when something is added to it.
        std::unique_ptr<skein_index> read_one(new skein_index);
        read_one->index.reset(faiss::read_index(&reader, 0));
        *index = read_one.release();
    });
}

} // namespace skein
