/*
 * What the reader of a damaged store says to the owner of the new one, over a pipe: frames with a
 * length and a checksum, because the reader works on garbage and may die in the middle of a word.
 *
 *   u32 magic | u32 size of what follows the checksum | u32 crc32c of that | u8 type | content
 */
#pragma once

#include "store/salvage.h"
#include "util/buf.h"

enum rescue_type {
	RESCUE_STREAM = 1, /* before its pieces */
	RESCUE_SINK = 2,   /* before all pieces: what bit 1 << (number - 1) of `had` means */
	RESCUE_PIECE = 3,
	RESCUE_GAP = 4, /* numbers that were given, and cannot be found */
	RESCUE_END = 5,
};

enum { RESCUE_FRAME_MAX = 32 << 10 };

struct rescue_message {
	uint8_t type;	 /* enum rescue_type */
	uint32_t number; /* of the stream or sink, in the damaged store */
	uint8_t kind;
	char device[64],
		name[256]; /* name: subject of a stream, name of a sink, words at the end */
	struct salvage_piece piece; /* stream: as in the damaged store; payload borrowed */
	int64_t until_us; /* of a gap: wall; piece.boot_us is its begin, wall too; 0: not known */
	uint64_t n;	  /* of a gap: how many; at the end: of streams without a name */
};

enum { RESCUE_E_MORE = 1 }; /* the frame is not all there yet */

void rescue_write(struct buf *out, const struct rescue_message *m);
/* Reads one frame at the front. -EBADMSG: that is no frame of ours. */
int rescue_read(const uint8_t *data, size_t size, struct rescue_message *ret, size_t *ret_used);
