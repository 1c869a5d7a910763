/* Mirrored memory: the same pages are mapped twice, one mapping right behind the other. So items that cross the end of
 * the first mapping are contiguous, because they continue in the second. Nothing here touches Python. */
#ifndef SPILL_RING_MIRROR_H
#define SPILL_RING_MIRROR_H

#include <stddef.h>

#if defined(__linux__) || defined(__APPLE__)

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t sr_page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* Open an anonymous file of nbytes: memory that can be mapped more than once. Returns -1 where that fails. */
static int sr_memory_file(size_t nbytes)
{
    int fd;
#if defined(__linux__)
    fd = memfd_create("spill_ring", MFD_CLOEXEC);
#else
    char name[32];
    unsigned attempt;
    fd = -1;
    for (attempt = 0; fd < 0 && attempt < 64; attempt++) {
        snprintf(name, sizeof name, "/spill_ring.%d.%u", (int)getpid(), attempt);
        fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    }
    if (fd >= 0)
        shm_unlink(name);
#endif
    if (fd >= 0 && ftruncate(fd, (off_t)nbytes) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

#define SR_HUGE_PAGE ((size_t)2 << 20)

/* Reserve nbytes of address space without memory. Its start suits huge pages if at least one would fit. */
static char *sr_address_space(size_t nbytes)
{
    size_t slack = nbytes < SR_HUGE_PAGE ? 0 : SR_HUGE_PAGE, before;
    char *base = mmap(NULL, nbytes + slack, PROT_NONE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    if (slack != 0) {
        before = -(size_t)base & (SR_HUGE_PAGE - 1);
        if (before != 0)
            munmap(base, before);
        munmap(base + before + nbytes, slack - before);
        base += before;
    }
    return base;
}

/* Map the file twice, over the 2 * nbytes at base. Returns 0, or -1 where that fails. */
static int sr_map_twice(char *base, size_t nbytes, int fd)
{
    int half;
    for (half = 0; half < 2; half++) {
        if (mmap(base + half * nbytes, nbytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0)
            == MAP_FAILED)
            return -1;
    }
    return 0;
}

/* Back large rings with huge pages, as numpy backs its arrays from 4 MiB on. With small pages a copy of 8 MiB takes up
 * to a quarter longer. A file in memory gets a huge page when the kernel collapses a range in which at least one small
 * page is present. So the memory is allocated now and not when the ring is filled for the first time. That costs 70 us
 * for each MiB, and spares the stream its page faults. The largest rings may never be filled, so they keep small pages.
 * Wherever this fails the pages stay small, and nothing else changes. */
static void sr_use_huge_pages(char *base, size_t nbytes)
{
#if defined(__linux__)
    enum { collapse = 25 }; /* MADV_COLLAPSE, which is newer than the C library may be */
    size_t i;
    if (nbytes < (size_t)4 << 20 || nbytes > (size_t)256 << 20)
        return;
    for (i = 0; i < 2 * nbytes; i += SR_HUGE_PAGE)
        *(volatile char *)(base + i);
    madvise(base, nbytes, collapse);
    madvise(base + nbytes, nbytes, collapse);
#else
    (void)base, (void)nbytes;
#endif
}

/* Map nbytes of zeros, which must be whole pages, twice. Returns NULL where that is not available. */
static char *sr_mirror_map(size_t nbytes)
{
    int fd;
    char *base;
    /* The kernel doesn't charge a memory file until it is touched. So it would grant an absurd size, and the
     * out-of-memory killer would end the process later. It judges private memory as it judges malloc's, so ask for that
     * first. */
    base = mmap(NULL, nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    munmap(base, nbytes);

    fd = sr_memory_file(nbytes);
    if (fd < 0)
        return NULL;
    base = sr_address_space(2 * nbytes);
    if (base != NULL && sr_map_twice(base, nbytes, fd) != 0) {
        munmap(base, 2 * nbytes);
        base = NULL;
    }
    close(fd); /* the mappings keep the pages alive */
    if (base != NULL)
        sr_use_huge_pages(base, nbytes);
    return base;
}

/* Mirrored pages are shared mappings, so a forked child would write into its parent's rings. Therefore each ring is
 * copied before a fork. The child replaces its pages by the copy, at the same addresses, so that its rings and views
 * stay valid. (A copy made in the child would race with the parent, which continues.) The child's memory is private,
 * and no longer mirrored.
 *
 * This is registered with fork() itself and not with Python's hooks, because other hooks run Python code before and
 * after ours. The child calls only mmap, munmap and memcpy. A fork takes the time to copy all mirrored rings, and until
 * it is done it takes their size in memory. */
typedef struct sr_mirror {
    char *base;
    size_t nbytes;
    int is_mirrored;
    char *copy;
    struct sr_mirror *next, **link;
} sr_mirror;

/* A process may have about 65,000 mappings. Thousands of rings must leave enough of them to the rest of the program. */
enum { SR_MAX_MIRRORS = 8192 };

static sr_mirror *sr_mirrors;
static int sr_mirror_count; /* this includes those that a fork took off the list */
static pthread_mutex_t sr_mirrors_lock = PTHREAD_MUTEX_INITIALIZER;

static void sr_before_fork(void)
{
    sr_mirror *m;
    pthread_mutex_lock(&sr_mirrors_lock);
    for (m = sr_mirrors; m != NULL; m = m->next) {
        m->copy = mmap(NULL, m->nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        if (m->copy != MAP_FAILED)
            memcpy(m->copy, m->base, m->nbytes);
    }
}

static void sr_after_fork_in_parent(void)
{
    sr_mirror *m;
    for (m = sr_mirrors; m != NULL; m = m->next) {
        if (m->copy != MAP_FAILED)
            munmap(m->copy, m->nbytes);
    }
    pthread_mutex_unlock(&sr_mirrors_lock);
}

static void sr_after_fork_in_child(void)
{
    static const char complaint[] = "spill_ring: no memory for a forked process's own copy of its rings\n";
    sr_mirror *m;
    for (m = sr_mirrors; m != NULL; m = m->next) {
        if (m->copy == MAP_FAILED
            || mmap(m->base, 2 * m->nbytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON | MAP_FIXED, -1, 0)
                == MAP_FAILED) {
            /* A child that continued would write into the parent's memory. */
            if (write(2, complaint, sizeof complaint - 1) < 0) {
            }
            _exit(70);
        }
        memcpy(m->base, m->copy, m->nbytes);
        memcpy(m->base + m->nbytes, m->copy, m->nbytes); /* views may cross the end */
        munmap(m->copy, m->nbytes);
        m->is_mirrored = 0;
    }
    sr_mirrors = NULL;
    pthread_mutex_unlock(&sr_mirrors_lock);
}

/* Map nbytes of mirrored memory into `m`. Returns 1, or 0 where that is not available. */
static int sr_mirror_open(sr_mirror *m, size_t nbytes)
{
    static int hooked;
    int wanted;
    char *base;
    pthread_mutex_lock(&sr_mirrors_lock);
    wanted = sr_mirror_count < SR_MAX_MIRRORS;
    sr_mirror_count += wanted;
    pthread_mutex_unlock(&sr_mirrors_lock);
    base = wanted ? sr_mirror_map(nbytes) : NULL;
    if (base == NULL) {
        pthread_mutex_lock(&sr_mirrors_lock);
        sr_mirror_count -= wanted;
        pthread_mutex_unlock(&sr_mirrors_lock);
        return 0;
    }
    m->base = base;
    m->nbytes = nbytes;
    m->is_mirrored = 1;
    pthread_mutex_lock(&sr_mirrors_lock);
    if (!hooked)
        hooked = pthread_atfork(sr_before_fork, sr_after_fork_in_parent, sr_after_fork_in_child) == 0;
    m->next = sr_mirrors;
    m->link = &sr_mirrors;
    if (m->next != NULL)
        m->next->link = &m->next;
    sr_mirrors = m;
    pthread_mutex_unlock(&sr_mirrors_lock);
    return 1;
}

static void sr_mirror_close(sr_mirror *m)
{
    pthread_mutex_lock(&sr_mirrors_lock);
    if (m->is_mirrored) { /* otherwise a fork has taken it off the list */
        *m->link = m->next;
        if (m->next != NULL)
            m->next->link = m->link;
    }
    sr_mirror_count--;
    pthread_mutex_unlock(&sr_mirrors_lock);
    munmap(m->base, 2 * m->nbytes);
}

#else /* this platform has no mirrored memory, so rings use the heap */

typedef struct {
    char *base;
    size_t nbytes;
    int is_mirrored;
} sr_mirror;

static size_t sr_page_size(void) { return 4096; }
static int sr_mirror_open(sr_mirror *m, size_t nbytes) { (void)m; (void)nbytes; return 0; }
static void sr_mirror_close(sr_mirror *m) { (void)m; }

#endif
#endif
