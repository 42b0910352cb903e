// SPDX-License-Identifier: MIT
//
// Programs: operations made together, with the kernel's own coverage of them (KCOV), after which
// everything they opened is closed. Documentation/dev-tools/kcov.rst

#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KCOV_INIT_TRACE _IOR('c', 1, unsigned long)
#define KCOV_ENABLE _IO('c', 100)
#define KCOV_DISABLE _IO('c', 101)

#define WORDS (1u << 17)    // of the buffer the kernel writes to
#define SLOTS (1u << 15)    // of the table that makes addresses unique
#define ANSWERED (SLOTS / 2) // most addresses or comparisons of one answer

enum mode { PLAIN, ADDRESSES, COMPARISONS };

static uint64_t *cover;
static int kcov = -1;
static enum mode tracing = PLAIN; // what this process is being traced for now

static bool set_tracing(struct result *res, enum mode mode)
{
	if (mode == tracing)
		return true;
	if (kcov < 0) {
		kcov = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
		if (kcov < 0)
			return fault(res, "no coverage: /sys/kernel/debug/kcov: %s", strerror(errno));
		own_fd(kcov, true);
		if (ioctl(kcov, KCOV_INIT_TRACE, (unsigned long)WORDS))
			return fault(res, "no coverage: KCOV_INIT_TRACE: %s", strerror(errno));
		cover = mmap(NULL, WORDS * sizeof(*cover), PROT_READ | PROT_WRITE, MAP_SHARED, kcov, 0);
		if (cover == MAP_FAILED)
			return fault(res, "no coverage: mmap: %s", strerror(errno));
	}
	if (tracing != PLAIN)
		ioctl(kcov, KCOV_DISABLE, 0);
	tracing = PLAIN;
	if (mode != PLAIN && ioctl(kcov, KCOV_ENABLE, (unsigned long)(mode == COMPARISONS)))
		return fault(res, "no coverage of this kind: KCOV_ENABLE: %s", strerror(errno));
	tracing = mode;
	return true;
}

static uint64_t count(void)
{
	return __atomic_load_n(&cover[0], __ATOMIC_RELAXED);
}

// Each address once, its low 32 bits: all of the kernel's text lies in the topmost 2 GiB.
static size_t unique_addresses(uint32_t *out)
{
	static uint32_t stamps[SLOTS], keys[SLOTS], round;
	uint64_t n = count();
	size_t found = 0;

	round++;
	for (uint64_t i = 1; i <= n && i < WORDS && found < ANSWERED; i++) {
		uint32_t pc = cover[i], at = (pc * 2654435761u) >> 17;

		while (stamps[at] == round && keys[at] != pc)
			at = (at + 1) % SLOTS;
		if (stamps[at] == round)
			continue;
		stamps[at] = round;
		keys[at] = pc;
		out[found++] = pc;
	}
	return found * sizeof(*out);
}

// Pairs of compared numbers that differ, each pair once: (bytes, constant?), one, other.
static size_t unique_comparisons(uint64_t *out)
{
	static uint32_t stamps[SLOTS], round;
	static uint64_t keys[SLOTS];
	uint64_t n = count();
	size_t found = 0;

	round++;
	for (uint64_t i = 0; i < n && 1 + 4 * i + 3 < WORDS && found < ANSWERED / 8; i++) {
		uint64_t *c = cover + 1 + 4 * i, key = c[1] * 31 ^ c[2] * 0x9e3779b97f4a7c15ull;
		uint32_t at = key >> 49;

		if (c[1] == c[2])
			continue;
		while (stamps[at] == round && keys[at] != key)
			at = (at + 1) % SLOTS;
		if (stamps[at] == round)
			continue;
		stamps[at] = round;
		keys[at] = key;
		out[3 * found] = c[0];
		out[3 * found + 1] = c[1];
		out[3 * found + 2] = c[2];
		found++;
	}
	return found * 3 * sizeof(*out);
}

static int lowest_free_fd(void)
{
	int fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0)
		close(fd);
	return fd;
}

// Which descriptors from `first` on are open, one bit each. poll(2) tells of many in one call.
static uint64_t open_from(int first)
{
	struct pollfd fds[64];
	uint64_t mask = 0;

	for (int i = 0; i < 64; i++)
		fds[i] = (struct pollfd){ .fd = first + i };
	poll(fds, 64, 0);
	for (int i = 0; i < 64; i++)
		if (!(fds[i].revents & POLLNVAL))
			mask |= 1ull << i;
	return mask;
}

// Which files are open while no program runs. It is asked once for all programs up to a sweep.
static struct {
	bool known;
	int lowest; // the descriptor that the next file would get
	uint64_t open;
} files;

static void remember_files(void)
{
	if (files.known)
		return;
	files.lowest = lowest_free_fd();
	files.open = open_from(files.lowest);
	files.known = true;
}

// Closes what programs left open without a handle; how many files that were.
static int close_strays(void)
{
	uint64_t strays = open_from(files.lowest) & ~files.open;
	int found = 0;

	for (int i = 0; i < 64; i++)
		if (strays >> i & 1) {
			close(files.lowest + i);
			found++;
		}
	files.known = false;
	return found;
}

// Runs an encoded array of operations; `answers` takes their replies, cut to `keep` bytes.
static bool run_all(struct reader *r, struct writer *answers, uint64_t keep, uint32_t more)
{
	uint32_t n = get_array(r);

	if (answers)
		put_array(answers, n + more);
	for (; n && !r->broken; n--) {
		struct result one = { 0 };
		struct reader whole = *r;

		skip(r, 0);
		if (r->broken)
			return false;
		whole.end = r->at;
		execute(&whole, &one, -1);
		if (whole.broken && !one.fault[0])
			fault(&one, "a malformed operation");
		if (one.len > keep)
			one.len = keep;
		if (answers)
			put_result(answers, &one);
		clear_result(&one);
	}
	return !r->broken;
}

void op_trace(struct reader *r, struct result *res)
{
	static struct writer answers;
	static uint64_t seen[ANSWERED];
	struct reader ops = *r, after;
	uint32_t first;
	enum mode mode;
	uint64_t keep, made = 0;
	size_t size = 0;
	bool sweep, watched;
	uint32_t watch;

	skip(r, 0);
	after = *r;
	skip(r, 0);
	first = get_int(r);
	mode = get_int(r);
	keep = get_int(r);
	sweep = get_int(r);
	watched = !is_nil(r);
	watch = watched ? get_int(r) : 0;
	if (r->broken)
		return;
	if (mode > COMPARISONS) {
		fault(res, "coverage of kind %d", (int)mode);
		return;
	}
	if (!set_tracing(res, mode))
		return;
	remember_files();
	answers.len = 0;
	if (mode)
		__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
	if (!run_all(&ops, &answers, keep, watched)) {
		r->broken = true;
		return;
	}
	res->ret = release_from(first);
	if (mode) {
		made = count();
		size = mode == ADDRESSES ? unique_addresses((uint32_t *)seen) : unique_comparisons(seen);
	}
	value(res, sweep ? close_strays() : 0);
	run_all(&after, NULL, 0, 0);
	if (watched) {
		struct result log = { 0 };

		drain(watch, 65536, &log);
		put_result(&answers, &log);
		clear_result(&log);
	}
	give(res, (uint8_t *)seen, size);
	value(res, made);
	res->parts = answers.buf;
	res->parts_len = answers.len;
}
