// SPDX-License-Identifier: MIT
//
// Second processes: fork, operations in them, files passed to them.

#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void release(struct handle *h)
{
	if (h->kind == FD || h->kind == PROCESS) {
		own_fd(h->fd, false);
		close(h->fd);
	} else if (h->kind == MAPPING) {
		munmap(h->whole, h->whole_size);
	}
	h->kind = UNSET;
}

int64_t release_from(uint32_t first)
{
	int64_t released = 0;

	for (uint32_t id = first; id < handles_made(); id++) {
		struct handle *h = slot(id);

		if (h->kind == UNSET)
			continue;
		if (h->kind == PROCESS) {
			kill(h->pid, SIGKILL);
			waitpid(h->pid, NULL, 0);
		}
		release(h);
		released++;
	}
	return released;
}

void op_fork(struct reader *r, struct result *res)
{
	uint32_t out = get_int(r);
	struct handle *h = slot(out);
	int pair[2];
	pid_t pid;

	if (!h || h->kind != UNSET) {
		fault(res, "handle %u is taken", out);
		return;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		done(res, -1);
		return;
	}
	pid = fork();
	if (pid == 0) {
		close(pair[0]);
		_exit(serve(pair[1], pair[1]));
	}
	close(pair[1]);
	done(res, pid);
	if (pid < 0) {
		close(pair[0]);
		return;
	}
	own_fd(pair[0], true);
	h->kind = PROCESS;
	h->fd = pair[0];
	h->pid = pid;
}

static __thread uint8_t *child_frame;

// Sends ops (an encoded array) to a child and returns its encoded array of replies.
static bool ask_child(struct result *res, struct handle *h, const uint8_t *ops, size_t len, int passed)
{
	struct writer w = { 0 };
	uint32_t size;
	struct reader answer;
	bool sent;

	put_array(&w, 2);
	put_int(&w, 0);
	put(&w, ops, len);
	size = w.len;
	sent = write_all(h->fd, &size, 4) && write_all(h->fd, w.buf, w.len);
	free(w.buf);
	if (sent && passed >= 0) {
		char byte = 0, control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct iovec iov = { &byte, 1 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
				      .msg_controllen = sizeof(control) };
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &passed, sizeof(int));
		sent = sendmsg(h->fd, &msg, 0) == 1;
	}
	if (!sent || !read_all(h->fd, &size, 4) || size > FRAME_MAX)
		return fault(res, "process %d is gone", h->pid);
	free(child_frame);
	child_frame = malloc(size);
	if (!child_frame || !read_all(h->fd, child_frame, size))
		return fault(res, "process %d is gone", h->pid);
	answer = (struct reader){ child_frame, child_frame + size, false };
	if (get_array(&answer) != 2)
		return fault(res, "process %d answered garbage", h->pid);
	get_int(&answer);
	res->parts = answer.at;
	res->parts_len = answer.end - answer.at;
	return true;
}

static struct handle *process(struct result *res, uint32_t id)
{
	struct handle *h = known(id, PROCESS);

	if (!h)
		fault(res, "handle %u is not a process", id);
	return h;
}

void op_in(struct reader *r, struct result *res)
{
	struct handle *h = process(res, get_int(r));
	const uint8_t *ops = r->at;

	skip(r, 0);
	if (h && !r->broken)
		ask_child(res, h, ops, r->at - ops, -1);
}

void op_send_fd(struct reader *r, struct result *res)
{
	struct handle *h = process(res, get_int(r));
	uint32_t id = get_int(r), out = get_int(r);
	struct writer w = { 0 };
	int fd = -1;

	if (!h || !fd_of(res, id, &fd) || r->broken)
		return;
	put_array(&w, 1);
	put_array(&w, 2);
	put_int(&w, 24);
	put_int(&w, out);
	ask_child(res, h, w.buf, w.len, fd);
	free(w.buf);
}

void op_receive_fd(struct reader *r, struct result *res, int channel)
{
	uint32_t out = get_int(r);
	char byte, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(channel, &msg, MSG_CMSG_CLOEXEC) == 1 && (c = CMSG_FIRSTHDR(&msg)) &&
	    c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(int));
	else
		errno = EBADMSG;
	keep_fd(res, out, fd);
}

void op_wait(struct reader *r, struct result *res)
{
	struct handle *h = process(res, get_int(r));
	int sig = get_int(r);
	int64_t timeout = get_int(r), end = now_ms() + timeout;
	struct timespec nap = { 0, 2000000 };
	int status;

	if (!h || r->broken)
		return;
	if (sig)
		kill(h->pid, sig);
	else
		shutdown(h->fd, SHUT_RDWR); // its loop ends with its channel
	for (;;) {
		pid_t got = waitpid(h->pid, &status, WNOHANG);

		if (got == h->pid) {
			res->ret = status;
			release(h);
			return;
		}
		if (got < 0 || now_ms() >= end)
			break;
		nanosleep(&nap, NULL); // poll for an exit: waitpid has no time limit
	}
	errno = ETIMEDOUT;
	done(res, -1);
}
