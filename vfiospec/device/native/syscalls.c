// SPDX-License-Identifier: MIT
//
// System calls by name, and limits.

#define _GNU_SOURCE
#include "ops.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	long number;
} syscalls[] = {
#define CALL(name) { #name, SYS_##name }
	CALL(capget), CALL(capset), CALL(fcntl), CALL(getpid), CALL(getrlimit), CALL(ioctl),
	CALL(lseek), CALL(madvise), CALL(mlock), CALL(mprotect), CALL(mremap), CALL(msync),
	CALL(munlock), CALL(munmap), CALL(prctl), CALL(pread64), CALL(preadv), CALL(prlimit64),
	CALL(pwrite64), CALL(pwritev), CALL(read), CALL(readv), CALL(setresgid),
	CALL(setresuid), CALL(setrlimit), CALL(write), CALL(writev), CALL(ftruncate), CALL(unshare),
};

void op_syscall(struct reader *r, struct result *res)
{
	char *name = get_str(r);
	uint32_t n = get_array(r);
	uint64_t args[6] = { 0 };
	long number = -1;

	for (size_t i = 0; i < sizeof(syscalls) / sizeof(*syscalls); i++)
		if (!strcmp(name, syscalls[i].name))
			number = syscalls[i].number;
	if (number < 0 || n > 6)
		fault(res, "system call %.40s with %u arguments is not in the table", name, n);
	free(name);
	for (uint32_t i = 0; i < n && !r->broken && !res->fault[0]; i++) {
		struct reader peek = *r;
		uint64_t kind, addend;
		uint32_t id;
		int fd = -1;

		if (r->at < r->end && (*r->at & 0xf0) != 0x90) {
			args[i] = get_int(r);
			continue;
		}
		// [0, kind, handle, addend]: a fixup in a register
		if (get_array(&peek) != 4) {
			r->broken = true;
			return;
		}
		get_int(&peek);
		kind = get_int(&peek);
		id = get_int(&peek);
		addend = get_int(&peek);
		*r = peek;
		if (kind == 0) {
			if (!fd_of(res, id, &fd))
				return;
			args[i] = fd;
		} else {
			uint8_t *p = NULL;
			struct ref ref = { true, id, addend };

			if (!resolve(res, ref, &p))
				return;
			args[i] = (uintptr_t)p;
		}
	}
	if (r->broken || res->fault[0])
		return;
	done(res, syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]));
}

void op_rlimit(struct reader *r, struct result *res)
{
	int resource = get_int(r);
	struct rlimit limit = { .rlim_cur = get_int(r) };

	limit.rlim_max = get_int(r);
	if (!r->broken)
		done(res, setrlimit(resource, &limit));
}
