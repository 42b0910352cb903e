// SPDX-License-Identifier: MIT
/* What a layout can have, in one header that no kernel has: for the tests of readers and fixtures. */

#ifndef SAMPLE_H
#define SAMPLE_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SAMPLE_GET _IO(';', 0x77)

struct sample_inner {
	__u8 kind;
	__s64 at;
};

struct sample_bits {
	__u32 low : 3;
	__u32 middle : 7;
	__s32 sign : 5;
	__u32 : 9;
	__u32 high : 8;
	__u16 next : 4;
	__u8 last;
};

struct sample_all {
	__u32 argsz;
	__u32 flags;
#define SAMPLE_FLAG_A (1 << 0)
#define SAMPLE_FLAG_B (1 << 31)
	union {
		__u32 id;
		struct {
			__u16 first;
			__s16 second;
		};
		__u8 bytes[4];
	};
	__u8 matrix[2][3];
	struct sample_inner inner;
	struct {
		__u8 tag;
		__u32 value;
	} named;
	struct sample_inner many[2];
	void *pointer;
	enum sample_kind { SAMPLE_ONE = 1, SAMPLE_MINUS = -1 } which;
	__u8 wide __attribute__((aligned(16)));
	__u16 data[];
};

struct sample_packed {
	__u8 tag;
	__u64 value;
	__u16 end;
} __attribute__((packed));

struct sample_aligned {
	__u8 tag;
} __attribute__((aligned(32)));

#endif
