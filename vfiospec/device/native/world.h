// SPDX-License-Identifier: MIT
//
// What operations work on: handles, inline buffers between canaries, guarded accesses, answers.

#pragma once
#include <setjmp.h>
#include <sys/types.h>

#include "msgpack.h"

#define PROTOCOL 1
#define FRAME_MAX (16u << 20)
#define CANARY 256         // bytes watched on each side of a buffer handed to the kernel
#define HANDLES (1u << 20) // ids there are
#define SCRATCH (1u << 20) // the largest inline buffer of one operation

enum kind { UNSET, FD, MAPPING, PROCESS };

struct handle {
	enum kind kind;
	int fd;          // FD: the descriptor; PROCESS: our end of its channel
	pid_t pid;
	uint8_t *base;   // MAPPING: the address users see
	size_t size;
	uint8_t *whole;  // MAPPING: what munmap takes, guard pages included
	size_t whole_size;
};

struct handle *slot(uint32_t id);                   // NULL when out of range
uint32_t handles_made(void);                       // ids up to this one may be in use
struct handle *known(uint32_t id, enum kind kind); // NULL when it is not of that kind
int64_t release_from(uint32_t first); // gives up every handle from there on; how many there were

struct result {
	int64_t ret;
	int err;
	const uint8_t *data; // NULL: no bytes
	size_t len;
	struct writer spill; // encoded [[offset, bytes], ...] without the array header
	uint32_t spills;
	int sig;
	uint64_t address;
	struct writer values; // encoded integers
	uint32_t value_count;
	const uint8_t *parts; // an encoded array of replies
	size_t parts_len;
	char fault[160];
};

bool fault(struct result *res, const char *fmt, ...); // false, for `return fault(...)`
void done(struct result *res, int64_t ret);           // a system call's return, with errno
void give(struct result *res, const void *p, size_t n);
void value(struct result *res, int64_t v);
void clear_result(struct result *res);

extern __thread sigjmp_buf escape;
extern __thread volatile int guarded;
extern __thread volatile int caught_signal;
extern __thread volatile uint64_t caught_address;

// Runs `statement`; a SIGBUS or SIGSEGV in it becomes part of the answer. The handler does not block
// its signal, so there is no mask to save: that would be a system call each time.
#define GUARDED(res, statement)                        \
	do {                                           \
		guarded = 1;                           \
		if (!sigsetjmp(escape, 0)) {           \
			statement;                     \
			guarded = 0;                   \
		} else {                               \
			guarded = 0;                   \
			(res)->ret = -1;               \
			(res)->sig = caught_signal;    \
			(res)->address = caught_address; \
		}                                      \
	} while (0)

void install_handlers(void);
uint8_t *arena(void);
void drop_arena(void);
uint8_t *buffer(size_t n);
void find_spill(struct result *res, size_t n);

struct ref {
	bool set;
	uint32_t handle;
	int64_t offset;
};

struct ref get_ref(struct reader *r);
bool resolve(struct result *res, struct ref ref, uint8_t **address);
bool fd_of(struct result *res, uint32_t id, int *fd);
void keep_fd(struct result *res, uint32_t out, int fd);
void own_fd(int fd, bool yes); // whether a descriptor is a handle's, or the executor's own
bool is_new_fd(int64_t fd);    // whether a call's answer is a file that nobody has yet
struct handle *keep_mapping(struct result *res, uint32_t out);
bool apply_fixups(const struct reader *list, struct result *res, uint8_t *data, size_t len);
void undo_fixups(const struct reader *list, uint8_t *data, const uint8_t *original, size_t len);
