// SPDX-License-Identifier: MIT
//
// As PID 1: the whole user space of a guest. Loads modules, watches the executor.

#define _GNU_SOURCE
#include "ops.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static char notes[4096];

static void note(const char *fmt, ...)
{
	size_t have = strlen(notes);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(notes + have, sizeof(notes) - have, fmt, ap);
	va_end(ap);
}

static void load_modules(void)
{
	FILE *list = fopen("/modules.list", "r");
	char line[256];

	if (!list)
		return;
	while (fgets(line, sizeof(line), list)) {
		char *path = line, *params = "";
		int fd = -1;

		line[strcspn(line, "\n")] = 0;
		if (strchr(line, ' ')) {
			params = strchr(line, ' ') + 1;
			params[-1] = 0;
		}
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, params, 0) && errno != EEXIST))
			note("%s: %s\n", path, strerror(errno));
		close(fd);
		unlink(path);
	}
	fclose(list);
}

// The virtio-serial port named vfiospec; without the driver, the second serial line.
static int open_channel(void)
{
	DIR *dir = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		char path[512], name[64] = "";
		FILE *f;

		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		f = fopen(path, "r");
		if (!f)
			continue;
		if (fgets(name, sizeof(name), f) && !strcmp(name, "vfiospec\n")) {
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
		fclose(f);
	}
	if (dir)
		closedir(dir);
	if (fd < 0) {
		struct termios t;

		fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (fd >= 0 && !tcgetattr(fd, &t)) {
			cfmakeraw(&t);
			cfsetspeed(&t, B115200);
			tcsetattr(fd, TCSANOW, &t);
		}
		note("channel: serial line, the kernel has no virtio console\n");
	}
	return fd;
}

static void tell_kernel(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			note("%s: %s\n", path, strerror(errno));
		close(fd);
	}
}

// An operation that never returns: leave in the console what the kernel is doing.
static void report_hang(pid_t pid)
{
	char path[64], stack[4096];
	int fd, n;

	tell_kernel("/dev/kmsg", "<2>vfiospec: the operation under way is past its deadline\n");
	snprintf(path, sizeof(path), "/proc/%d/stack", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd >= 0 ? read(fd, stack, sizeof(stack) - 1) : -1;
	if (n > 0) {
		stack[n] = 0;
		for (char *line = strtok(stack, "\n"); line; line = strtok(NULL, "\n")) {
			char text[300];

			snprintf(text, sizeof(text), "<2>vfiospec: stuck in %s\n", line);
			tell_kernel("/dev/kmsg", text);
		}
	}
	close(fd);
	tell_kernel("/proc/sys/kernel/printk", "7\n");
	tell_kernel("/proc/sysrq-trigger", "w");
	tell_kernel("/proc/sysrq-trigger", "l");
}

static char *text_of(const char *path, size_t *size)
{
	static char buf[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, buf, sizeof(buf) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (n < 0)
		return NULL;
	buf[n] = 0;
	*size = n;
	return buf;
}

static void share(const char *tag, const char *at, unsigned long flags)
{
	const char *options = "trans=virtio,version=9p2000.L,msize=262144";

	if (mount(tag, at, "9p", flags, options))
		fprintf(stderr, "vfiospec: cannot mount %s at %s: %s\n", tag, at, strerror(errno));
}

// /guest.argv, if it is there: a program of the host's to run in place of the executor, with the
// host's files below it and the channel as its input and output. /guest.work: a folder of the
// host's that it may write to.
static void run_guest_program(int channel)
{
	static const char *const trees[] = { "/dev", "/proc", "/sys" };
	char *argv[64] = { 0 }, *env[] = { "PATH=/usr/bin:/bin:/usr/sbin:/sbin", "HOME=/", NULL };
	char path[PATH_MAX], *text;
	size_t size;
	int n = 0;

	mkdir("/host", 0755);
	share("host", "/host", MS_RDONLY);
	text = text_of("/guest.work", &size);
	if (text && size) {
		snprintf(path, sizeof(path), "/host%s", text);
		share("work", path, 0);
	}
	for (int i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "/host%s", trees[i]);
		mount(trees[i], path, NULL, MS_BIND | MS_REC, NULL);
	}
	text = text_of("/guest.argv", &size);
	for (char *p = text; p && p < text + size && n < 63; p += strlen(p) + 1)
		argv[n++] = p;
	dup2(channel, 0);
	dup2(channel, 1);
	if (chroot("/host") || chdir("/"))
		fprintf(stderr, "vfiospec: chroot: %s\n", strerror(errno));
	execve(argv[0], argv, env);
	fprintf(stderr, "vfiospec: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

int init(void)
{
	const char *text = getenv("vfiospec_deadline_ms");
	int64_t deadline = text ? atoll(text) : 10000, reported = 0;
	struct timespec second = { 1, 0 };
	int channel, status = 0;
	pid_t pid;

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mkdir("/tmp", 01777);
	if (mount("dev", "/dev", "devtmpfs", 0, ""))
		note("devtmpfs: %s\n", strerror(errno));
	mount("proc", "/proc", "proc", 0, "");
	mount("sys", "/sys", "sysfs", 0, "");
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, "");
	mkdir("/dev/hugepages", 0755);
	mount("hugetlbfs", "/dev/hugepages", "hugetlbfs", 0, "");
	load_modules();
	channel = open_channel();
	if (channel < 0) {
		fprintf(stderr, "vfiospec: no channel to the host: %s\n", strerror(errno));
		sleep(1);
		reboot(RB_POWER_OFF);
	}
	busy_since = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	// A program that is run in place of the executor is one operation, if it has a deadline at all.
	text = getenv("vfiospec_program_ms");
	if (text && access("/guest.argv", R_OK) == 0) {
		deadline = atoll(text);
		*busy_since = now_ms();
	}
	pid = fork();
	if (pid == 0) {
		setsid();
		if (access("/guest.argv", R_OK) == 0)
			run_guest_program(channel);
		_exit(hello(channel, notes) ? serve(channel, channel) : 5);
	}
	close(channel);
	for (;;) {
		pid_t got = waitpid(-1, &status, WNOHANG);

		if (got == pid)
			break;
		if (*busy_since && now_ms() - *busy_since > deadline && *busy_since != reported) {
			reported = *busy_since;
			report_hang(pid);
		}
		if (got <= 0)
			nanosleep(&second, NULL);
	}
	if (status)
		fprintf(stderr, "vfiospec: the executor ended with status %#x\n", status);
	sync();
	reboot(RB_POWER_OFF);
	return 0;
}
