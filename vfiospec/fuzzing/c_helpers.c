// SPDX-License-Identifier: MIT
//
// What reproducers are made of beside their calls: each takes along the pieces it uses. A piece
// ends at a blank line outside of braces.

static long answer(const char *call, long result)
{
	if (result == -1)
		printf("%s -> %s\n", call, strerror(errno));
	else
		printf("%s -> %#lx\n", call, result);
	return result;
}

static void ignore(long result)
{
	(void)result;
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

static void *at(const struct memory *memory, long long offset)
{
	return (void *)((unsigned long)memory->base + (unsigned long)offset);
}

static long map(struct memory *memory, int fd, size_t length, int prot, int flags, off_t offset)
{
	void *p = mmap(NULL, length, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return -1;
	if (memory->base) {
		munmap(p, length); /* the name is taken */
		return 0;
	}
	*memory = (struct memory){ p, p, length };
	return (long)p;
}

static long unmap(struct memory *memory)
{
	void *whole = memory->whole;
	size_t size = memory->size;

	*memory = (struct memory){ NULL, NULL, 0 };
	return munmap(whole, size);
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

static __thread sigjmp_buf escape;
static __thread volatile int guarded;

static void on_fault(int number)
{
	if (guarded)
		siglongjmp(escape, number);
	signal(number, SIG_DFL);
}

static long touch(volatile void *p, int width, const unsigned long long *written)
{
	unsigned long long value = 0;
	int number;

	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	number = sigsetjmp(escape, 1);
	guarded = !number;
	if (number) {
		printf("  %s\n", strsignal(number));
		errno = EFAULT;
		return -1;
	}
	if (written && width == 1)
		*(volatile __u8 *)p = *written;
	else if (written && width == 2)
		*(volatile __u16 *)p = *written;
	else if (written && width == 4)
		*(volatile __u32 *)p = *written;
	else if (written)
		*(volatile __u64 *)p = *written;
	else if (width == 1)
		value = *(volatile __u8 *)p;
	else if (width == 2)
		value = *(volatile __u16 *)p;
	else if (width == 4)
		value = *(volatile __u32 *)p;
	else
		value = *(volatile __u64 *)p;
	guarded = 0;
	return value;
}

static long load(volatile void *p, int width)
{
	return touch(p, width, NULL);
}

static long store(volatile void *p, int width, unsigned long long value)
{
	return touch(p, width, &value);
}

static long copy(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		const unsigned char *source = (const unsigned char *)from + i;
		unsigned long long byte;

		if (touch((void *)source, 1, NULL) == -1)
			return -1;
		byte = *source;
		if (touch((unsigned char *)to + i, 1, &byte) == -1)
			return -1;
	}
	return 0;
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

static const char *cdev_of(const char *device)
{
	const char *found = "/dev/vfio/devices/none";
	DIR *folder = opendir(path("%s/vfio-dev", folder_of(device)));
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (entry->d_name[0] != '.')
			found = path("/dev/vfio/devices/%s", entry->d_name);
	if (folder)
		closedir(folder);
	return found;
}

/* The nth allocation or copy of one call fails, where the kernel can (CONFIG_FAULT_INJECTION). */
static void fail_at(int nth)
{
	static __thread int control;
	char text[16];
	int size = snprintf(text, sizeof(text), "%d", nth);

	if (!control)
		control = open("/proc/thread-self/fail-nth", O_WRONLY | O_CLOEXEC);
	while (pwrite(control, text, size, 0) < 0 && errno == EFAULT && !nth)
		;
}
#define FAILING(nth, call)            \
	({                            \
		fail_at(nth);         \
		long made_ = (call);  \
		int error_ = errno;   \
		fail_at(0);           \
		errno = error_;       \
		made_;                \
	})

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

static long drain(int fd)
{
	char text[8192];
	long n, all = 0;

	while ((n = read(fd, text, sizeof(text))) > 0 || (n < 0 && errno == EPIPE))
		all += n > 0 ? n : 0;
	return all;
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

static long pass(struct process *process, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec one = { &byte, 1 };
	struct msghdr message = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	if (!process->pid)
		return -1;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(int));
	if (write(process->channel, "", 1) != 1 || sendmsg(process->channel, &message, 0) != 1)
		return -1;
	return read(process->channel, &byte, 1) == 1 ? 0 : -1;
}

static int received(int channel)
{
	char byte, control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec one = { &byte, 1 };
	struct msghdr message = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *head;
	int fd = -1;

	if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) == 1 && (head = CMSG_FIRSTHDR(&message)))
		memcpy(&fd, CMSG_DATA(head), sizeof(int));
	return fd;
}

static long finish(struct process *process, int number)
{
	int status = -1;

	if (!process->pid)
		return -1;
	if (number)
		kill(process->pid, number);
	else
		shutdown(process->channel, SHUT_RDWR);
	for (int i = 0; i < 2500; i++) {
		if (waitpid(process->pid, &status, WNOHANG)) {
			close(process->channel);
			return status;
		}
		usleep(2000);
	}
	errno = ETIMEDOUT;
	return -1;
}

/* ioctl(2) as a 32-bit program makes it; int $0x80 serves 64-bit ones just as well. */
static long ioctl32(int fd, unsigned int request, unsigned int argument)
{
	long result = 54;

	__asm__ volatile("int $0x80"
			 : "+a"(result)
			 : "b"((long)fd), "c"((long)request), "d"((long)argument)
			 : "memory", "cc", "r8", "r9", "r10", "r11");
	errno = -(int)result;
	return (int)result < 0 && (int)result > -4096 ? -1 : (int)result;
}

static pthread_barrier_t barrier;

static void race(void *(*const *programs)(void *), int count)
{
	pthread_t threads[16];

	pthread_barrier_init(&barrier, NULL, count);
	for (int i = 0; i < count; i++)
		pthread_create(&threads[i], NULL, programs[i], NULL);
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	pthread_barrier_destroy(&barrier);
}
