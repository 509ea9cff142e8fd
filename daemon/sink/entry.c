/*
 * One stream of a batch.
 *
 *   {"stream":"...","run":"...","kind":"...","device":"...","subject":"...",["unit":"uV",]   head
 *    "after":N,"samples":[ {...},{...},                                                    chunk
 *                          {...} ...                                                       chunk
 *   ]}
 *
 * Streams interleave as they come, so the text gathers in chunks of 16 KiB, and chunks go back to a
 * pool of the batch: all batches together never hold more than the longest one needed.
 *
 * Beside the text the canonical bytes of the records are hashed, some thousand at a time: to ask
 * libcrypto for each record would cost more than the hash itself. An entry adds to the batch's
 * name, numbers little-endian:
 *
 *   stream id 16 | run nonce 16 | first seq u64 | last seq u64 | count u64 | SHA-256 of records 32
 *
 * The seqs are kept as ranges, because a receipt has to add up record by record and quarantined
 * records leave holes.
 */
#include "sink/entry.h"

#include "sink/canonical.h"
#include "sink/sample.h"
#include "util/json.h"

enum {
	CANONICAL_FILL = 2048, /* hashed when this much has come together */
	FIRST_RANGES = 4,
};

#define ENTRY_END "]}"

static_assert(CHUNK_SIZE > 4 * 4 * SAMPLES_VALUES_MAX / 3 + 2048, "a chunk holds any record");

struct range {
	uint64_t first, last;
};

struct entry {
	uint32_t number;
	unsigned kind;
	struct uuid id;
	uint64_t count;
	size_t size;
	struct buf head;
	struct chunk *chunks, *last_chunk;
	struct range *ranges;
	size_t n_ranges, n_ranges_allocated;
	struct digest *digest;
	bool digest_used;
	size_t canonical_size;
	uint8_t canonical[CANONICAL_FILL + CANONICAL_MAX];
};

struct chunk *chunk_free_all(struct chunk *c)
{
	while (c) {
		struct chunk *next = c->next;

		free(c);
		c = next;
	}
	return NULL;
}

static int take_chunk(struct entry *e, struct chunk **pool)
{
	struct chunk *c = *pool;

	if (c)
		*pool = c->next;
	else
		c = malloc(sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->next = NULL;
	c->size = 0;
	if (e->last_chunk)
		e->last_chunk->next = c;
	else
		e->chunks = c;
	e->last_chunk = c;
	return 0;
}

static int hash(struct entry *e)
{
	size_t n = e->canonical_size;

	e->canonical_size = 0;
	e->digest_used = true;
	return digest_update(e->digest, e->canonical, n);
}

static int note_seq(struct entry *e, uint64_t seq)
{
	struct range *last = e->n_ranges ? &e->ranges[e->n_ranges - 1] : NULL;

	assert(!last || seq > last->last);
	if (last && seq == last->last + 1) {
		last->last = seq;
		return 0;
	}
	if (e->n_ranges == e->n_ranges_allocated) {
		size_t n = e->n_ranges ? 2 * e->n_ranges : FIRST_RANGES;
		struct range *more = reallocarray(e->ranges, n, sizeof(struct range));

		if (!more)
			return -ENOMEM;
		e->ranges = more;
		e->n_ranges_allocated = n;
	}
	e->ranges[e->n_ranges++] = (struct range){seq, seq};
	return 0;
}

static void write_sample(struct entry *e, const struct record *r)
{
	uint8_t *start = e->last_chunk->data + e->last_chunk->size;
	uint8_t *p = start;

	if (e->count > 0)
		*p++ = ',';
	p = sample_write(r, e->kind, p);
	e->last_chunk->size += (size_t)(p - start);
	e->size += (size_t)(p - start);
	e->count++;
}

static void put_string(struct json *j, const char *key, const char *value)
{
	json_key(j, key);
	json_text(j, value);
}

static void put_uuid(struct json *j, const char *key, const struct uuid *u)
{
	char text[UUID_STRING_SIZE];

	uuid_format(u, text);
	put_string(j, key, text);
}

struct entry *entry_free(struct entry *e)
{
	if (!e)
		return NULL;
	digest_free(e->digest);
	free(e->ranges);
	chunk_free_all(e->chunks);
	buf_done(&e->head);
	free(e);
	return NULL;
}

int entry_new(struct entry **ret)
{
	_cleanup_(entry_freep) struct entry *e = calloc(1, sizeof(*e));
	int r;

	if (!e)
		return -ENOMEM;
	r = digest_new(&e->digest);
	if (r < 0)
		return r;
	*ret = TAKE(e);
	return 0;
}

void entry_reset(struct entry *e, struct chunk **pool)
{
	uint8_t unwanted[DIGEST_SHA256_SIZE];

	if (e->chunks) {
		e->last_chunk->next = *pool;
		*pool = e->chunks;
		e->chunks = e->last_chunk = NULL;
	}
	if (e->digest_used)
		(void)digest_finish(e->digest, unwanted); /* of a batch that nobody finished */
	e->digest_used = false;
	e->count = e->n_ranges = e->canonical_size = e->size = 0;
	buf_reset(&e->head);
}

int entry_begin(struct entry *e, const struct run_info *run, const struct stream_info *s,
		uint64_t after)
{
	struct json j = json_make(&e->head);

	e->number = s->number;
	e->kind = s->kind;
	e->id = s->id;
	json_open(&j, '{');
	put_uuid(&j, "stream", &s->id);
	put_uuid(&j, "run", &run->nonce);
	put_string(&j, "kind", kind_name(s->kind));
	put_string(&j, "device", s->device);
	put_string(&j, "subject", s->subject);
	if (s->kind ==
	    KIND_ECG) /* of other kinds each record has its own: a thermometer may change it */
		put_string(&j, "unit", "uV");
	json_key(&j, "after");
	json_uint(&j, after);
	json_key(&j, "samples");
	json_open(&j, '[');
	e->size = e->head.size + strlen(ENTRY_END);
	return e->head.failed ? -ENOMEM : 0;
}

int entry_add(struct entry *e, const struct record *r, struct chunk **pool)
{
	int error;

	if (!e->last_chunk || CHUNK_SIZE - e->last_chunk->size <= sample_bound(r)) {
		error = take_chunk(e, pool);
		if (error < 0)
			return error;
	}
	error = note_seq(e, r->seq);
	if (error < 0)
		return error;
	write_sample(e, r);
	e->canonical_size =
		(size_t)(canonical_write(r, e->canonical + e->canonical_size) - e->canonical);
	return e->canonical_size >= CANONICAL_FILL ? hash(e) : 0;
}

size_t entry_size(const struct entry *e)
{
	return e->size;
}

int entry_finish(struct entry *e, const struct uuid *run, struct buf *name)
{
	uint8_t sum[DIGEST_SHA256_SIZE];
	int r;

	assert(e->n_ranges > 0);
	r = hash(e);
	if (r < 0)
		return r;
	r = digest_finish(e->digest, sum);
	if (r < 0)
		return r;
	e->digest_used = false;
	buf_append(name, e->id.bytes, sizeof(e->id.bytes));
	buf_append(name, run->bytes, sizeof(run->bytes));
	buf_le(name, e->ranges[0].first, 8);
	buf_le(name, e->ranges[e->n_ranges - 1].last, 8);
	buf_le(name, e->count, 8);
	buf_append(name, sum, sizeof(sum));
	return 0;
}

void entry_write(const struct entry *e,
		 void (*write)(void *userdata, const void *data, size_t size), void *userdata)
{
	write(userdata, e->head.data, e->head.size);
	for (const struct chunk *c = e->chunks; c; c = c->next)
		write(userdata, c->data, c->size);
	write(userdata, ENTRY_END, strlen(ENTRY_END));
}

uint32_t entry_number(const struct entry *e)
{
	return e->number;
}

const struct uuid *entry_id(const struct entry *e)
{
	return &e->id;
}

bool entry_holds(const struct entry *e, uint64_t seq)
{
	for (size_t i = 0; i < e->n_ranges; i++)
		if (seq <= e->ranges[i].last)
			return seq >= e->ranges[i].first;
	return false;
}

uint64_t entry_count_through(const struct entry *e, uint64_t seq)
{
	uint64_t n = 0;

	for (size_t i = 0; i < e->n_ranges && seq >= e->ranges[i].first; i++)
		n += MIN(seq, e->ranges[i].last) - e->ranges[i].first + 1;
	return n;
}
