// SPDX-License-Identifier: MIT
//
// Failures on demand: the nth allocation or copy of one system call fails. For any other call of
// this program nothing changes, so the file is opened before, and read and closed after.

#define _GNU_SOURCE
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Of this thread: a child of fork(2) has its own file, which is why none is kept open.
#define FAIL_NTH "/proc/thread-self/fail-nth"

static __thread int control;   // open while an operation is to fail
static __thread char asked[16]; // what to write there; empty once that is done
static __thread int64_t left;  // points of failure the call did not come to; -1: no call was made

void arm_failure(void)
{
	if (!asked[0])
		return;
	left = pwrite(control, asked, strlen(asked), 0) > 0 ? 0 : -1;
	asked[0] = 0;
}

void disarm_failure(void)
{
	int err = errno;
	char text[16] = "";

	if (!control || left)
		return;
	// Reading and writing copy, so these too may be where it fails: at the point after the call's.
	if (pread(control, text, sizeof(text) - 1, 0) < 0)
		strcpy(text, "1");
	while (pwrite(control, "0", 1, 0) < 0 && errno == EFAULT)
		;
	left = atoll(text);
	close(control);
	control = 0;
	errno = err;
}

void op_fail_nth(struct reader *r, struct result *res, int channel)
{
	int64_t nth = get_int(r), code;
	struct reader op = *r;

	get_array(&op);
	code = get_int(&op);
	if (r->broken || op.broken)
		return;
	if (nth < 1 || control || !(code == 1 || code == 2 || (code >= 4 && code <= 7) || code == 20)) {
		fault(res, "operation %lld cannot be made to fail at point %lld", (long long)code,
		      (long long)nth);
		return;
	}
	control = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (control < 0) {
		fault(res, "%s: %s: the kernel needs CONFIG_FAULT_INJECTION", FAIL_NTH, strerror(errno));
		control = 0;
		return;
	}
	snprintf(asked, sizeof(asked), "%lld", (long long)nth);
	left = -1;
	execute(r, res, channel);
	asked[0] = 0;
	if (control)
		close(control);
	control = 0;
	if (!res->fault[0] && left < 0)
		fault(res, "%s cannot be written: made without a failure", FAIL_NTH);
	else if (!res->fault[0])
		value(res, left);
}
