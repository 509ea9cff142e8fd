/* Frames of rescue_frame.h. Text is u16 length and bytes; numbers are little-endian. */
#include "store/rescue_frame.h"

#include "util/bytes.h"
#include "util/crc32c.h"

#include <string.h>

enum { HEAD = 12, MAGIC = 0x53455256 /* "VRES" */ };

static void put_text(struct buf *out, const char *text)
{
	size_t n = strlen(text);

	buf_le(out, n, 2);
	buf_append(out, text, n);
}

static bool take_text(struct bytes *in, char *ret, size_t size)
{
	size_t n = bytes_le16(in);
	const uint8_t *p = bytes_take(in, n);

	if (!p || n >= size || memchr(p, '\0', n))
		return false;
	memcpy(ret, p, n);
	ret[n] = '\0';
	return true;
}

static void put_piece(struct buf *out, const struct salvage_piece *p)
{
	buf_u8(out, p->place.phase);
	buf_le(out, p->place.id, 8);
	buf_le(out, p->place.seq, 8);
	buf_le(out, p->stream, 4);
	buf_le(out, p->n, 4);
	buf_le(out, (uint64_t)p->boot_us, 8);
	buf_le(out, (uint64_t)p->offset_us, 8);
	buf_u8(out, p->clk);
	buf_le(out, p->had, 8);
	buf_append(out, p->payload, p->size);
}

static void take_piece(struct bytes *in, struct salvage_piece *p)
{
	p->place.phase = bytes_u8(in);
	p->place.id = bytes_le64(in);
	p->place.seq = bytes_le64(in);
	p->stream = bytes_le32(in);
	p->n = bytes_le32(in);
	p->boot_us = bytes_sle(in, 8);
	p->offset_us = bytes_sle(in, 8);
	p->clk = bytes_u8(in);
	p->had = bytes_le64(in);
	p->size = bytes_left(in);
	p->payload = bytes_take(in, p->size);
}

void rescue_write(struct buf *out, const struct rescue_message *m)
{
	size_t at = out->size, size;
	struct buf head = {0};

	buf_append(out, (const uint8_t[HEAD]){0}, HEAD);
	buf_u8(out, m->type);
	buf_le(out, m->number, 4);
	buf_u8(out, m->kind);
	put_text(out, m->device);
	put_text(out, m->name);
	buf_le(out, m->n, 8);
	buf_le(out, (uint64_t)m->until_us, 8);
	put_piece(out, &m->piece);
	if (out->failed)
		return;
	size = out->size - at - HEAD;
	buf_le(&head, MAGIC, 4);
	buf_le(&head, size, 4);
	buf_le(&head, crc32c(0, out->data + at + HEAD, size), 4);
	if (head.failed)
		out->failed = true;
	else
		memcpy(out->data + at, head.data, HEAD);
	buf_done(&head);
}

int rescue_read(const uint8_t *data, size_t size, struct rescue_message *ret, size_t *ret_used)
{
	struct bytes in = bytes_make(data, size);
	uint32_t magic, length, crc;

	if (size < HEAD)
		return RESCUE_E_MORE;
	magic = bytes_le32(&in);
	length = bytes_le32(&in);
	crc = bytes_le32(&in);
	if (magic != MAGIC || length > RESCUE_FRAME_MAX)
		return -EBADMSG;
	if (size - HEAD < length)
		return RESCUE_E_MORE;
	if (crc32c(0, data + HEAD, length) != crc)
		return -EBADMSG;
	in = bytes_make(data + HEAD, length);
	*ret = (struct rescue_message){.type = bytes_u8(&in)};
	ret->number = bytes_le32(&in);
	ret->kind = bytes_u8(&in);
	if (!take_text(&in, ret->device, sizeof(ret->device)) ||
	    !take_text(&in, ret->name, sizeof(ret->name)))
		return -EBADMSG;
	ret->n = bytes_le64(&in);
	ret->until_us = bytes_sle(&in, 8);
	take_piece(&in, &ret->piece);
	if (in.failed || ret->type < RESCUE_STREAM || ret->type > RESCUE_END)
		return -EBADMSG;
	*ret_used = HEAD + length;
	return 0;
}
