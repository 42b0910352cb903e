// SPDX-License-Identifier: MIT
//
// Operations on memory and mappings.

#define _GNU_SOURCE
#include "ops.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void op_mmap(struct reader *r, struct result *res)
{
	uint32_t out = get_int(r);
	uint64_t length = get_int(r);
	int prot = get_int(r), flags = get_int(r), fd = -1;
	struct handle *h;
	uint64_t offset;
	void *p;

	if (!is_nil(r) && !fd_of(res, get_int(r), &fd))
		return;
	offset = get_int(r);
	if (r->broken)
		return;
	p = MADE(mmap(NULL, length, prot, flags, fd, offset));
	done(res, p == MAP_FAILED ? -1 : (int64_t)(uintptr_t)p);
	if (p == MAP_FAILED)
		return;
	h = keep_mapping(res, out);
	if (!h) {
		munmap(p, length);
		return;
	}
	h->base = h->whole = p;
	h->size = h->whole_size = length;
}

void op_munmap(struct reader *r, struct result *res)
{
	uint32_t id = get_int(r);
	struct handle *h = known(id, MAPPING);

	if (!h) {
		fault(res, "handle %u is not a mapping", id);
		return;
	}
	done(res, munmap(h->whole, h->whole_size));
	h->kind = UNSET;
}

#ifdef MAP_32BIT
#define LOW MAP_32BIT
#else
#define LOW 0
#endif

static uint64_t load(const volatile void *p, int width)
{
	switch (width) {
	case 1: return *(const volatile uint8_t *)p;
	case 2: return *(const volatile uint16_t *)p;
	case 4: return *(const volatile uint32_t *)p;
	default: return *(const volatile uint64_t *)p;
	}
}

static void store(volatile void *p, int width, uint64_t v)
{
	switch (width) {
	case 1: *(volatile uint8_t *)p = v; break;
	case 2: *(volatile uint16_t *)p = v; break;
	case 4: *(volatile uint32_t *)p = v; break;
	default: *(volatile uint64_t *)p = v;
	}
}

static bool good_width(struct result *res, int64_t width)
{
	return width == 1 || width == 2 || width == 4 || width == 8 ||
	       fault(res, "width %lld is not 1, 2, 4 or 8", (long long)width);
}

void op_load(struct reader *r, struct result *res)
{
	struct ref at = get_ref(r);
	int64_t width = get_int(r);
	uint8_t *p = NULL;
	uint64_t *v = (uint64_t *)arena();

	if (r->broken || !good_width(res, width) || !resolve(res, at, &p))
		return;
	GUARDED(res, *v = load(p, width));
	if (!res->sig)
		give(res, v, width);
}

void op_store(struct reader *r, struct result *res)
{
	struct ref at = get_ref(r);
	int64_t width = get_int(r);
	uint64_t v = get_int(r);
	uint8_t *p = NULL;

	if (r->broken || !good_width(res, width) || !resolve(res, at, &p))
		return;
	GUARDED(res, store(p, width, v));
}

void op_alloc(struct reader *r, struct result *res)
{
	uint32_t out = get_int(r);
	uint64_t size = get_int(r), kind = get_int(r);
	int fill = get_int(r), guard = get_int(r), fd = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS;
	uint64_t page = kind == 1 ? 2u << 20 : (uint64_t)sysconf(_SC_PAGESIZE);
	uint64_t whole, edge = guard ? page : 0;
	struct handle *h;
	uint8_t *p = NULL;

	if (r->broken)
		return;
	if (!size || size > 1ull << 32) {
		fault(res, "memory of %llu bytes", (unsigned long long)size);
		return;
	}
	size = (size + page - 1) / page * page;
	whole = size + 2 * edge;
	if (kind == 1) {
		flags |= MAP_HUGETLB;
	} else if (kind == 3) {
		flags |= LOW;
	} else if (kind == 2) {
		fd = memfd_create("vfiospec", MFD_CLOEXEC);
		flags = MAP_SHARED;
		if (fd < 0 || ftruncate(fd, size)) {
			done(res, -1);
			return;
		}
	}
	if (guard) {
		p = mmap(NULL, whole, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (flags & LOW), -1, 0);
		if (p != MAP_FAILED && mmap(p + edge, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED) {
			munmap(p, whole);
			p = MAP_FAILED;
		}
	} else {
		p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	}
	done(res, p == MAP_FAILED ? -1 : (int64_t)(uintptr_t)(p + edge));
	if (fd >= 0)
		close(fd);
	if (p == MAP_FAILED)
		return;
	h = keep_mapping(res, out);
	if (!h) {
		munmap(p, whole);
		return;
	}
	h->whole = p;
	h->whole_size = whole;
	h->base = p + edge;
	h->size = size;
	if (fill)
		memset(h->base, fill, size);
}

void op_peek(struct reader *r, struct result *res)
{
	struct ref at = get_ref(r);
	uint64_t size = get_int(r);
	uint8_t *p, *buf;

	if (r->broken || !resolve(res, at, &p))
		return;
	if (size > SCRATCH) {
		fault(res, "a peek of %llu bytes is over the limit", (unsigned long long)size);
		return;
	}
	buf = buffer(size);
	GUARDED(res, memcpy(buf, p, size));
	if (!res->sig)
		give(res, buf, size);
}

void op_poke(struct reader *r, struct result *res)
{
	struct ref at = get_ref(r);
	size_t len;
	const uint8_t *data = get_blob(r, &len);
	uint8_t *p = NULL;

	if (r->broken || !resolve(res, at, &p))
		return;
	GUARDED(res, memcpy(p, data, len));
}
