// SPDX-License-Identifier: MIT
/*
 * UBSAN: array-index-out-of-bounds in mdev_access
 * Made from UBSAN: array-index-out-of-bounds in mdev_access.
 *
 * Seen on Linux 7.3.4-fuzz.
 *
 * Build: gcc -static -Wall -Werror -pthread -o reproducer reproducer.c
 * Run, as root, where vfio-pci is loaded: ./reproducer
 * It needs no device.
 *
 * The comments beside the calls are the answers that were seen.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A place in a region of a PCI device, as an offset of its fd. */
#define REGION(index, offset) (((unsigned long long)(index) << 40) + (offset))

/* As in the kernel's own headers, which may be newer than this system's. */
#define VFIO_GROUP_SET_CONTAINER 0x3b68
#define VFIO_SET_IOMMU 0x3b66
#define VFIO_TYPE1v2_IOMMU 3
#define VFIO_GROUP_GET_DEVICE_FD 0x3b6a
#define VFIO_PCI_BAR3_REGION_INDEX 3

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

static int container_17 = -1;
static int group_18 = -1;
static int device_19 = -1;

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);

	answer("write /sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", write_file("/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create", "8e680118-a73f-58e6-9e1a-c4acf6720ba5", 36)); /* 36 */
	answer("open /dev/vfio/vfio", keep(&container_17, open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC))); /* done */
	answer("open /dev/vfio/15", keep(&group_18, open(group_of("8e680118-a73f-58e6-9e1a-c4acf6720ba5"), O_RDWR | O_CLOEXEC))); /* done */
	{
		int *arg = buffer(sizeof(*arg));

		*arg = container_17;
		answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_18, VFIO_GROUP_SET_CONTAINER, arg)); /* 0 */
		look_outside();
	}
	answer("VFIO_SET_IOMMU", ioctl(container_17, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)); /* 0 */
	{
		unsigned char *arg = buffer(37);

		memcpy(arg, "\x38\x65\x36\x38\x30\x31\x31\x38\x2d\x61\x37\x33\x66\x2d\x35\x38\x65\x36\x2d\x39\x65\x31\x61\x2d\x63\x34\x61\x63\x66\x36\x37\x32\x30\x62\x61\x35\x00", 37);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_19, ioctl(group_18, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	{
		unsigned char *arg = buffer(4097);

		answer("pread device_19 REGION(VFIO_PCI_BAR3_REGION_INDEX, 0)", pread(device_19, arg, 0x1001, REGION(VFIO_PCI_BAR3_REGION_INDEX, 0))); /* 4097 */
		show(arg, 64);
		look_outside();
	}
	printf("reproducer: all calls were made\n");
	return 0;
}
