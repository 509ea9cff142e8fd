/*
 * A header of 512 bytes, the content filled up to a multiple of 512, and so on; two empty blocks end
 * it (POSIX.1-2017, pax, "ustar Interchange Format"). Numbers are octal text with a NUL behind.
 *
 *	  0 name  100 mode  108 uid  116 gid  124 size  136 mtime  148 checksum  156 type
 *	257 "ustar"  263 "00"
 *
 * The checksum is the sum of all bytes of the header, itself taken for eight blanks.
 */
#include "ctl/tar.h"

#include <inttypes.h>
#include <stdio.h>

enum { BLOCK = 512, NAME = 100, CHECKSUM = 148 };

static void put_zeroes(struct buf *out, size_t n)
{
	uint8_t *p = buf_reserve(out, n);

	if (!p)
		return;
	memset(p, 0, n);
	out->size += n;
}

static void put_octal(uint8_t *at, int width, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%0*" PRIo64, width - 1, v);
	memcpy(at, text, (size_t)width); /* with the NUL */
}

void tar_add(struct buf *archive, const char *name, uint64_t seconds, const struct buf *content)
{
	uint8_t header[BLOCK] = {0};
	unsigned sum = 0;

	assert(strlen(name) <= NAME && content->size < UINT64_C(1) << 33);
	memcpy(header, name, strlen(name));
	put_octal(header + 100, 8, 0600);
	put_octal(header + 108, 8, 0);
	put_octal(header + 116, 8, 0);
	put_octal(header + 124, 12, content->size);
	put_octal(header + 136, 12, seconds & UINT64_C(077777777777));
	memset(header + CHECKSUM, ' ', 8);
	header[156] = '0';
	memcpy(header + 257, "ustar\00000", 8);
	for (size_t i = 0; i < BLOCK; i++)
		sum += header[i];
	put_octal(header + CHECKSUM, 7, sum);
	buf_append(archive, header, sizeof(header));
	buf_append(archive, content->data, content->size);
	put_zeroes(archive, (BLOCK - content->size % BLOCK) % BLOCK);
	if (content->failed)
		archive->failed = true;
}

void tar_end(struct buf *archive)
{
	put_zeroes(archive, 2 * BLOCK);
}
