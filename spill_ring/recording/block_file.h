/* Reads and maps a part of a file. A map takes no file descriptor, as Python's `mmap` does. */
#ifndef SPILL_RING_BLOCK_FILE_H
#define SPILL_RING_BLOCK_FILE_H

#include <errno.h>
#include <stddef.h>

#ifdef _WIN32
#include <io.h>

static ptrdiff_t sr_read_at(int fd, void *data, size_t size, long long offset) {
    if (_lseeki64(fd, offset, SEEK_SET) < 0)
        return -1;
    return _read(fd, data, size > 1 << 30 ? 1 << 30 : (unsigned)size);
}

static void *sr_map_file(int fd, size_t size) {
    (void)fd, (void)size;
    errno = ENOSYS;
    return NULL;
}

static void sr_unmap_file(void *base, size_t size) {
    (void)base, (void)size;
}

#else
#include <sys/mman.h>
#include <unistd.h>

static ptrdiff_t sr_read_at(int fd, void *data, size_t size, long long offset) {
    if ((off_t)offset != offset)
        return 0; /* no file is that long */
    return pread(fd, data, size > 1 << 30 ? 1 << 30 : size, (off_t)offset);
}

/* NULL, and errno, if the system gives no map. */
static void *sr_map_file(int fd, size_t size) {
    void *base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    return base == MAP_FAILED ? NULL : base;
}

static void sr_unmap_file(void *base, size_t size) {
    munmap(base, size);
}
#endif

#endif
