// SPDX-License-Identifier: MIT
//
// Reading and writing msgpack.

#include "msgpack.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t be(struct reader *r, int n)
{
	uint64_t v = 0;

	if (r->end - r->at < n) {
		r->broken = true;
		r->at = r->end;
		return 0;
	}
	while (n--)
		v = v << 8 | *r->at++;
	return v;
}

bool is_nil(struct reader *r)
{
	if (r->at < r->end && *r->at == 0xc0) {
		r->at++;
		return true;
	}
	return false;
}

int64_t get_int(struct reader *r)
{
	uint8_t t = be(r, 1);

	if (t < 0x80)
		return t;
	if (t >= 0xe0)
		return (int8_t)t;
	switch (t) {
	case 0xc2: return 0; // false
	case 0xc3: return 1; // true
	case 0xcc: return be(r, 1);
	case 0xcd: return be(r, 2);
	case 0xce: return be(r, 4);
	case 0xcf: return be(r, 8);
	case 0xd0: return (int8_t)be(r, 1);
	case 0xd1: return (int16_t)be(r, 2);
	case 0xd2: return (int32_t)be(r, 4);
	case 0xd3: return be(r, 8);
	}
	r->broken = true;
	return 0;
}

uint32_t get_array(struct reader *r)
{
	uint8_t t = be(r, 1);

	if ((t & 0xf0) == 0x90)
		return t & 0xf;
	if (t == 0xdc)
		return be(r, 2);
	if (t == 0xdd)
		return be(r, 4);
	r->broken = true;
	return 0;
}

const uint8_t *get_blob(struct reader *r, size_t *len)
{
	uint8_t t = be(r, 1);
	const uint8_t *p = NULL;
	uint64_t n = 0;

	if ((t & 0xe0) == 0xa0)
		n = t & 0x1f;
	else if (t == 0xc4 || t == 0xd9)
		n = be(r, 1);
	else if (t == 0xc5 || t == 0xda)
		n = be(r, 2);
	else if (t == 0xc6 || t == 0xdb)
		n = be(r, 4);
	else
		r->broken = true;
	if (r->broken || (uint64_t)(r->end - r->at) < n) {
		r->broken = true;
		*len = 0;
		return (const uint8_t *)"";
	}
	p = r->at;
	r->at += n;
	*len = n;
	return p;
}

char *get_str(struct reader *r)
{
	size_t n;
	const uint8_t *p = get_blob(r, &n);

	return strndup((const char *)p, n);
}

void skip(struct reader *r, int depth)
{
	uint8_t t;
	uint32_t n;
	size_t len;

	if (r->at >= r->end || depth > 32) {
		r->broken = true;
		return;
	}
	t = *r->at;
	if ((t & 0xf0) == 0x90 || t == 0xdc || t == 0xdd) {
		for (n = get_array(r); n && !r->broken; n--)
			skip(r, depth + 1);
	} else if ((t & 0xe0) == 0xa0 || (t >= 0xc4 && t <= 0xc6) || (t >= 0xd9 && t <= 0xdb)) {
		get_blob(r, &len);
	} else if (t == 0xc0) {
		r->at++;
	} else {
		get_int(r);
	}
}

void put(struct writer *w, const void *p, size_t n)
{
	if (w->len + n > w->cap) {
		w->cap = (w->len + n) * 2;
		w->buf = realloc(w->buf, w->cap);
		if (!w->buf)
			_exit(3);
	}
	memcpy(w->buf + w->len, p, n);
	w->len += n;
}

static void put_be(struct writer *w, uint8_t tag, uint64_t v, int n)
{
	uint8_t b[9] = { tag };

	for (int i = n; i; i--, v >>= 8)
		b[i] = v;
	put(w, b, n + 1);
}

void put_int(struct writer *w, int64_t v)
{
	if (v >= 0 && v < 0x80) {
		uint8_t b = v;
		put(w, &b, 1);
	} else if (v >= 0) {
		put_be(w, 0xcf, v, 8);
	} else {
		put_be(w, 0xd3, v, 8);
	}
}

void put_uint(struct writer *w, uint64_t v)
{
	if (v < 0x80)
		put_int(w, v);
	else
		put_be(w, 0xcf, v, 8);
}

void put_nil(struct writer *w)
{
	put(w, "\xc0", 1);
}

void put_array(struct writer *w, uint32_t n)
{
	if (n < 16) {
		uint8_t b = 0x90 | n;
		put(w, &b, 1);
	} else {
		put_be(w, 0xdd, n, 4);
	}
}

void put_bin(struct writer *w, const void *p, size_t n)
{
	put_be(w, 0xc6, n, 4);
	put(w, p, n);
}

void put_str(struct writer *w, const char *s)
{
	put_be(w, 0xdb, strlen(s), 4);
	put(w, s, strlen(s));
}
