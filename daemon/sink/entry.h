/* One stream of a batch: its text, its hash and its seqs. For sink/ itself. */
#pragma once

#include "model/record.h"
#include "util/buf.h"
#include "util/digest.h"

enum { CHUNK_SIZE = 16 * 1024 - 16 }; /* more than the longest record */

struct chunk {
	struct chunk *next;
	size_t size;
	uint8_t data[CHUNK_SIZE];
};

struct entry;

struct entry *entry_free(struct entry *e);
int entry_new(struct entry **ret);
DEFINE_CLEANUP(struct entry *, entry_free)
/* Empties it for a new batch; its chunks go to `pool`. */
void entry_reset(struct entry *e, struct chunk **pool);
int entry_begin(struct entry *e, const struct run_info *run, const struct stream_info *s,
		uint64_t after);
/* A chunk is taken from `pool` when there is one. */
int entry_add(struct entry *e, const struct record *r, struct chunk **pool);
/* Bytes of JSON so far, with what closes it. */
size_t entry_size(const struct entry *e);
/* What it adds to the name of a batch. Once for each entry_begin(). */
int entry_finish(struct entry *e, const struct uuid *run, struct buf *name);
/* Its JSON, piece by piece; `write` is called in order. */
void entry_write(const struct entry *e,
		 void (*write)(void *userdata, const void *data, size_t size), void *userdata);

uint32_t entry_number(const struct entry *e);
const struct uuid *entry_id(const struct entry *e);
bool entry_holds(const struct entry *e, uint64_t seq);
uint64_t entry_count_through(const struct entry *e, uint64_t seq);

struct chunk *chunk_free_all(struct chunk *c);
