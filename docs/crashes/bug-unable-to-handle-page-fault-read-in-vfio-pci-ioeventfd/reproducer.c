// SPDX-License-Identifier: MIT
/*
 * BUG: unable to handle page fault Read in vfio_pci_ioeventfd
 * Made from BUG: unable to handle page fault Read in vfio_pci_ioeventfd.
 *
 * Seen on Linux 6.1.0-56-amd64.
 *
 * Build: gcc -static -Wall -Werror -pthread -o reproducer reproducer.c
 * Run, as root, where vfio-pci is loaded: ./reproducer E1000E EDU VIRTIO_RNG VGA TESTDEV SDHCI RTL8139
 * Each argument is the PCI address of a device that nothing else uses:
 *   e1000e, which was at 0000:00:14.0
 *   edu, which was at 0000:00:15.0
 *   virtio-rng, which was at 0000:00:1d.0
 *   vga, which was at 0000:00:1b.0
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
#define VFIO_DEVICE_ATTACH_IOMMUFD_PT 0x3b77
#define VFIO_DEVICE_IOEVENTFD_32 4
#define VFIO_DEVICE_IOEVENTFD 0x3b74
#define IOMMU_IOAS_ALLOC 0x3b81
#define IOMMU_IOAS_ALLOW_IOVAS 0x3b82
#define IOMMU_HW_QUEUE_ALLOC 0x3b94
#define VFIO_IOMMU_GET_INFO 0x3b70

struct vfio_device_attach_iommufd_pt {
	__u32 argsz;
	__u32 flags;
	__u32 pt_id;
	__u32 pasid;
};

struct vfio_device_ioeventfd {
	__u32 argsz;
	__u32 flags;
	__u64 offset;
	__u64 data;
	__s32 fd;
	__u32 reserved;
};

struct iommu_ioas_alloc {
	__u32 size;
	__u32 flags;
	__u32 out_ioas_id;
};

struct iommu_ioas_allow_iovas {
	__u32 size;
	__u32 ioas_id;
	__u32 num_iovas;
	__u32 __reserved;
	__u64 allowed_iovas;
};

struct iommu_hw_queue_alloc {
	__u32 size;
	__u32 flags;
	__u32 viommu_id;
	__u32 type;
	__u32 index;
	__u32 out_hw_queue_id;
	__u64 nesting_parent_iova;
	__u64 length;
};

struct vfio_iommu_type1_info {
	__u32 argsz;
	__u32 flags;
	__u64 iova_pgsizes;
	__u32 cap_offset;
	__u32 pad;
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
static const char *bdf_edu; /* edu */
static const char *bdf_virtio_rng; /* virtio-rng */
static const char *bdf_vga; /* vga */
static const char *bdf_testdev; /* testdev */
static const char *bdf_sdhci; /* sdhci */
static const char *bdf_rtl8139; /* rtl8139 */
static int event_3 = -1;
static int event_4 = -1;
static int container_5 = -1;
static int group_6 = -1;
static int device_7 = -1;
static int container_8 = -1;
static int group_9 = -1;
static int device_10 = -1;
static int container_11 = -1;
static int group_12 = -1;
static int device_13 = -1;
static int container_14 = -1;
static int group_15 = -1;
static int device_16 = -1;
static int iommufd_128 = -1;
static int iommufd_129 = -1;
static struct memory memory_1;
static struct memory memory_2;

int main(int argc, char **argv)
{
	if (argc != 8) {
		fprintf(stderr, "usage: %s E1000E EDU VIRTIO_RNG VGA TESTDEV SDHCI RTL8139, each a PCI address\n", argv[0]);
		return 2;
	}
	bdf_e1000e = argv[1];
	bind_to_vfio(bdf_e1000e);
	bdf_edu = argv[2];
	bind_to_vfio(bdf_edu);
	bdf_virtio_rng = argv[3];
	bind_to_vfio(bdf_virtio_rng);
	bdf_vga = argv[4];
	bind_to_vfio(bdf_vga);
	bdf_testdev = argv[5];
	bind_to_vfio(bdf_testdev);
	bdf_sdhci = argv[6];
	bind_to_vfio(bdf_sdhci);
	bdf_rtl8139 = argv[7];
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
	answer("open /dev/vfio/vfio", keep(&container_8, open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC))); /* done */
	answer("open /dev/vfio/3", keep(&group_9, open(group_of(bdf_edu), O_RDWR | O_CLOEXEC))); /* done */
	{
		int *arg = buffer(sizeof(*arg));

		*arg = container_8;
		answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_9, VFIO_GROUP_SET_CONTAINER, arg)); /* 0 */
		look_outside();
	}
	answer("VFIO_SET_IOMMU", ioctl(container_8, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)); /* 0 */
	{
		char *arg = buffer(13);

		strncpy(arg, bdf_edu, 13);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_10, ioctl(group_9, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	{
		unsigned char *arg = buffer(256);

		answer("pread device_10 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0)", pread(device_10, arg, 0x100, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0))); /* 256 */
		show(arg, 64);
		look_outside();
	}
	{
		unsigned char *arg = buffer(2);

		memcpy(arg, "\x07\x01", 2);
		answer("pwrite device_10 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4)", pwrite(device_10, arg, 2, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4))); /* 2 */
		look_outside();
	}
	answer("open /dev/vfio/vfio", keep(&container_11, open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC))); /* done */
	answer("open /dev/vfio/11", keep(&group_12, open(group_of(bdf_virtio_rng), O_RDWR | O_CLOEXEC))); /* done */
	{
		int *arg = buffer(sizeof(*arg));

		*arg = container_11;
		answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_12, VFIO_GROUP_SET_CONTAINER, arg)); /* 0 */
		look_outside();
	}
	answer("VFIO_SET_IOMMU", ioctl(container_11, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)); /* 0 */
	{
		char *arg = buffer(13);

		strncpy(arg, bdf_virtio_rng, 13);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_13, ioctl(group_12, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	{
		unsigned char *arg = buffer(256);

		answer("pread device_13 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0)", pread(device_13, arg, 0x100, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0))); /* 256 */
		show(arg, 64);
		look_outside();
	}
	{
		unsigned char *arg = buffer(2);

		memcpy(arg, "\x07\x01", 2);
		answer("pwrite device_13 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4)", pwrite(device_13, arg, 2, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4))); /* 2 */
		look_outside();
	}
	answer("open /dev/vfio/vfio", keep(&container_14, open("/dev/vfio/vfio", O_RDWR | O_CLOEXEC))); /* done */
	answer("open /dev/vfio/9", keep(&group_15, open(group_of(bdf_vga), O_RDWR | O_CLOEXEC))); /* done */
	{
		int *arg = buffer(sizeof(*arg));

		*arg = container_14;
		answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_15, VFIO_GROUP_SET_CONTAINER, arg)); /* 0 */
		look_outside();
	}
	answer("VFIO_SET_IOMMU", ioctl(container_14, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)); /* 0 */
	{
		char *arg = buffer(13);

		strncpy(arg, bdf_vga, 13);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_16, ioctl(group_15, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	{
		unsigned char *arg = buffer(256);

		answer("pread device_16 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0)", pread(device_16, arg, 0x100, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 0))); /* 256 */
		show(arg, 64);
		look_outside();
	}
	{
		unsigned char *arg = buffer(2);

		memcpy(arg, "\x07\x01", 2);
		answer("pwrite device_16 REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4)", pwrite(device_16, arg, 2, REGION(VFIO_PCI_CONFIG_REGION_INDEX, 4))); /* 2 */
		look_outside();
	}
	answer("list /sys/bus/pci/devices/0000:00:18.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_testdev))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:17.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_sdhci))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:16.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_rtl8139))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:14.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_e1000e))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:15.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_edu))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:1d.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_virtio_rng))); /* 0 */
	answer("list /sys/bus/pci/devices/0000:00:1b.0/vfio-dev", list_folder(path("/sys/bus/pci/devices/%s/vfio-dev", bdf_vga))); /* 0 */
	{
		struct vfio_device_attach_iommufd_pt *arg = buffer(sizeof(*arg));

		*arg = (struct vfio_device_attach_iommufd_pt){
			.argsz = 16,
			.pt_id = 0x100,
		};
		answer("VFIO_DEVICE_ATTACH_IOMMUFD_PT", ioctl(device_16, VFIO_DEVICE_ATTACH_IOMMUFD_PT, arg)); /* no answer: lost here */
		look_outside();
	}
	answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_15, VFIO_GROUP_SET_CONTAINER, at(&memory_2, 0xf00)));
	{
		struct vfio_device_ioeventfd *arg = buffer(sizeof(*arg));

		*arg = (struct vfio_device_ioeventfd){
			.argsz = 32,
			.flags = VFIO_DEVICE_IOEVENTFD_32,
			.offset = 0x8000000000000000ULL,
			.fd = event_3,
		};
		answer("VFIO_DEVICE_IOEVENTFD", ioctl(device_7, VFIO_DEVICE_IOEVENTFD, arg));
		look_outside();
	}
	answer("open /dev/iommu", keep(&iommufd_128, open("/dev/iommu", O_RDWR | O_CLOEXEC)));
	{
		struct iommu_ioas_alloc *arg = buffer(sizeof(*arg));

		*arg = (struct iommu_ioas_alloc){
			.size = 12,
		};
		answer("IOMMU_IOAS_ALLOC", ioctl(iommufd_128, IOMMU_IOAS_ALLOC, arg));
		look_outside();
	}
	{
		struct iommu_ioas_allow_iovas *arg = buffer(sizeof(*arg));

		*arg = (struct iommu_ioas_allow_iovas){
			.size = 20,
			.ioas_id = 1,
			.num_iovas = 1,
			.allowed_iovas = (unsigned long)at(&memory_1, 0),
		};
		answer("IOMMU_IOAS_ALLOW_IOVAS", ioctl(iommufd_128, IOMMU_IOAS_ALLOW_IOVAS, arg));
		look_outside();
	}
	{
		struct iommu_ioas_alloc *arg = buffer(sizeof(*arg) + 256);

		*arg = (struct iommu_ioas_alloc){
			.size = 0x10c,
			.flags = 0xffffffffU,
		};
		answer("IOMMU_IOAS_ALLOC", ioctl(iommufd_128, IOMMU_IOAS_ALLOC, arg));
		look_outside();
	}
	answer("open /dev/iommu", keep(&iommufd_129, open("/dev/iommu", O_RDONLY | O_CLOEXEC)));
	{
		struct iommu_hw_queue_alloc *arg = buffer(sizeof(*arg));

		*arg = (struct iommu_hw_queue_alloc){
			.size = 4,
			.flags = 0x80000000U,
			.nesting_parent_iova = 0x100000,
			.length = 0x1000,
		};
		answer("IOMMU_HW_QUEUE_ALLOC", ioctl(iommufd_129, IOMMU_HW_QUEUE_ALLOC, arg));
		look_outside();
	}
	{
		struct vfio_iommu_type1_info *arg = buffer(sizeof(*arg) + 8);

		*arg = (struct vfio_iommu_type1_info){
			.argsz = 32,
			.flags = 0xffffffffU,
			.iova_pgsizes = 0x100000,
			.cap_offset = 3,
		};
		answer("VFIO_IOMMU_GET_INFO", ioctl(container_8, VFIO_IOMMU_GET_INFO, arg));
		look_outside();
	}
	answer("read /proc/sys/kernel/tainted", read_file("/proc/sys/kernel/tainted"));
	printf("reproducer: all calls were made\n");
	return 0;
}
