// SPDX-License-Identifier: MIT
//
// The operations. Their fields are declared in vfiospec/device/ops.py, in this order.

#pragma once
#include "world.h"

void op_open(struct reader *r, struct result *res);
void op_close(struct reader *r, struct result *res);
void op_dup(struct reader *r, struct result *res);
void op_ioctl(struct reader *r, struct result *res);
void op_pread(struct reader *r, struct result *res);
void op_pwrite(struct reader *r, struct result *res);
void op_mmap(struct reader *r, struct result *res);
void op_munmap(struct reader *r, struct result *res);
void op_load(struct reader *r, struct result *res);
void op_store(struct reader *r, struct result *res);
void op_alloc(struct reader *r, struct result *res);
void op_peek(struct reader *r, struct result *res);
void op_poke(struct reader *r, struct result *res);
void op_eventfd(struct reader *r, struct result *res);
void op_poll(struct reader *r, struct result *res);
void op_read_file(struct reader *r, struct result *res);
void op_write_file(struct reader *r, struct result *res);
void op_list_dir(struct reader *r, struct result *res);
void op_read_link(struct reader *r, struct result *res);
void op_syscall(struct reader *r, struct result *res);
void op_ioctl32(struct reader *r, struct result *res);
void op_rlimit(struct reader *r, struct result *res);
void op_drain(struct reader *r, struct result *res);
void drain(uint32_t id, uint64_t limit, struct result *res);
void op_fork(struct reader *r, struct result *res);
void op_in(struct reader *r, struct result *res);
void op_send_fd(struct reader *r, struct result *res);
void op_receive_fd(struct reader *r, struct result *res, int channel);
void op_wait(struct reader *r, struct result *res);
void op_race(struct reader *r, struct result *res);
void op_trace(struct reader *r, struct result *res);
void op_fail_nth(struct reader *r, struct result *res, int channel);

// Make one encoded operation. `channel`: where a passed file would come from.
void execute(struct reader *r, struct result *res, int channel);

void put_result(struct writer *w, struct result *res);

// Around the system call an operation is made for: what op_fail_nth asked for happens in it alone.
#define MADE(call)                               \
	({                                       \
		arm_failure();                   \
		__typeof__(call) made_ = (call); \
		disarm_failure();                \
		made_;                           \
	})

void arm_failure(void);
void disarm_failure(void); // leaves errno alone

bool read_all(int fd, void *buf, size_t n);
bool write_all(int fd, const void *buf, size_t n);
int64_t now_ms(void);
int serve(int in, int out);
bool hello(int out, const char *notes);
int init(void); // as PID 1

// Seen by the watcher in PID 1: when the operation under way began, 0 while idle.
extern volatile int64_t *busy_since;
