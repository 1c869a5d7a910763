// Boost's queue between two threads, with which two_threads.py compares. Prints millions of u64 items per second.
#include <boost/lockfree/spsc_queue.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

static void relax() // our own loops do the same
{
#if defined(__x86_64__) || defined(__i386__)
    for (int i = 0; i < 64; i++)
        __builtin_ia32_pause();
#endif
}

int main(int, char **argv)
{
    const std::size_t capacity = std::strtoull(argv[1], nullptr, 10), block = std::strtoull(argv[2], nullptr, 10);
    const std::uint64_t count = std::strtoull(argv[3], nullptr, 10) / block * block;
    boost::lockfree::spsc_queue<std::uint64_t> queue(capacity);
    std::uint64_t total = 0;
    std::thread consumer([&] {
        std::vector<std::uint64_t> out(block);
        for (std::uint64_t popped = 0; popped < count;) {
            std::size_t got = block == 1 ? queue.pop(out[0]) : queue.pop(out.data(), block);
            if (got)
                total += out[0];
            else
                relax();
            popped += got;
        }
    });
    std::vector<std::uint64_t> in(block);
    const auto start = std::chrono::steady_clock::now();
    for (std::uint64_t i = 0; i < count; i += block) {
        in[0] = i;
        if (block == 1)
            while (!queue.push(i))
                relax();
        else
            for (std::size_t done = 0; done < block;)
                done += queue.push(in.data() + done, block - done);
    }
    consumer.join();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    std::printf("%.3f %llu\n", count / taken.count() / 1e6, (unsigned long long)total);
}
