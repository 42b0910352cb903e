// SPDX-License-Identifier: MIT
//
// Frames: requests in, answers out. The format is that of vfiospec/device/wire.py.

#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

bool read_all(int fd, void *buf, size_t n)
{
	for (size_t have = 0; have < n;) {
		ssize_t got = read(fd, (uint8_t *)buf + have, n - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		have += got;
	}
	return true;
}

bool write_all(int fd, const void *buf, size_t n)
{
	for (size_t have = 0; have < n;) {
		ssize_t put = write(fd, (const uint8_t *)buf + have, n - have);

		if (put < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (put <= 0)
			return false;
		have += put;
	}
	return true;
}

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ll + t.tv_nsec / 1000000;
}

volatile int64_t *busy_since;

void execute(struct reader *r, struct result *res, int channel)
{
	uint32_t fields = get_array(r);
	int64_t code = get_int(r);

	if (!fields || r->broken)
		return;
	switch (code) {
	case 1: op_open(r, res); break;
	case 2: op_close(r, res); break;
	case 3: op_dup(r, res); break;
	case 4: op_ioctl(r, res); break;
	case 5: op_pread(r, res); break;
	case 6: op_pwrite(r, res); break;
	case 7: op_mmap(r, res); break;
	case 8: op_munmap(r, res); break;
	case 9: op_load(r, res); break;
	case 10: op_store(r, res); break;
	case 11: op_alloc(r, res); break;
	case 12: op_peek(r, res); break;
	case 13: op_poke(r, res); break;
	case 14: op_eventfd(r, res); break;
	case 15: op_poll(r, res); break;
	case 16: op_read_file(r, res); break;
	case 17: op_write_file(r, res); break;
	case 18: op_list_dir(r, res); break;
	case 19: op_read_link(r, res); break;
	case 20: op_syscall(r, res); break;
	case 21: op_fork(r, res); break;
	case 22: op_in(r, res); break;
	case 23: op_send_fd(r, res); break;
	case 24: op_receive_fd(r, res, channel); break;
	case 25: op_wait(r, res); break;
	case 26: op_race(r, res); break;
	case 27: op_rlimit(r, res); break;
	case 28: op_drain(r, res); break;
	case 29: op_ioctl32(r, res); break;
	case 30: op_trace(r, res); break;
	case 31: op_fail_nth(r, res, channel); break;
	default:
		fault(res, "operation %lld is unknown to this executor", (long long)code);
	}
}

void put_result(struct writer *w, struct result *res)
{
	int fields = res->fault[0] ? 9 : res->parts ? 8 : res->value_count ? 7 : res->sig ? 6 :
		     res->spills ? 4 : res->data ? 3 : 2;

	put_array(w, fields);
	put_int(w, res->ret);
	put_int(w, res->err);
	if (fields > 2) {
		if (res->data)
			put_bin(w, res->data, res->len);
		else
			put_nil(w);
	}
	if (fields > 3) {
		put_array(w, res->spills);
		put(w, res->spill.buf, res->spill.len);
	}
	if (fields > 4) {
		put_int(w, res->sig);
		put_uint(w, res->address);
	}
	if (fields > 6) {
		put_array(w, res->value_count);
		put(w, res->values.buf, res->values.len);
	}
	if (fields > 7) {
		if (res->parts)
			put(w, res->parts, res->parts_len);
		else
			put_array(w, 0);
	}
	if (fields > 8)
		put_str(w, res->fault);
}

int serve(int in, int out)
{
	struct writer w = { 0 };
	uint8_t *frame = NULL;
	uint32_t size, room = 0;

	own_fd(in, true);
	own_fd(out, true);
	while (read_all(in, &size, 4)) {
		struct reader r;
		uint32_t count;
		int64_t seq;

		if (size > FRAME_MAX)
			return 4;
		if (size > room) {
			free(frame);
			frame = malloc(size);
			if (!frame)
				return 3;
			room = size;
		}
		if (!read_all(in, frame, size))
			break;
		r = (struct reader){ frame, frame + size, false };
		w.len = 0;
		put(&w, "\0\0\0\0", 4);
		if (get_array(&r) != 2)
			return 4;
		seq = get_int(&r);
		count = get_array(&r);
		put_array(&w, 2);
		put_int(&w, seq);
		put_array(&w, count);
		for (uint32_t i = 0; i < count; i++) {
			struct result res = { 0 };
			const uint8_t *begin = r.at;
			struct reader whole = r;

			skip(&whole, 0); // an operation with fields too many or too few stays within its bounds
			if (whole.broken)
				return 4;
			whole.end = whole.at;
			whole.at = begin;
			r.at = whole.end;
			if (busy_since)
				*busy_since = now_ms();
			execute(&whole, &res, in);
			if (busy_since)
				*busy_since = 0;
			if (whole.broken && !res.fault[0])
				fault(&res, "operation %u of the message is malformed", i);
			put_result(&w, &res);
			clear_result(&res);
		}
		size = w.len - 4;
		memcpy(w.buf, &size, 4);
		if (!write_all(out, w.buf, w.len))
			break;
	}
	return 0;
}

bool hello(int out, const char *notes)
{
	struct writer w = { 0 };
	struct utsname name;
	uint32_t size;
	bool ok;

	uname(&name);
	put(&w, "\0\0\0\0", 4);
	put_array(&w, 7);
	put_str(&w, "vfiospec");
	put_int(&w, PROTOCOL);
	put_str(&w, "c");
	put_int(&w, sysconf(_SC_PAGESIZE));
	put_str(&w, name.machine);
	put_str(&w, name.release);
	put_str(&w, notes);
	size = w.len - 4;
	memcpy(w.buf, &size, 4);
	ok = write_all(out, w.buf, w.len);
	free(w.buf);
	return ok;
}
