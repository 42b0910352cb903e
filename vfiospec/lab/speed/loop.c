// SPDX-License-Identifier: MIT
//
// How fast VFIO_DEVICE_GET_INFO can be called at all: the device fd and a number of seconds as
// arguments, calls a second as output.

#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct vfio_device_info info = { .argsz = sizeof(info) };
	int fd = argc > 2 ? atoi(argv[1]) : -1;
	double seconds = argc > 2 ? atof(argv[2]) : 0, begin = now();
	long calls = 0;

	do {
		for (int i = 0; i < 1000; i++, calls++)
			if (ioctl(fd, VFIO_DEVICE_GET_INFO, &info))
				return 1;
	} while (now() - begin < seconds);
	printf("%.0f\n", calls / (now() - begin));
	return 0;
}
