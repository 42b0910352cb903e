// SPDX-License-Identifier: MIT
//
// Handles, inline buffers, guarded accesses, answers.

#define _GNU_SOURCE
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

// It never moves: the threads of a race look things up and add to it at once. What is not used of it
// takes no memory.
static struct handle handles[HANDLES];
static uint32_t handle_count; // none from here on was ever asked for

struct handle *slot(uint32_t id)
{
	uint32_t count = __atomic_load_n(&handle_count, __ATOMIC_RELAXED);

	if (id >= HANDLES)
		return NULL;
	while (id >= count && !__atomic_compare_exchange_n(&handle_count, &count, id + 1, false,
							   __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	return handles + id;
}

uint32_t handles_made(void)
{
	return handle_count;
}

struct handle *known(uint32_t id, enum kind kind)
{
	return id < HANDLES && handles[id].kind == kind ? handles + id : NULL;
}

static __thread uint8_t *scratch; // CANARY + SCRATCH + CANARY bytes, one for each thread
__thread sigjmp_buf escape;
__thread volatile int guarded;
__thread volatile int caught_signal;
__thread volatile uint64_t caught_address;

static uint8_t canary_at(size_t i)
{
	return (uint8_t)(i * 37 + 11);
}

// All of it, made once: under emulation a byte at a time is what most calls would spend their time on.
static uint64_t canary[CANARY / 8];

__attribute__((constructor)) static void fill_canary(void)
{
	for (size_t i = 0; i < CANARY; i++)
		((uint8_t *)canary)[i] = canary_at(i);
}

// One side of a buffer, which may begin anywhere.
static void guard(uint8_t *zone)
{
	for (size_t i = 0; i < CANARY / 8; i++)
		memcpy(zone + 8 * i, canary + i, 8);
}

static bool intact(const uint8_t *zone)
{
	uint64_t changed = 0, word;

	for (size_t i = 0; i < CANARY / 8; i++) {
		memcpy(&word, zone + 8 * i, 8);
		changed |= word ^ canary[i];
	}
	return !changed;
}

bool fault(struct result *res, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(res->fault, sizeof(res->fault), fmt, ap);
	va_end(ap);
	res->ret = -1;
	return false;
}

void done(struct result *res, int64_t ret)
{
	res->ret = ret;
	res->err = ret == -1 ? errno : 0;
}

void give(struct result *res, const void *p, size_t n)
{
	res->data = p;
	res->len = n;
}

void value(struct result *res, int64_t v)
{
	put_int(&res->values, v);
	res->value_count++;
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (!guarded) {
		signal(sig, SIG_DFL);
		return;
	}
	caught_signal = sig;
	caught_address = (uintptr_t)info->si_addr;
	siglongjmp(escape, 1);
}


void install_handlers(void)
{
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER };

	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGSEGV, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
}

uint8_t *arena(void)
{
	if (!scratch) {
		scratch = mmap(NULL, CANARY * 2 + SCRATCH, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (scratch == MAP_FAILED)
			_exit(3);
	}
	return scratch;
}

// A buffer of n bytes with CANARY watched bytes before and behind it.
uint8_t *buffer(size_t n)
{
	uint8_t *base = arena();

	guard(base);
	guard(base + CANARY + n);
	return base + CANARY;
}

void find_spill(struct result *res, size_t n)
{
	uint8_t *base = arena();

	for (int side = 0; side < 2; side++) {
		uint8_t *zone = side ? base + CANARY + n : base;
		size_t first = CANARY, last = 0;

		if (intact(zone))
			continue;
		for (size_t i = 0; i < CANARY; i++) {
			if (zone[i] != canary_at(i)) {
				if (first == CANARY)
					first = i;
				last = i;
			}
		}
		put_array(&res->spill, 2);
		put_int(&res->spill, (int64_t)first + (side ? (int64_t)n : -(int64_t)CANARY));
		put_bin(&res->spill, zone + first, last - first + 1);
		res->spills++;
	}
}

void drop_arena(void)
{
	if (scratch)
		munmap(scratch, CANARY * 2 + SCRATCH);
	scratch = NULL;
}

void clear_result(struct result *res)
{
	free(res->spill.buf);
	free(res->values.buf);
	memset(res, 0, sizeof(*res));
}

struct ref get_ref(struct reader *r)
{
	struct ref ref = { 0 };

	if (is_nil(r))
		return ref;
	if (get_array(r) != 2)
		r->broken = true;
	ref.set = true;
	ref.handle = get_int(r);
	ref.offset = get_int(r);
	return ref;
}

// The address a ref stands for. It may lie outside the mapping: tests ask for that.
bool resolve(struct result *res, struct ref ref, uint8_t **address)
{
	struct handle *h = known(ref.handle, MAPPING);

	if (!h)
		return fault(res, "handle %u is not a mapping", ref.handle);
	*address = h->base + ref.offset;
	return true;
}

bool fd_of(struct result *res, uint32_t id, int *fd)
{
	struct handle *h = known(id, FD);

	if (!h)
		return fault(res, "handle %u is not an open file", id);
	*fd = h->fd;
	return true;
}

#define OWNABLE 1024
static bool owned[OWNABLE];

void own_fd(int fd, bool yes)
{
	if (fd >= 0 && fd < OWNABLE)
		owned[fd] = yes;
}

// A kernel that is wrong, or was asked for something else, may answer with any number: whoever took
// it for a file would close one of ours.
bool is_new_fd(int64_t fd)
{
	if (fd <= STDERR_FILENO || fd > INT32_MAX || (fd < OWNABLE && owned[fd]))
		return false;
	return fcntl(fd, F_GETFD) >= 0;
}

void keep_fd(struct result *res, uint32_t out, int fd)
{
	struct handle *h;

	done(res, fd);
	if (fd < 0)
		return;
	h = slot(out);
	if (!h || h->kind != UNSET) {
		close(fd);
		fault(res, "handle %u is taken", out);
		return;
	}
	own_fd(fd, true);
	h->kind = FD;
	h->fd = fd;
}

struct handle *keep_mapping(struct result *res, uint32_t out)
{
	struct handle *h = slot(out);

	if (!h || h->kind != UNSET) {
		fault(res, "handle %u is taken", out);
		return NULL;
	}
	h->kind = MAPPING;
	return h;
}

struct fixup {
	uint64_t offset, kind;
	uint32_t handle;
	int64_t addend;
};

static struct fixup get_fixup(struct reader *r)
{
	struct fixup f = { 0 };

	if (get_array(r) != 4) {
		r->broken = true;
		return f;
	}
	f.offset = get_int(r);
	f.kind = get_int(r);
	f.handle = get_int(r);
	f.addend = get_int(r);
	return f;
}

// What a fixup writes: kind 0 an fd (4 bytes), kind 1 an address (8). 0 if it cannot be.
static size_t fixed_value(struct result *res, const struct fixup *f, uint64_t *value)
{
	struct ref ref = { true, f->handle, f->addend };
	uint8_t *p = NULL;
	int fd = -1;

	if (f->kind == 0) {
		*value = 0;
		if (!fd_of(res, f->handle, &fd))
			return 0;
		*value = (uint32_t)fd;
		return 4;
	}
	if (!resolve(res, ref, &p))
		return 0;
	*value = (uintptr_t)p;
	return 8;
}

bool apply_fixups(const struct reader *list, struct result *res, uint8_t *data, size_t len)
{
	struct reader r = *list;

	for (uint32_t n = get_array(&r); n && !r.broken && !res->fault[0]; n--) {
		struct fixup f = get_fixup(&r);
		uint64_t value;
		size_t size = fixed_value(res, &f, &value);

		if (size && (f.offset > len || len - f.offset < size))
			fault(res, "fixup at %llu is outside of %zu bytes", (unsigned long long)f.offset, len);
		else
			memcpy(data + (size ? f.offset : 0), &value, size);
	}
	if (r.broken)
		fault(res, "malformed fixups");
	return !res->fault[0];
}

// Where the kernel left alone what a fixup wrote, the answer shows what the caller wrote: numbers
// and addresses of this process mean nothing elsewhere.
void undo_fixups(const struct reader *list, uint8_t *data, const uint8_t *original, size_t len)
{
	struct reader r = *list;
	struct result scratch_result = { 0 };

	for (uint32_t n = get_array(&r); n && !r.broken; n--) {
		struct fixup f = get_fixup(&r);
		uint64_t value;
		size_t size = fixed_value(&scratch_result, &f, &value);

		if (size && f.offset <= len && len - f.offset >= size &&
		    !memcmp(data + f.offset, &value, size))
			memcpy(data + f.offset, original + f.offset, size);
	}
}
