// SPDX-License-Identifier: MIT
/*
 * BUG: NULL pointer dereference Read in mtty_set_state
 * Made from migration.resume.left-after-it-was-closed.running.
 *
 * Seen on Linux 7.3.4-conformance.
 *
 * Build: gcc -static -Wall -Werror -pthread -o reproducer reproducer.c
 * Run, as root, where vfio-pci is loaded: ./reproducer
 * It needs no device.
 *
 * The comments beside the calls are the answers that were seen.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* As in the kernel's own headers, which may be newer than this system's. */
#define VFIO_GROUP_SET_CONTAINER 0x3b68
#define VFIO_SET_IOMMU 0x3b66
#define VFIO_TYPE1v2_IOMMU 3
#define VFIO_GROUP_GET_DEVICE_FD 0x3b6a
#define VFIO_DEVICE_GET_INFO 0x3b6b
#define VFIO_DEVICE_FEATURE_SET 0x20000
#define VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE 2
#define VFIO_DEVICE_FEATURE 0x3b75

struct vfio_device_info {
	__u32 argsz;
	__u32 flags;
	__u32 num_regions;
	__u32 num_irqs;
	__u32 cap_offset;
	__u32 pad;
};

struct vfio_device_feature {
	__u32 argsz;
	__u32 flags;
};

static long answer(const char *call, long result)
{
	if (result == -1)
		printf("%s -> %s\n", call, strerror(errno));
	else
		printf("%s -> %#lx\n", call, result);
	return result;
}

/* The argument of one call, between two zones that the kernel has no business in. */
#define WATCHED 256
#define LARGEST (1 << 20)
static __thread unsigned char *arena;
static __thread size_t in_use;

static void *buffer(size_t size)
{
	if (!arena)
		arena = mmap(NULL, 2 * WATCHED + LARGEST, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(arena, 0x5c, WATCHED);
	memset(arena + WATCHED, 0, size);
	memset(arena + WATCHED + size, 0x5c, WATCHED);
	in_use = size;
	return arena + WATCHED;
}

static void look_outside(void)
{
	for (size_t i = 0; i < 2 * WATCHED; i++) {
		long place = i < WATCHED ? (long)i - WATCHED : (long)(in_use + i - WATCHED);

		if (arena[WATCHED + place] != 0x5c)
			printf("  THE KERNEL WROTE OUTSIDE: byte %ld of %zu is %#x\n",
			       place, in_use, arena[WATCHED + place]);
	}
}

static void show(const void *data, size_t size)
{
	const unsigned char *byte = data;

	for (size_t i = 0; i < size; i++)
		printf("%s%02x%s", i % 16 ? " " : "  ", byte[i], i % 16 == 15 || i == size - 1 ? "\n" : "");
}

static int keep(int *file, int fd)
{
	if (fd >= 0 && *file >= 0)
		close(fd); /* the name is taken */
	else if (fd >= 0)
		*file = fd;
	return fd;
}

static int close_file(int *file)
{
	int fd = *file;

	*file = -1;
	return close(fd);
}

struct memory {
	unsigned char *base;
	void *whole;
	size_t size;
};

enum { ANONYMOUS, HUGE_PAGES, MEMFD, BELOW_4G };

static long allocate(struct memory *memory, size_t size, int kind, int fill, int fenced)
{
	size_t page = kind == HUGE_PAGES ? 2 << 20 : 4096, edge = fenced ? page : 0;
	int low = kind == BELOW_4G ? MAP_32BIT : 0, fd = -1;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | low | (kind == HUGE_PAGES ? MAP_HUGETLB : 0);
	unsigned char *p;

	size = (size + page - 1) / page * page;
	if (kind == MEMFD) {
		flags = MAP_SHARED;
		fd = memfd_create("reproducer", 0);
		if (fd < 0 || ftruncate(fd, size))
			return -1;
	}
	p = mmap(NULL, size + 2 * edge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | low, -1, 0);
	if (p != MAP_FAILED)
		p = mmap(p + edge, size, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0);
	if (fd >= 0)
		close(fd);
	if (p == MAP_FAILED)
		return -1;
	memset(p, fill, fill ? size : 0);
	*memory = (struct memory){ p, p - edge, size + 2 * edge };
	return (long)p;
}

static const char *path(const char *format, ...)
{
	static __thread char texts[16][512]; /* one is used while others are made */
	static __thread unsigned int next;
	char *text = texts[next++ % 16];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(texts[0]), format, arguments);
	va_end(arguments);
	return text;
}

static const char *link_of(const char *name)
{
	static __thread char text[512];
	ssize_t n = readlink(name, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = 0;
	return strrchr(text, '/') ? strrchr(text, '/') + 1 : text;
}

static const char *folder_of(const char *device)
{
	const char *pci = path("/sys/bus/pci/devices/%s", device);

	return access(pci, F_OK) ? path("/sys/bus/mdev/devices/%s", device) : pci;
}

static const char *group_of(const char *device)
{
	const char *number = link_of(path("%s/iommu_group", folder_of(device)));
	const char *plain = path("/dev/vfio/%s", number);

	return access(plain, F_OK) ? path("/dev/vfio/noiommu-%s", number) : plain;
}

static long write_file(const char *name, const void *data, size_t size)
{
	int fd = open(name, O_WRONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : write(fd, data, size);
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return n;
}

static long list_folder(const char *name)
{
	DIR *folder = opendir(name);
	struct dirent *entry;

	if (!folder)
		return -1;
	while ((entry = readdir(folder)))
		printf("  %s\n", entry->d_name);
	return closedir(folder);
}

/* A second process, which takes its turns when it is told to. */
struct process {
	pid_t pid;
	int channel;
};

static void wait_turn(int channel)
{
	char byte;

	if (read(channel, &byte, 1) != 1)
		_exit(0);
}

static void end_turn(int channel)
{
	if (write(channel, "", 1) != 1)
		_exit(0);
}

static long start(struct process *process, void (*turns)(int))
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return -1;
	process->pid = fork();
	if (process->pid == 0) {
		close(pair[0]);
		turns(pair[1]);
		wait_turn(pair[1]);
		_exit(0);
	}
	close(pair[1]);
	process->channel = pair[0];
	return process->pid;
}

static long turn(struct process *process)
{
	char byte;

	if (!process->pid)
		return -1; /* there is no such process */
	return write(process->channel, "", 1) == 1 && read(process->channel, &byte, 1) == 1 ? 0 : -1;
}

static int container_65538 = -1;
static int group_65539 = -1;
static int device_65540 = -1;
static struct memory memory_65537;
static struct process process_2;

static void turns_of_process_2(int channel);

static void turns_of_process_2(int channel)
{
	wait_turn(channel);
	answer("allocate", allocate(&memory_65537, 0x1000, ANONYMOUS, 0, 0)); /* done */
	end_turn(channel);
	wait_turn(channel);
	answer("open /dev/vfio/vfio", keep(&container_65538, open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC))); /* done */
	end_turn(channel);
	wait_turn(channel);
	answer("open /dev/vfio/15", keep(&group_65539, open(group_of("ba535b5d-5bdd-5e95-b301-2aef71a2ff04"), O_RDWR | O_CLOEXEC))); /* done */
	end_turn(channel);
	wait_turn(channel);
	{
		int *arg = buffer(sizeof(*arg));

		*arg = container_65538;
		answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_65539, VFIO_GROUP_SET_CONTAINER, arg)); /* 0 */
		look_outside();
	}
	end_turn(channel);
	wait_turn(channel);
	answer("VFIO_SET_IOMMU", ioctl(container_65538, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)); /* 0 */
	end_turn(channel);
	wait_turn(channel);
	{
		unsigned char *arg = buffer(37);

		memcpy(arg, "\x62\x61\x35\x33\x35\x62\x35\x64\x2d\x35\x62\x64\x64\x2d\x35\x65\x39\x35\x2d\x62\x33\x30\x31\x2d\x32\x61\x65\x66\x37\x31\x61\x32\x66\x66\x30\x34\x00", 37);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_65540, ioctl(group_65539, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	end_turn(channel);
	wait_turn(channel);
	{
		struct vfio_device_info *arg = buffer(sizeof(*arg) + 256);

		*arg = (struct vfio_device_info){
			.argsz = 24,
			.flags = 0xa5a5a5a5U,
			.num_regions = 0xa5a5a5a5U,
			.num_irqs = 0xa5a5a5a5U,
			.cap_offset = 0xa5a5a5a5U,
			.pad = 0xa5a5a5a5U,
		};
		memset((unsigned char *)arg + 24, 0xa5, 256);
		answer("VFIO_DEVICE_GET_INFO", ioctl(device_65540, VFIO_DEVICE_GET_INFO, arg)); /* 0 */
		show(arg, 64);
		look_outside();
	}
	end_turn(channel);
	wait_turn(channel);
	{
		struct vfio_device_feature *arg = buffer(sizeof(*arg) + 8);

		*arg = (struct vfio_device_feature){
			.argsz = 16,
			.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		};
		memcpy((unsigned char *)arg + 8, "\x04\x00\x00\x00\xa5\xa5\xa5\xa5", 8);
		answer("VFIO_DEVICE_FEATURE", ioctl(device_65540, VFIO_DEVICE_FEATURE, arg)); /* 0 */
		show(arg, 16);
		look_outside();
	}
	end_turn(channel);
	wait_turn(channel);
	answer("close device_65540", close_file(&device_65540)); /* 0 */
	end_turn(channel);
	wait_turn(channel);
	{
		unsigned char *arg = buffer(37);

		memcpy(arg, "\x62\x61\x35\x33\x35\x62\x35\x64\x2d\x35\x62\x64\x64\x2d\x35\x65\x39\x35\x2d\x62\x33\x30\x31\x2d\x32\x61\x65\x66\x37\x31\x61\x32\x66\x66\x30\x34\x00", 37);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_65540, ioctl(group_65539, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	end_turn(channel);
	wait_turn(channel);
	{
		struct vfio_device_feature *arg = buffer(sizeof(*arg) + 8);

		*arg = (struct vfio_device_feature){
			.argsz = 16,
			.flags = VFIO_DEVICE_FEATURE_SET | VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE,
		};
		memcpy((unsigned char *)arg + 8, "\x02\x00\x00\x00\xa5\xa5\xa5\xa5", 8);
		answer("VFIO_DEVICE_FEATURE", ioctl(device_65540, VFIO_DEVICE_FEATURE, arg)); /* no answer: lost here */
		look_outside();
	}
	end_turn(channel);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);

	answer("list /sys/class/mdev_bus/mtty/mdev_supported_types", list_folder("/sys/class/mdev_bus/mtty/mdev_supported_types")); /* 0 */
	answer("write /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", write_file("/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", "ba535b5d-5bdd-5e95-b301-2aef71a2ff04", 36)); /* 36 */
	answer("fork", start(&process_2, turns_of_process_2));
	answer("process 2", turn(&process_2));
	printf("readlink /sys/bus/mdev/devices/ba535b5d-5bdd-5e95-b301-2aef71a2ff04/iommu_group -> %s\n", link_of("/sys/bus/mdev/devices/ba535b5d-5bdd-5e95-b301-2aef71a2ff04/iommu_group"));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2));
	answer("process 2", turn(&process_2)); /* no answer: lost here */
	printf("reproducer: all calls were made\n");
	return 0;
}
