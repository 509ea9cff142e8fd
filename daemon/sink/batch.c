/*
 * Builds the body of POST /v1/batches, record by record, and names it.
 *
 *   {"schema":"wearable-batch/1","batch":"<id>","gateway":"...","boot_id":"...","streams":[
 *     {...one stream, see entry.c...},
 *     {...}
 *   ]}
 *
 * Entries stand in the order of their stream ids, and nothing in a body depends on when or in which
 * order it was built: the same records give the same bytes. The id is UUIDv5 over what entry.c says
 * of each stream, in that order, so it tells what is in the batch and nothing of how it was
 * written: the same cut has it again after a restart, no other cut ever has.
 *
 *   begin -> add ... add -> finish -> judge the answer -> begin
 *                             ^            |
 *                             +-- on 415 --+   without gzip
 *
 * Where the chunks lie is entry.c's business; gzip.c wants them in one piece. After a failed add
 * or finish the batch is good for nothing but the next begin.
 */
#include "sink/batch.h"

#include "sink/entry.h"
#include "sink/gzip.h"
#include "util/json.h"

enum {
	N_HINTS = 32,
	FIRST_ENTRIES = 8,
};

#define FRAME_BEGIN "{\"schema\":\"wearable-batch/1\",\"batch\":\""
#define FRAME_END   "]}"

/* Our name space for batch ids, drawn at random once: 6aa7beb3-de11-477e-8825-fc2e55faa444 */
static const struct uuid batch_space = {{0x6a, 0xa7, 0xbe, 0xb3, 0xde, 0x11, 0x47, 0x7e, 0x88, 0x25,
					 0xfc, 0x2e, 0x55, 0xfa, 0xa4, 0x44}};

struct batch {
	struct run_info run;
	struct buf head; /* of the frame, from behind the id */
	struct buf body;
	struct gzip *gzip;
	struct uuid id;
	bool finished;
	size_t size, count;
	struct entry **entries; /* n in use, the others wait for the next batch */
	size_t n_entries, n_entries_made, n_entries_allocated;
	struct entry *hints[N_HINTS]; /* by stream number; only ever a guess */
	struct chunk *pool;
};

static int make_entry(struct batch *b)
{
	int r;

	if (b->n_entries_made == b->n_entries_allocated) {
		size_t n = b->n_entries_allocated ? 2 * b->n_entries_allocated : FIRST_ENTRIES;
		struct entry **more = reallocarray(b->entries, n, sizeof(struct entry *));

		if (!more)
			return -ENOMEM;
		b->entries = more;
		b->n_entries_allocated = n;
	}
	r = entry_new(&b->entries[b->n_entries_made]);
	if (r < 0)
		return r;
	b->n_entries_made++;
	return 0;
}

static int begin_entry(struct batch *b, const struct stream_info *stream, uint64_t after,
		       struct entry **ret)
{
	struct entry *e;
	int r = b->n_entries == b->n_entries_made ? make_entry(b) : 0;

	if (r < 0)
		return r;
	e = b->entries[b->n_entries++];
	r = entry_begin(e, &b->run, stream, after);
	if (r < 0)
		return r;
	b->size += (b->n_entries > 1) + entry_size(e);
	*ret = e;
	return 0;
}

static struct entry *search(const struct batch *b, uint32_t number)
{
	for (size_t i = 0; i < b->n_entries; i++)
		if (entry_number(b->entries[i]) == number)
			return b->entries[i];
	return NULL;
}

static int find_or_begin(struct batch *b, const struct stream_info *stream, uint64_t after,
			 struct entry **ret)
{
	struct entry **hint = &b->hints[stream->number % N_HINTS];
	int r;

	if (!*hint || entry_number(*hint) != stream->number)
		*hint = search(b, stream->number);
	if (!*hint) {
		r = begin_entry(b, stream, after, hint);
		if (r < 0)
			return r;
	}
	*ret = *hint;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct entry *const *x = a, *const *y = b;

	return memcmp(entry_id(*x)->bytes, entry_id(*y)->bytes, sizeof(struct uuid));
}

static int make_id(struct batch *b)
{
	_cleanup_(buf_done) struct buf name = {0};
	int r;

	if (b->n_entries > 0)
		qsort(b->entries, b->n_entries, sizeof(struct entry *), by_id);
	for (size_t i = 0; i < b->n_entries; i++) {
		r = entry_finish(b->entries[i], &b->run.nonce, &name);
		if (r < 0)
			return r;
	}
	if (name.failed)
		return -ENOMEM;
	r = uuid_v5(&batch_space, name.data, name.size, &b->id);
	if (r < 0)
		return r;
	b->finished = true;
	return 0;
}

static void write_plain(void *userdata, const void *data, size_t size)
{
	struct batch *b = userdata;

	buf_append(&b->body, data, size);
}

static void write_gzip(void *userdata, const void *data, size_t size)
{
	struct batch *b = userdata;

	gzip_write(b->gzip, data, size);
}

static void write_body(struct batch *b,
		       void (*write)(void *userdata, const void *data, size_t size))
{
	char id[UUID_STRING_SIZE];

	uuid_format(&b->id, id);
	write(b, FRAME_BEGIN, strlen(FRAME_BEGIN));
	write(b, id, strlen(id));
	write(b, b->head.data, b->head.size);
	for (size_t i = 0; i < b->n_entries; i++) {
		if (i > 0)
			write(b, ",", 1);
		entry_write(b->entries[i], write, b);
	}
	write(b, FRAME_END, strlen(FRAME_END));
}

struct batch *batch_free(struct batch *b)
{
	if (!b)
		return NULL;
	for (size_t i = 0; i < b->n_entries_made; i++)
		entry_free(b->entries[i]);
	free(b->entries);
	chunk_free_all(b->pool);
	gzip_free(b->gzip);
	buf_done(&b->body);
	buf_done(&b->head);
	free(b);
	return NULL;
}

int batch_new(struct batch **ret)
{
	_cleanup_(batch_freep) struct batch *b = calloc(1, sizeof(*b));
	int r;

	if (!b)
		return -ENOMEM;
	r = gzip_new(&b->gzip);
	if (r < 0)
		return r;
	*ret = TAKE(b);
	return 0;
}

void batch_begin(struct batch *b, const char *gateway, const struct run_info *run)
{
	struct json j = {.out = &b->head, .comma = true};

	for (size_t i = 0; i < b->n_entries; i++)
		entry_reset(b->entries[i], &b->pool);
	memset(b->hints, 0, sizeof(b->hints));
	b->n_entries = b->count = 0;
	b->finished = false;
	b->run = *run;
	buf_reset(&b->body);
	buf_reset(&b->head);
	buf_string(&b->head, "\"");
	json_key(&j, "gateway");
	json_text(&j, gateway);
	json_key(&j, "boot_id");
	json_text(&j, run->boot_id);
	json_key(&j, "streams");
	json_open(&j, '[');
	b->size = strlen(FRAME_BEGIN) + UUID_STRING_SIZE - 1 + b->head.size + strlen(FRAME_END);
}

int batch_add(struct batch *b, const struct stream_info *stream, uint64_t after,
	      const struct record *r)
{
	struct entry *e;
	size_t before;
	int error;

	assert(!b->finished && r->clk != CLK_PENDING && seq_run(r->seq) == b->run.number);
	error = find_or_begin(b, stream, after, &e);
	if (error < 0)
		return error;
	before = entry_size(e);
	error = entry_add(e, r, &b->pool);
	if (error < 0)
		return error;
	b->size += entry_size(e) - before;
	b->count++;
	return 0;
}

size_t batch_size(const struct batch *b)
{
	return b->size;
}

size_t batch_count(const struct batch *b)
{
	return b->count;
}

int batch_finish(struct batch *b, bool gzip, struct uuid *ret_id, const uint8_t **ret_body,
		 size_t *ret_size)
{
	int r = b->finished ? 0 : make_id(b);

	if (r < 0)
		return r;
	buf_reset(&b->body);
	if (gzip) {
		gzip_begin(b->gzip, &b->body);
		write_body(b, write_gzip);
		gzip_end(b->gzip);
	} else {
		write_body(b, write_plain);
	}
	if (b->body.failed || b->head.failed)
		return -ENOMEM;
	*ret_id = b->id;
	*ret_body = b->body.data;
	*ret_size = b->body.size;
	return 0;
}

const struct uuid *batch_id(const struct batch *b)
{
	return &b->id;
}

size_t batch_n_streams(const struct batch *b)
{
	return b->n_entries;
}

uint32_t batch_stream_number(const struct batch *b, size_t i)
{
	return entry_number(b->entries[i]);
}

size_t batch_find(const struct batch *b, const struct uuid *stream)
{
	size_t i = 0;

	while (i < b->n_entries && !uuid_equal(entry_id(b->entries[i]), stream))
		i++;
	return i;
}

bool batch_holds(const struct batch *b, size_t i, uint64_t seq)
{
	return entry_holds(b->entries[i], seq);
}

uint64_t batch_count_through(const struct batch *b, size_t i, uint64_t seq)
{
	return entry_count_through(b->entries[i], seq);
}
