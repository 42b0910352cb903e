// SPDX-License-Identifier: MIT
/*
 * UBSAN: shift-out-of-bounds in vfio_iommu_type1_ioctl
 * Made from UBSAN: shift-out-of-bounds in vfio_iommu_type1_ioctl.
 *
 * Seen on Linux 7.3.4-fuzz.
 *
 * Build: gcc -static -Wall -Werror -pthread -o reproducer reproducer.c
 * Run, as root, where vfio-pci is loaded: ./reproducer E1000E TESTDEV SDHCI RTL8139
 * Each argument is the PCI address of a device that nothing else uses:
 *   e1000e, which was at 0000:00:14.0
 *   testdev, which was at 0000:00:18.0
 *   sdhci, which was at 0000:00:17.0
 *   rtl8139, which was at 0000:00:16.0
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
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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
#define VFIO_PCI_CONFIG_REGION_INDEX 7
#define VFIO_GROUP_GET_STATUS 0x3b67
#define VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP 4
#define VFIO_IOMMU_DIRTY_PAGES 0x3b75
#define VFIO_IOMMU_UNMAP_DMA 0x3b72
#define VFIO_CHECK_EXTENSION 0x3b65
#define VFIO_SPAPR_TCE_IOMMU 2

struct vfio_group_status {
	__u32 argsz;
	__u32 flags;
};

struct vfio_iommu_type1_dirty_bitmap {
	__u32 argsz;
	__u32 flags;
};

struct vfio_iommu_type1_dma_unmap {
	__u32 argsz;
	__u32 flags;
	__u64 iova;
	__u64 size;
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

struct memory {
	unsigned char *base;
	void *whole;
	size_t size;
};

static void *at(const struct memory *memory, long long offset)
{
	return (void *)((unsigned long)memory->base + (unsigned long)offset);
}

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

static const char *group_of(const char *bdf)
{
	const char *number = link_of(path("/sys/bus/pci/devices/%s/iommu_group", bdf));
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

static long read_file(const char *name)
{
	char text[4096];
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : read(fd, text, sizeof(text));
	int error = errno;

	if (n > 0)
		printf("  %.*s\n", (int)n, text);
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

/* Give a device to vfio-pci, with all that the IOMMU cannot tell from it. */
static void bind_to_vfio(const char *bdf)
{
	DIR *group = opendir(path("/sys/bus/pci/devices/%s/iommu_group/devices", bdf));
	struct dirent *entry;

	if (!group) {
		fprintf(stderr, "%s: no such device, or in no IOMMU group (intel_iommu=on?)\n", bdf);
		exit(2);
	}
	while ((entry = readdir(group))) {
		const char *base = path("/sys/bus/pci/devices/%s", entry->d_name);
		char class[16] = "";
		int fd = open(path("%s/class", base), O_RDONLY);

		if (fd < 0)
			continue;
		if (read(fd, class, sizeof(class) - 1) < 0 || !strncmp(class, "0x0604", 6)) {
			close(fd); /* bridges stay with their driver */
			continue;
		}
		close(fd);
		if (!strcmp(link_of(path("%s/driver", base)), "vfio-pci"))
			continue;
		write_file(path("%s/driver_override", base), "vfio-pci", 8);
		write_file(path("%s/driver/unbind", base), entry->d_name, strlen(entry->d_name));
		write_file("/sys/bus/pci/drivers_probe", entry->d_name, strlen(entry->d_name));
		if (strcmp(link_of(path("%s/driver", base)), "vfio-pci")) {
			fprintf(stderr, "%s: vfio-pci does not take it; modprobe vfio-pci\n", entry->d_name);
			exit(2);
		}
	}
	closedir(group);
}

static const char *bdf_e1000e; /* e1000e */
static const char *bdf_testdev; /* testdev */
static const char *bdf_sdhci; /* sdhci */
static const char *bdf_rtl8139; /* rtl8139 */
static int event_3 = -1;
static int event_4 = -1;
static int container_5 = -1;
static int group_6 = -1;
static int device_7 = -1;
static int group_16384 = -1;
static int device_16385 = -1;
static struct memory memory_1;
static struct memory memory_2;

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: %s E1000E TESTDEV SDHCI RTL8139, each a PCI address\n", argv[0]);
		return 2;
	}
	bdf_e1000e = argv[1];
	bind_to_vfio(bdf_e1000e);
	bdf_testdev = argv[2];
	bind_to_vfio(bdf_testdev);
	bdf_sdhci = argv[3];
	bind_to_vfio(bdf_sdhci);
	bdf_rtl8139 = argv[4];
	bind_to_vfio(bdf_rtl8139);
	setvbuf(stdout, NULL, _IOLBF, 0);

	answer("allocate", allocate(&memory_1, 0x40000, ANONYMOUS, 0xa5, 1)); /* done */
	answer("allocate", allocate(&memory_2, 0x1000, ANONYMOUS, 0, 1)); /* done */
	answer("eventfd", keep(&event_3, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))); /* done */
	answer("eventfd", keep(&event_4, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))); /* done */
	answer("open /dev/vfio/vfio", keep(&container_5, open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC))); /* done */
	answer("open /dev/vfio/2", keep(&group_6, open(group_of(bdf_e1000e), O_RDWR | O_CLOEXEC))); /* done */
	{
		int *arg = buffer(sizeof(*arg));

		*arg = container_5;
		answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_6, VFIO_GROUP_SET_CONTAINER, arg)); /* 0 */
		look_outside();
	}
	answer("VFIO_SET_IOMMU", ioctl(container_5, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)); /* 0 */
	{
		char *arg = buffer(13);

		strncpy(arg, bdf_e1000e, 13);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_7, ioctl(group_6, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	{
		unsigned char *arg = buffer(256);

		answer("pread device_7 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0)", pread(device_7, arg, 0x100, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0))); /* 256 */
		show(arg, 64);
		look_outside();
	}
	{
		unsigned char *arg = buffer(2);

		memcpy(arg, "\x07\x01", 2);
		answer("pwrite device_7 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4)", pwrite(device_7, arg, 2, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4))); /* 2 */
		look_outside();
	}
	answer("list /sys/bus/pci/devices/0000:00:18.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_testdev))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:17.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_sdhci))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:16.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_rtl8139))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:14.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_e1000e))); /* 0 */
	{
		struct vfio_group_status *arg = buffer(sizeof(*arg));

		*arg = (struct vfio_group_status){
			.argsz = 8,
			.flags = 0x80000000U,
		};
		answer("VFIO_GROUP_GET_STATUS", ioctl(group_6, VFIO_GROUP_GET_STATUS, arg)); /* no answer: lost here */
		look_outside();
	}
	answer("open /dev/vfio/4", keep(&group_16384, open(group_of(bdf_rtl8139), O_RDONLY | O_CLOEXEC)));
	answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_16385, ioctl(group_16384, VFIO_GROUP_GET_DEVICE_FD, 0)));
	answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_16384, VFIO_GROUP_SET_CONTAINER, 0));
	{
		struct vfio_iommu_type1_dirty_bitmap *arg = buffer(sizeof(*arg) + 40);

		*arg = (struct vfio_iommu_type1_dirty_bitmap){
			.argsz = 48,
			.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		};
		memcpy((unsigned char *)arg + 8, "\x00\x00\x10\x00\x00\x00\x00\x00\x00\x10", 10);
		memcpy((unsigned char *)arg + 35, "\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 13);
		*(__u64 *)((unsigned char *)arg + 40) = (unsigned long)at(&memory_1, 0);
		answer("VFIO_IOMMU_DIRTY_PAGES", ioctl(container_5, VFIO_IOMMU_DIRTY_PAGES, arg));
		look_outside();
	}
	{
		struct vfio_iommu_type1_dma_unmap *arg = buffer(sizeof(*arg));

		*arg = (struct vfio_iommu_type1_dma_unmap){
			.argsz = 24,
			.iova = 0xfffffffffffff000ULL,
			.size = 0x800,
		};
		answer("VFIO_IOMMU_UNMAP_DMA", ioctl(container_5, VFIO_IOMMU_UNMAP_DMA, arg));
		look_outside();
	}
	answer("VFIO_CHECK_EXTENSION", ioctl(container_5, VFIO_CHECK_EXTENSION, VFIO_SPAPR_TCE_IOMMU));
	answer("read /proc/sys/kernel/tainted", read_file("/proc/sys/kernel/tainted"));
	printf("reproducer: all calls were made\n");
	return 0;
}
