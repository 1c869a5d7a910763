/* spsc.h on a Cortex-M3 without an operating system, between an interrupt handler and the main program.
 *
 *     arm-none-eabi-gcc -std=c11 -O2 -mcpu=cortex-m3 -mthumb -ffreestanding -nostdlib -I spill_ring/include \
 *         -T tests/core/cortex_m.ld tests/core/cortex_m.c -o cortex_m.elf
 *     qemu-system-arm -M lm3s6965evb -nographic -icount 6 \
 *         -semihosting-config enable=on,target=native -kernel cortex_m.elf
 *
 * SysTick produces while main consumes, and then the other way round. The positions begin shortly below 2^32, so that
 * they wrap during the run. Each period of the timer is drawn at random, so that it interrupts main at any
 * instruction. The program prints what it counted, and exits with 0; or it prints the line of the check that failed,
 * and exits with 1.
 */
#include "spill_ring/spsc.h"

enum { CAPACITY = 12, SLOTS = 32, BLOCK = 20, INTERRUPTS = 100000, BROKEN = -5 };

/* -- the functions of a libc that are needed --------------------------------------------------------- */

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memset(void *to, int value, size_t count);

/* The accesses are volatile, or the compiler would turn these loops into calls of memcpy and memset. */
void *memcpy(void *restrict to, const void *restrict from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((volatile unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}

void *memset(void *to, int value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        ((volatile unsigned char *)to)[i] = (unsigned char)value;
    return to;
}

/* Semihosting: the debugger, which is qemu here, acts on a breakpoint. */
static void semihost(uint32_t operation, uintptr_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
}

static void say(const char *text)
{
    semihost(0x04, (uintptr_t)text);
}

static void say_number(const char *what, uint32_t number)
{
    char digits[11] = {0};
    int at = 10;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    say(what);
    say(digits + at);
}

static void leave(int failed)
{
    say("\n");
    semihost(0x18, failed ? 0x20023 : 0x20026); /* a run-time error, or the end of the program */
    for (;;)
        ;
}

#define CHECK(holds) \
    do { \
        if (!(holds)) { \
            say_number("FAILED: line ", __LINE__); \
            leave(1); \
        } \
    } while (0)

/* -- both sides ---------------------------------------------------------------------------------- */

typedef struct {
    uint32_t number, guard; /* the guard is computed from the number, so that a torn item is noticed */
} item;

static sr_spsc ring;
static item memory[SLOTS];

/* The items that one side has seen. */
typedef struct {
    uint32_t next, count, sum, random;
} tally;

static tally spilled, popped;
static uint32_t pushed, pushed_sum;
static int interrupt_produces;
static volatile uint32_t interrupts;

static uint32_t draw(tally *side, uint32_t bound)
{
    side->random = side->random * 1664525u + 1013904223u;
    return (side->random >> 16) % bound;
}

static void see(tally *side, const item *items, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(items[i].guard == ~items[i].number * 3u);
        CHECK(items[i].number >= side->next && items[i].number < pushed + BLOCK);
        side->next = items[i].number + 1;
        side->sum += items[i].number;
        side->count++;
    }
}

static int take(void *context, const void *items, size_t count, size_t *taken)
{
    int fails = draw(context, 8) == 0;
    size_t part = fails ? draw(context, (uint32_t)count + 1) : count;
    see(context, items, part);
    *taken += part;
    return fails ? BROKEN : SR_DONE;
}

static void produce(void)
{
    item items[BLOCK];
    uint32_t count = 1 + draw(&spilled, draw(&spilled, 4) ? 4 : BLOCK);
    size_t taken = 0;
    for (uint32_t i = 0; i < count; i++)
        items[i] = (item){pushed + i, ~(pushed + i) * 3u};
    if (draw(&spilled, 4) == 0)
        taken = sr_spsc_try_push(&ring, items, count);
    else if (draw(&spilled, 64) == 0)
        sr_spsc_flush(&ring);
    else
        sr_spsc_push(&ring, items, count, &taken);
    for (uint32_t i = 0; i < taken; i++)
        pushed_sum += pushed++;
}

static void consume(void)
{
    item items[BLOCK];
    size_t count, most = 1 + draw(&popped, BLOCK);
    const void *claimed;
    switch (draw(&popped, 4)) {
    case 0:
        count = sr_spsc_claim(&ring, most, &claimed);
        if (count != 0) {
            count = draw(&popped, (uint32_t)count + 1);
            see(&popped, claimed, count);
            sr_spsc_release(&ring, count);
        }
        break;
    case 1:
        sr_spsc_drain(&ring, (size_t)-1, take, &popped);
        break;
    default:
        count = sr_spsc_pop(&ring, items, most);
        see(&popped, items, count);
    }
}

/* -- the machine --------------------------------------------------------------------------------- */

#define SYSTICK ((volatile uint32_t *)0xe000e010) /* control, reload, current */

void on_systick(void);

void on_systick(void)
{
    static tally timer;
    interrupts++;
    if (interrupt_produces)
        produce();
    else
        consume();
    SYSTICK[1] = 20 + draw(&timer, draw(&timer, 4) ? 200 : 5000);
    SYSTICK[2] = 0;
}

static void run(int interrupt_is_producer)
{
    const sr_index start = (sr_index)-5000;
    sr_spsc_init(&ring, memory, sizeof(item), CAPACITY, SLOTS);
    ring.sink = take;
    ring.sink_context = &spilled;
    /* Pretend that `start` items were pushed and evicted. */
    sr_store(&ring.tail, start);
    sr_store(&ring.head, start);
    sr_store(&ring.evicted, start);
    ring.seen_tail = ring.safe = ring.snapshot_head = start;
    ring.limit = start + ring.capacity;
    spilled = (tally){.random = 1};
    popped = (tally){.random = 2};
    pushed = pushed_sum = interrupts = 0;
    interrupt_produces = interrupt_is_producer;
    SYSTICK[1] = 1000;
    SYSTICK[2] = 0;
    SYSTICK[0] = 7; /* the timer runs, interrupts, and uses the core's clock */
    while (interrupts < INTERRUPTS)
        if (interrupt_is_producer)
            consume();
        else
            produce();
    SYSTICK[0] = 0;
    say_number(interrupt_is_producer ? "the interrupt pushed " : "main pushed ", pushed);
    say_number(", spilled ", spilled.count);
    say_number(", popped ", popped.count);
    while (sr_spsc_flush(&ring) != SR_DONE)
        ;
    while (ring.claimed_count != 0)
        sr_spsc_drain(&ring, (size_t)-1, take, &popped);
    sr_spsc_close(&ring);
    CHECK(sr_spsc_has_ended(&ring) && sr_spsc_count(&ring) == 0);
    CHECK(pushed > 10000 && spilled.count > 1000 && popped.count > 1000);
    CHECK(spilled.count + popped.count == pushed);
    CHECK(spilled.sum + popped.sum == pushed_sum);
    CHECK(sr_load(&ring.tail) == start + pushed && sr_load(&ring.head) == start + pushed);
    CHECK(sr_load(&ring.evicted) == start + spilled.count);
    CHECK(sr_load(&ring.finished) == popped.count);
    say("\n");
}

extern uint32_t stack_top, bss_start, bss_end, data_start, data_end, data_load;
void on_reset(void);
static void on_fault(void);

void on_reset(void)
{
    memcpy(&data_start, &data_load, (size_t)((uintptr_t)&data_end - (uintptr_t)&data_start));
    memset(&bss_start, 0, (size_t)((uintptr_t)&bss_end - (uintptr_t)&bss_start));
    CHECK(sizeof(sr_index) == 4);
    run(1);
    run(0);
    leave(0);
}

static void on_fault(void)
{
    say("FAILED: a fault");
    leave(1);
}

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    [0] = (uintptr_t)&stack_top, [1] = (uintptr_t)on_reset, [2] = (uintptr_t)on_fault, [3] = (uintptr_t)on_fault,
    [4] = (uintptr_t)on_fault, [5] = (uintptr_t)on_fault, [6] = (uintptr_t)on_fault, [15] = (uintptr_t)on_systick};
