// SPDX-License-Identifier: MIT
/*
 * BUG: unable to handle page fault Read in vfio_pci_ioeventfd
 * Made from BUG: unable to handle page fault Read in vfio_pci_ioeventfd.
 *
 * Seen on Linux 6.1.0-56-amd64.
 *
 * Build: gcc -static -Wall -Werror -pthread -o reproducer reproducer.c
 * Run, as root, where vfio-pci is loaded: ./reproducer E1000E
 * Each argument is the PCI address of a device that nothing else uses:
 *   e1000e, which was at 0000:00:14.0
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

/* As in the kernel's own headers, which may be newer than this system's. */
#define VFIO_GROUP_SET_CONTAINER 0x3b68
#define VFIO_SET_IOMMU 0x3b66
#define VFIO_TYPE1_IOMMU 1
#define VFIO_GROUP_GET_DEVICE_FD 0x3b6a
#define VFIO_DEVICE_IOEVENTFD_32 4
#define VFIO_DEVICE_IOEVENTFD 0x3b74

struct vfio_device_ioeventfd {
	__u32 argsz;
	__u32 flags;
	__u64 offset;
	__u64 data;
	__s32 fd;
	__u32 reserved;
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
static int event_3 = -1;
static int container_5 = -1;
static int group_6 = -1;
static int device_7 = -1;

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "usage: %s E1000E, each a PCI address\n", argv[0]);
		return 2;
	}
	bdf_e1000e = argv[1];
	bind_to_vfio(bdf_e1000e);
	setvbuf(stdout, NULL, _IOLBF, 0);

	answer("eventfd", keep(&event_3, eventfd(0, 0))); /* done */
	answer("open /dev/vfio/vfio", keep(&container_5, open("/dev/vfio/vfio", O_RDONLY))); /* done */
	answer("open /dev/vfio/2", keep(&group_6, open(group_of(bdf_e1000e), O_RDONLY))); /* done */
	{
		int *arg = buffer(sizeof(*arg));

		*arg = container_5;
		answer("VFIO_GROUP_SET_CONTAINER", ioctl(group_6, VFIO_GROUP_SET_CONTAINER, arg)); /* 0 */
		look_outside();
	}
	answer("VFIO_SET_IOMMU", ioctl(container_5, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)); /* 0 */
	{
		char *arg = buffer(13);

		strncpy(arg, bdf_e1000e, 13);
		answer("VFIO_GROUP_GET_DEVICE_FD", keep(&device_7, ioctl(group_6, VFIO_GROUP_GET_DEVICE_FD, arg))); /* done */
		look_outside();
	}
	{
		struct vfio_device_ioeventfd *arg = buffer(sizeof(*arg));

		*arg = (struct vfio_device_ioeventfd){
			.argsz = 32,
			.flags = VFIO_DEVICE_IOEVENTFD_32,
			.offset = 0x8000000000000000ULL,
			.fd = event_3,
		};
		answer("VFIO_DEVICE_IOEVENTFD", ioctl(device_7, VFIO_DEVICE_IOEVENTFD, arg)); /* no answer: lost here */
		look_outside();
	}
	printf("reproducer: all calls were made\n");
	return 0;
}
