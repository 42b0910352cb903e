// SPDX-License-Identifier: MIT
//
// System calls by name, and limits.

#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
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
	CALL(capget), CALL(capset), CALL(dup3), CALL(fcntl), CALL(getpid), CALL(getrlimit), CALL(ioctl),
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
	done(res, MADE(syscall(number, (long)args[0], (long)args[1], (long)args[2], (long)args[3],
			       (long)args[4], (long)args[5])));
}

void op_rlimit(struct reader *r, struct result *res)
{
	int resource = get_int(r);
	struct rlimit limit = { .rlim_cur = get_int(r) };

	limit.rlim_max = get_int(r);
	if (!r->broken)
		done(res, setrlimit(resource, &limit));
}

#define I386_NR_IOCTL 54

void op_ioctl32(struct reader *r, struct result *res)
{
	uint32_t id = get_int(r);
	uint64_t request = get_int(r), arg = get_int(r);
	struct ref at = get_ref(r);
	uint8_t *p = NULL;
	int fd = -1;

	if (r->broken || !fd_of(res, id, &fd) || (at.set && !resolve(res, at, &p)))
		return;
	if (at.set)
		arg = (uintptr_t)p;
	if (arg >> 32) {
		fault(res, "%#llx is no address of a 32-bit program", (unsigned long long)arg);
		return;
	}
#if defined(__x86_64__) || defined(__i386__)
	long ret = I386_NR_IOCTL;

	// The gate by which 32-bit programs enter the kernel; it serves 64-bit ones just as well.
	GUARDED(res, __asm__ volatile("int $0x80"
				      : "+a"(ret)
				      : "b"((long)fd), "c"((long)request), "d"((long)arg)
				      : "memory", "cc"
#ifdef __x86_64__
					, "r8", "r9", "r10", "r11"
#endif
				      ));
	if (res->sig)
		return;
	errno = -(int)ret;
	done(res, (int)ret < 0 && (int)ret > -4096 ? -1 : (int)ret);
#else
	fault(res, "no 32-bit programs on this architecture");
#endif
}
