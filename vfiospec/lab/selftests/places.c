// SPDX-License-Identifier: MIT
//
// Loaded before a program's own libraries (LD_PRELOAD): has the kernel note where it has been for
// it (KCOV, Documentation/dev-tools/kcov.rst), and writes that to a file of its own at the end, as
// the low 32 bits of each address, once. A process that is killed writes nothing.

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KCOV_INIT_TRACE _IOR('c', 1, unsigned long)
#define KCOV_ENABLE _IO('c', 100)
#define KCOV_DISABLE _IO('c', 101)
#define WORDS (1ul << 21)

static uint64_t *cover;
static int kcov = -1;
static pid_t traced;

static void begin(void)
{
	traced = getpid();
	cover = NULL;
	kcov = syscall(SYS_openat, AT_FDCWD, "/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC, 0);
	if (kcov < 0 || ioctl(kcov, KCOV_INIT_TRACE, WORDS))
		return;
	void *at = mmap(NULL, WORDS * sizeof(*cover), PROT_READ | PROT_WRITE, MAP_SHARED, kcov, 0);
	if (at == MAP_FAILED)
		return;
	cover = at;
	__atomic_store_n(&cover[0], 0, __ATOMIC_RELAXED);
	if (ioctl(kcov, KCOV_ENABLE, 0))
		cover = NULL;
}

static int order(const void *a, const void *b)
{
	uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

	return one < other ? -1 : one > other;
}

static void end(void)
{
	const char *folder = getenv("VFIOSPEC_PLACES");
	uint32_t *seen = (uint32_t *)cover;
	uint64_t n, unique = 0;
	char path[512];
	int fd;

	if (!cover || traced != getpid() || !folder)
		return;
	ioctl(kcov, KCOV_DISABLE, 0);
	n = cover[0] < WORDS - 1 ? cover[0] : WORDS - 1;
	for (uint64_t i = 0; i < n; i++) // behind what is read: a half of each word is left
		seen[i] = (uint32_t)cover[i + 1];
	cover = NULL;
	qsort(seen, n, sizeof(*seen), order);
	for (uint64_t i = 0; i < n; i++)
		if (!i || seen[i] != seen[unique - 1])
			seen[unique++] = seen[i];
	snprintf(path, sizeof(path), "%s/%d.places", folder, (int)traced);
	fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, seen, unique * sizeof(*seen)) < 0)
		perror(path);
}

__attribute__((constructor)) static void loaded(void)
{
	begin();
}

__attribute__((destructor)) static void unloaded(void)
{
	end();
}

// A test case of the kernel's harness runs in a process of its own, or in one that this one has
// made once more: before it can do anything to VFIO, it has to open a file.
int open(const char *path, int flags, ...)
{
	va_list more;

	if (traced != getpid())
		begin();
	va_start(more, flags);
	int mode = flags & O_CREAT ? va_arg(more, int) : 0;
	va_end(more);
	return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) __attribute__((alias("open")));

void _exit(int status)
{
	end();
	for (;;)
		syscall(SYS_exit_group, status);
}
