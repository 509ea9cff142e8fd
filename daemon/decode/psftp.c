/*
 * A packet (Polar calls it RFC 76) is a head and as much as fits:
 *
 *	 7   6   5   4 | 3 | 2   1 |  0
 *	   sequence    | - | status | next       next 0: the first of a message, 1: one that follows
 *	                                         status 3: more follow, 1: the last,
 *	                                                0: no message but a u16 error, 0 is well
 *
 * The sequence begins with 0 in each message and goes up by one, mod 16. A message (RFC 60) is
 *
 *	u16 size of header | header: what to do with which path | data       bit 15 of the size is 0
 *	u16 query + 0x8000 | parameters
 *
 * and its answer just bytes. An operation or query that has nothing to say answers with error 0.
 * Facts by Polar's own SDK (BlePsFtpUtils, BlePsFtpClient).
 */
#include "decode/psftp.h"

#include "util/bytes.h"

enum { NEXT = 1, STATUS_ERROR = 0, STATUS_LAST = 1, STATUS_MORE = 3, QUERY = 0x8000 };

static bool begin(struct psftp_writer *w, uint16_t first, const void *data, size_t size)
{
	*w = (struct psftp_writer){.size = size + 2};
	if (size > sizeof(w->message) - 2)
		return false;
	w->message[0] = (uint8_t)first;
	w->message[1] = (uint8_t)(first >> 8);
	if (size)
		memcpy(w->message + 2, data, size);
	return true;
}

bool psftp_request(struct psftp_writer *w, const void *header, size_t size)
{
	return begin(w, (uint16_t)size, header, size);
}

bool psftp_query(struct psftp_writer *w, enum psftp_query query, const void *params, size_t size)
{
	return begin(w, (uint16_t)(QUERY | query), params, size);
}

size_t psftp_packet(struct psftp_writer *w, size_t room, uint8_t *ret)
{
	size_t n = MIN(room - 1, w->size - w->at);
	unsigned status = w->at + n < w->size ? STATUS_MORE : STATUS_LAST;

	if (n == 0)
		return 0;
	ret[0] = (uint8_t)((w->at ? NEXT : 0) | status << 1 | (unsigned)w->sequence << 4);
	memcpy(ret + 1, w->message + w->at, n);
	w->at += n;
	w->sequence = (w->sequence + 1) & 15;
	return n + 1;
}

int psftp_read(struct psftp_reader *r, const uint8_t *packet, size_t size, struct psftp_part *ret)
{
	struct bytes b = bytes_make(packet, size);
	uint8_t head = bytes_u8(&b);
	unsigned status = head >> 1 & 3;

	*ret = (struct psftp_part){.last = status != STATUS_MORE};
	if (status == STATUS_ERROR)
		ret->error = bytes_le16(&b);
	if (b.failed || (status != STATUS_ERROR && status != STATUS_LAST && status != STATUS_MORE))
		return PSFTP_E_MALFORMED;
	if (status == STATUS_ERROR) /* whatever was under way has ended with it */
		return 0;
	if ((head & NEXT) != r->begun || head >> 4 != r->n)
		return PSFTP_E_SEQUENCE;
	ret->size = bytes_left(&b);
	ret->payload = bytes_take(&b, ret->size);
	if (ret->size > PSFTP_ANSWER_MAX - r->size)
		return PSFTP_E_LARGE;
	r->size += ret->size;
	r->begun = true;
	r->n = (r->n + 1) & 15;
	return 0;
}

const char *psftp_error_name(uint16_t error)
{
	switch (error) {
	case 0: return "well";
	case 1: return "rebooting";
	case 2: return "try again";
	case 103: return "no such file or directory";
	case 106: return "not permitted";
	case 201: return "not supported by the wearable";
	case 202: return "busy";
	case 205: return "memory full";
	case 209: return "battery low";
	case 303: return "packet lost";
	default: return "unknown";
	}
}
