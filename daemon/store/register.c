/*
 * Which streams and sinks there are. Each has a name by which it is asked for, and a number by which
 * tail, log and queue know it; numbers count from 1, and none is ever given to another name.
 *
 *   stream  device, kind, subject, of the incarnation in force -> id -> number
 *   sink    name of its section in the config                        -> number
 *
 * One that is asked for and is not there is made. A stream is on the disk before its number is given
 * out, because a slot of the tail that names it must outlive this process. A sink goes there in one
 * commit with what it need not have.
 *
 * A sink that the config does not name any more is retired: it keeps its number and its cursors, and
 * holds nothing back. Named again, it goes on where it was.
 */
#include "store/register.h"

#include "store/state.h"
#include "store/store.h"

#include <stdio.h>

static int insert_stream(struct store *s, const struct stream_info *info)
{
	sqlite3_stmt *stmt = NULL;
	bool ok = sqlite3_prepare_v2(s->db,
				     "INSERT INTO stream(number, uuid, device, kind, subject)"
				     " VALUES(?1, ?2, ?3, ?4, ?5)",
				     -1, &stmt, NULL) == SQLITE_OK &&
		  sqlite3_bind_int64(stmt, 1, info->number) == SQLITE_OK &&
		  sqlite3_bind_blob(stmt, 2, info->id.bytes, sizeof(info->id.bytes),
				    SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_text(stmt, 3, info->device, -1, SQLITE_STATIC) == SQLITE_OK &&
		  sqlite3_bind_int(stmt, 4, info->kind) == SQLITE_OK &&
		  sqlite3_bind_text(stmt, 5, info->subject, -1, SQLITE_STATIC) == SQLITE_OK;

	return sql_once(s, stmt, ok, "stream");
}

/* On a store that is only looked at, the change stays in memory. */
static int write_sink(struct store *s, const struct sink_info *info)
{
	return s->owner_fd < 0 ? 0 : sink_write(s, info);
}

/*
 * What a new sink need not have: history that was deleted before it came, which is the oldest of
 * each stream, what is there once more under a new name, and all there is so far for one that begins
 * now.
 */
static int exempt_history(struct store *s, uint32_t sink, bool all)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->n_streams; i++) {
		const struct stream_state *st = &s->streams[i];
		uint32_t stream = (uint32_t)i + 1;
		struct cursor_state *c = cursor_of(s, sink, stream);
		uint64_t n = all ? stream_total(st) - st->salvage_lost : st->deleted;

		if (n > 0) {
			c->seq = all ? stream_last_seq(st) : aside_seq_at(s, stream, n);
			c->id = all ? s->next_id - 1 : 0;
			c->exempt = n;
			c->dirty = true;
			s->force = true;
		}
		r = aside_pass_gone(s, sink, stream);
	}
	return r;
}

static int sink_update(struct store *s, struct sink_entry *k, bool required)
{
	struct sink_info info = k->info;
	int r;

	k->seen = true;
	info.required = required;
	info.retired = false;
	if (info.required == k->info.required && info.retired == k->info.retired)
		return 0;
	r = write_sink(s, &info);
	if (r == 0)
		k->info = info;
	return r;
}

int register_stream(struct store *s, const char *device, enum kind kind, const char *subject,
		    uint32_t *ret)
{
	struct stream_info info = {.kind = (uint8_t)kind, .device = device, .subject = subject};
	int r;

	r = identity_of_stream(&s->incarnation, &info, &info.id);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s->n_streams; i++)
		if (uuid_equal(&s->streams[i].info.id, &info.id)) {
			*ret = s->streams[i].info.number;
			return 0;
		}
	info.number = (uint32_t)s->n_streams + 1;
	r = insert_stream(s, &info); /* durable before a slot of the tail names it */
	if (r == 0)
		r = stream_add(s, &info);
	if (r == 0)
		*ret = info.number;
	return r;
}

int register_sink(struct store *s, const char *name, bool required, bool from_now, uint32_t *ret)
{
	struct sink_info info = {.number = (uint32_t)s->n_sinks + 1, .required = required};
	uint32_t known = store_sink_named(s, name);
	int r;

	if (known) {
		r = sink_update(s, sink_of(s, known), required);
		if (r == 0)
			*ret = known;
		return r;
	}
	(void)snprintf(info.name, sizeof(info.name), "%s", name); /* the config bounds it */
	r = sink_add(s, &info);
	if (r != 0)
		return r;
	s->sinks[info.number - 1].seen = true;
	s->sinks[info.number - 1].unwritten = true;
	r = exempt_history(s, info.number, from_now);
	/* Together with what it need not have: half of that is a sink that owes what is gone. */
	if (r == 0 && s->owner_fd >= 0)
		r = store_commit(s, s->latest);
	if (r == 0)
		*ret = info.number;
	return r;
}

int register_retire_sinks(struct store *s)
{
	for (size_t i = 0; i < s->n_sinks; i++) {
		struct sink_info info = s->sinks[i].info;
		bool wanted = s->sinks[i].seen;
		int r;

		s->sinks[i].seen = false; /* a reload asks for them anew */
		if (wanted || info.retired)
			continue;
		info.retired = true;
		r = write_sink(s, &info);
		if (r != 0)
			return r;
		s->sinks[i].info = info;
	}
	return 0;
}
