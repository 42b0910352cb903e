// SPDX-License-Identifier: MIT
//
// Operations on open files.

#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

void op_open(struct reader *r, struct result *res)
{
	uint32_t out = get_int(r);
	char *path = get_str(r);
	int64_t flags = get_int(r), mode = get_int(r);

	keep_fd(res, out, MADE(open(path, flags, mode)));
	free(path);
}

void op_close(struct reader *r, struct result *res)
{
	uint32_t id = get_int(r);
	struct handle *h = known(id, FD);

	if (!h) {
		fault(res, "handle %u is not an open file", id);
		return;
	}
	own_fd(h->fd, false); // before: once it is closed, a thread beside may get the number
	done(res, MADE(close(h->fd)));
	h->kind = UNSET;
}

void op_dup(struct reader *r, struct result *res)
{
	uint32_t out = get_int(r);
	uint32_t id = get_int(r);
	int fd = -1;

	if (fd_of(res, id, &fd))
		keep_fd(res, out, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

void op_ioctl(struct reader *r, struct result *res)
{
	uint32_t id = get_int(r);
	uint64_t request = get_int(r), arg = get_int(r);
	uint32_t keep;
	const uint8_t *data = NULL;
	uint8_t *buf = NULL;
	size_t len = 0;
	struct reader fixups;
	struct ref at;
	int fd = -1;

	if (!is_nil(r))
		data = get_blob(r, &len);
	fixups = *r;
	skip(r, 0);
	fixups.end = r->at;
	at = get_ref(r);
	keep = is_nil(r) ? 0 : get_int(r) + 1;
	if (r->broken || !fd_of(res, id, &fd))
		return;
	if (at.set) {
		if (!resolve(res, at, &buf))
			return;
		if (data) {
			GUARDED(res, memcpy(buf, data, len));
			if (res->sig || !apply_fixups(&fixups, res, buf, len))
				return;
		}
		arg = (uintptr_t)buf;
	} else if (data) {
		if (len > SCRATCH) {
			fault(res, "a buffer of %zu bytes is over the limit of %u", len, SCRATCH);
			return;
		}
		buf = buffer(len);
		memcpy(buf, data, len);
		if (!apply_fixups(&fixups, res, buf, len))
			return;
		arg = (uintptr_t)buf;
	}
	done(res, MADE(ioctl(fd, request, arg)));
	if (data && !at.set) {
		find_spill(res, len);
		undo_fixups(&fixups, buf, data, len);
		give(res, buf, len);
	} else if (data) {
		uint8_t *copy = buffer(len < SCRATCH ? len : 0);

		if (len <= SCRATCH) {
			int64_t ret = res->ret;

			GUARDED(res, memcpy(copy, buf, len));
			if (res->sig) {
				res->sig = 0; // the page is not readable: the answer has no bytes
			} else {
				undo_fixups(&fixups, copy, data, len);
				give(res, copy, len);
			}
			res->ret = ret;
		}
	}
	if (keep && is_new_fd(res->ret)) {
		int64_t ret = res->ret;

		keep_fd(res, keep - 1, ret);
	}
}

void op_pread(struct reader *r, struct result *res)
{
	uint32_t id = get_int(r);
	uint64_t size = get_int(r);
	bool positional = !is_nil(r);
	int64_t offset = positional ? get_int(r) : 0;
	struct ref at = get_ref(r);
	uint8_t *buf = NULL;
	int fd = -1;

	if (r->broken || !fd_of(res, id, &fd))
		return;
	if (at.set) {
		if (!resolve(res, at, &buf))
			return;
	} else if (size > SCRATCH) {
		fault(res, "a read of %llu bytes needs memory of its own", (unsigned long long)size);
		return;
	} else {
		buf = buffer(size);
		memset(buf, 0xa5, size);
	}
	done(res, MADE(positional ? pread64(fd, buf, size, offset) : syscall(SYS_read, fd, buf, size)));
	if (!at.set) {
		find_spill(res, size);
		give(res, buf, size);
	}
}

void op_pwrite(struct reader *r, struct result *res)
{
	uint32_t id = get_int(r);
	size_t len = 0;
	const uint8_t *data = is_nil(r) ? NULL : get_blob(r, &len);
	bool positional = !is_nil(r);
	int64_t offset = positional ? get_int(r) : 0;
	struct ref at = get_ref(r);
	uint64_t size = get_int(r);
	uint8_t *buf = (uint8_t *)data;
	int fd = -1;

	if (r->broken || !fd_of(res, id, &fd))
		return;
	if (at.set && !resolve(res, at, &buf))
		return;
	if (!at.set)
		size = len;
	done(res, MADE(positional ? pwrite64(fd, buf, size, offset) : syscall(SYS_write, fd, buf, size)));
}

void op_eventfd(struct reader *r, struct result *res)
{
	uint32_t out = get_int(r);
	uint64_t initial = get_int(r);
	int flags = get_int(r);

	if (!r->broken)
		keep_fd(res, out, eventfd(initial, flags));
}

void op_poll(struct reader *r, struct result *res)
{
	struct pollfd fds[64];
	uint32_t n = get_array(r);
	int events, timeout;

	if (n > 64) {
		fault(res, "poll of %u files is over the limit of 64", n);
		return;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!fd_of(res, get_int(r), &fds[i].fd))
			return;
	events = get_int(r);
	timeout = get_int(r);
	if (r->broken)
		return;
	for (uint32_t i = 0; i < n; i++) {
		fds[i].events = events;
		fds[i].revents = 0;
	}
	done(res, poll(fds, n, timeout));
	for (uint32_t i = 0; i < n; i++)
		value(res, fds[i].revents);
}

void op_drain(struct reader *r, struct result *res)
{
	uint32_t id = get_int(r);
	uint64_t limit = get_int(r);

	if (!r->broken)
		drain(id, limit, res);
}

void drain(uint32_t id, uint64_t limit, struct result *res)
{
	uint64_t have = 0;
	uint8_t *buf = arena();
	int fd = -1;

	if (!fd_of(res, id, &fd))
		return;
	if (limit > SCRATCH)
		limit = SCRATCH;
	while (limit - have > 1) {
		ssize_t n = read(fd, buf + have, limit - have);

		if (n < 0 && errno == EPIPE) // kmsg: records were overwritten before we came
			continue;
		if (n <= 0)
			break;
		have += n;
	}
	res->ret = have;
	give(res, buf, have);
}
