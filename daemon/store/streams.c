/*
 * Streams and sinks as they are in memory, and the arithmetic of seq. n is dense from 1 in each
 * (run, stream), so the last n of each run says how many records there are, which one comes before
 * another, and how many lie between two, without asking the log.
 */
#include "store/state.h"
#include "util/array.h"

#include <stdio.h>

uint64_t stream_last_seq(const struct stream_state *st)
{
	if (st->n_runs == 0)
		return 0;
	return seq_make(st->runs[st->n_runs - 1].run, st->runs[st->n_runs - 1].last_n);
}

uint64_t stream_total(const struct stream_state *st)
{
	uint64_t total = 0;

	for (size_t i = 0; i < st->n_runs; i++)
		total += st->runs[i].last_n;
	return total;
}

uint64_t stream_count_between(const struct stream_state *st, uint64_t first, uint64_t last)
{
	uint64_t count = 0;

	for (size_t i = 0; i < st->n_runs; i++) {
		uint64_t from = MAX(first, seq_make(st->runs[i].run, 1));
		uint64_t to = MIN(last, seq_make(st->runs[i].run, st->runs[i].last_n));

		if (from <= to)
			count += to - from + 1;
	}
	return count;
}

uint64_t stream_seq_before(const struct stream_state *st, uint64_t seq)
{
	for (size_t i = st->n_runs; i-- > 0;) {
		uint64_t last = seq_make(st->runs[i].run, st->runs[i].last_n);

		if (last < seq)
			return last;
		if (seq_run(seq) == st->runs[i].run && (seq & SEQ_N_MAX) > 1)
			return seq - 1;
	}
	return 0;
}

uint64_t stream_seq_after(const struct stream_state *st, uint64_t seq)
{
	for (size_t i = 0; i < st->n_runs; i++) {
		if (st->runs[i].run > seq_run(seq))
			return seq_make(st->runs[i].run, 1);
		if (st->runs[i].run == seq_run(seq) && (seq & SEQ_N_MAX) < st->runs[i].last_n)
			return seq + 1;
	}
	return 0;
}

uint64_t stream_seq_at(const struct stream_state *st, uint64_t k)
{
	for (size_t i = 0; i < st->n_runs; i++) {
		if (k <= st->runs[i].last_n)
			return k ? seq_make(st->runs[i].run, k) : 0;
		k -= st->runs[i].last_n;
	}
	return 0;
}

int stream_reserve_run(struct stream_state *st)
{
	struct run_count *runs =
		array_reserve(st->runs, sizeof(*runs), st->n_runs + 1, &st->runs_capacity);

	if (!runs)
		return -ENOMEM;
	st->runs = runs;
	return 0;
}

int stream_reach(struct stream_state *st, uint64_t run, uint64_t n)
{
	struct run_count *runs;
	size_t at = st->n_runs;
	int r;

	if (st->n_runs > 0 && st->runs[st->n_runs - 1].run == run) {
		st->runs[st->n_runs - 1].last_n = MAX(st->runs[st->n_runs - 1].last_n, n);
		return 0;
	}
	for (size_t i = 0; i < st->n_runs; i++)
		if (st->runs[i].run == run) {
			st->runs[i].last_n = MAX(st->runs[i].last_n, n);
			return 0;
		}
	r = stream_reserve_run(st);
	if (r < 0)
		return r;
	runs = st->runs;
	/* Behind all others, but for what a damaged table says. */
	for (; at > 0 && runs[at - 1].run > run; at--)
		runs[at] = runs[at - 1];
	runs[at] = (struct run_count){.run = run, .last_n = n};
	st->n_runs++;
	return 0;
}

uint32_t stream_before(const struct store *s, uint32_t stream)
{
	const struct stream_info *info = &stream_of(s, stream)->info;

	for (uint32_t i = stream - 1; i >= 1; i--) {
		const struct stream_info *old = &stream_of(s, i)->info;

		if (old->kind == info->kind && streq(old->device, info->device) &&
		    streq(old->subject, info->subject))
			return i;
	}
	return 0;
}

static int widen_sinks(struct store *s, size_t n_streams)
{
	for (size_t i = 0; i < s->n_sinks; i++) {
		struct sink_entry *k = &s->sinks[i];
		struct cursor_state *cursors;
		uint32_t *range_of;

		cursors = reallocarray(k->cursors, n_streams, sizeof(*cursors));
		if (!cursors)
			return -ENOMEM;
		k->cursors = cursors;
		range_of = reallocarray(k->range_of, n_streams, sizeof(*range_of));
		if (!range_of)
			return -ENOMEM;
		k->range_of = range_of;
		for (size_t j = s->n_streams; j < n_streams; j++) {
			k->cursors[j] = (struct cursor_state){0};
			k->range_of[j] = 0;
		}
	}
	return 0;
}

int stream_add(struct store *s, const struct stream_info *info)
{
	struct stream_state *streams;
	struct stream_state st = {.info = *info, .last_boot_us = INT64_MIN};
	int r;

	assert(info->number == s->n_streams + 1);
	r = widen_sinks(s, s->n_streams + 1);
	if (r < 0)
		return r;
	streams = reallocarray(s->streams, s->n_streams + 1, sizeof(*streams));
	if (!streams)
		return -ENOMEM;
	s->streams = streams;
	st.device = strdup(info->device);
	st.subject = strdup(info->subject);
	if (!st.device || !st.subject) {
		free(st.device);
		free(st.subject);
		return -ENOMEM;
	}
	st.info.device = st.device;
	st.info.subject = st.subject;
	s->streams[s->n_streams++] = st;
	return 0;
}

int sink_add(struct store *s, const struct sink_info *info)
{
	struct sink_entry *sinks = reallocarray(s->sinks, s->n_sinks + 1, sizeof(*sinks));
	size_t n = s->n_streams ? s->n_streams : 1;
	struct sink_entry k = {.info = *info};

	if (!sinks)
		return -ENOMEM;
	s->sinks = sinks;
	assert(info->number == s->n_sinks + 1);
	k.cursors = calloc(n, sizeof(*k.cursors));
	k.range_of = calloc(n, sizeof(*k.range_of));
	if (!k.cursors || !k.range_of) {
		free(k.cursors);
		free(k.range_of);
		return -ENOMEM;
	}
	if (s->tail)
		k.cut_pos = k.in_flight_pos = tail_end(s->tail);
	s->sinks[s->n_sinks++] = k;
	return 0;
}
