// SPDX-License-Identifier: MIT
//
// msgpack, as much of it as operations and answers need. Declared in vfiospec/device/ops.py.

#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct reader {
	const uint8_t *at, *end;
	bool broken;
};

// After a malformed field `broken` is set and every further read gives zero or nothing.
bool is_nil(struct reader *r); // consumes it
int64_t get_int(struct reader *r);
uint32_t get_array(struct reader *r);
const uint8_t *get_blob(struct reader *r, size_t *len);
char *get_str(struct reader *r); // to be freed
void skip(struct reader *r, int depth);

struct writer {
	uint8_t *buf;
	size_t len, cap;
};

void put(struct writer *w, const void *p, size_t n);
void put_int(struct writer *w, int64_t v);
void put_uint(struct writer *w, uint64_t v);
void put_nil(struct writer *w);
void put_array(struct writer *w, uint32_t n);
void put_bin(struct writer *w, const void *p, size_t n);
void put_str(struct writer *w, const char *s);
