// SPDX-License-Identifier: MIT
//
// The executor in C: the same operations and the same frames as the executor in Python, for a
// guest that has no user space of its own. Statically linked it is the /init of the guest;
// started by hand it serves standard input and output. test_port.py drives both executors.

#include "ops.h"

#include <unistd.h>

int main(void)
{
	install_handlers();
	if (getpid() == 1)
		return init();
	return hello(1, "") ? serve(0, 1) : 5;
}
