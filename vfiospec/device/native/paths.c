// SPDX-License-Identifier: MIT
//
// Operations on files and folders by their path.

#define _GNU_SOURCE
#include "ops.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void op_read_file(struct reader *r, struct result *res)
{
	char *path = get_str(r);
	uint64_t limit = get_int(r), have = 0;
	uint8_t *buf = arena();
	int fd = -1;

	if (limit > SCRATCH)
		limit = SCRATCH;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	free(path);
	done(res, fd);
	if (fd < 0)
		return;
	while (have < limit) {
		ssize_t n = read(fd, buf + have, limit - have);

		if (n <= 0) {
			if (n < 0 && !have) {
				done(res, -1);
				close(fd);
				return;
			}
			break;
		}
		have += n;
	}
	close(fd);
	res->ret = have;
	res->err = 0;
	give(res, buf, have);
}

void op_write_file(struct reader *r, struct result *res)
{
	char *path = get_str(r);
	size_t len;
	const uint8_t *data = get_blob(r, &len);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	free(path);
	done(res, fd);
	if (fd < 0)
		return;
	done(res, write(fd, data, len));
	close(fd);
}

void op_list_dir(struct reader *r, struct result *res)
{
	char *path = get_str(r);
	DIR *dir = opendir(path);
	struct dirent *entry;
	uint8_t *buf = arena();
	size_t have = 0;

	free(path);
	done(res, dir ? 0 : -1);
	if (!dir)
		return;
	while ((entry = readdir(dir))) {
		size_t n = strlen(entry->d_name) + 1;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") || have + n > SCRATCH)
			continue;
		memcpy(buf + have, entry->d_name, n);
		have += n;
	}
	closedir(dir);
	give(res, buf, have);
}

void op_read_link(struct reader *r, struct result *res)
{
	char *path = get_str(r);
	uint8_t *buf = arena();

	done(res, readlink(path, (char *)buf, PATH_MAX));
	free(path);
	if (res->ret >= 0)
		give(res, buf, res->ret);
}
