/*
 * Writes the truth that everything else is measured against. Lines:
 *
 *	notification  {"n":1,"t_boot_us":..,"t_wall_us":..,"taken_us":..,"device":"..",
 *	               "char":"2a37","hex":"..","handed":"yes","what":"ok", and then what the bytes mean:
 *	  2a37         "bpm":60,"contact":"unsupported","rr_1024":[1041]}
 *	  fb005c82     "ts_ns":..,"uv":-12,"n_samples":73}    uv: the first sample
 *	  2a19         "percent":96}
 *	               t_*: when it was handed over; taken_us: wall time of when it was measured
 *	correction    {"unread":17}    n 17 was handed over, and lay unread when the daemon died
 *	event         {"event":"link_loss","t_boot_us":..,"t_wall_us":..,"device":"..",...}
 *	end           {"event":"end",...,"emitted":N,"yes":..,"full":..,"no_listener":..,
 *	               "no_link":..,"lost_in_air":..,"unread":..}
 *
 * emitted = yes + full + no_listener + no_link + lost_in_air; what a daemon heard is yes - unread.
 * A malformed notification has no members after "what": its bytes mean nothing. A write that fails
 * is remembered and told at the end, once: there is nobody to tell before.
 */
#include "source/truth.h"

#include "util/buf.h"
#include "util/clock.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

struct truth {
	int fd;
	int fault;
	struct buf line;
	uint64_t n;
	uint64_t handed[HANDED_MAX_];
	uint64_t unread;
};

static const char *const handed_names[HANDED_MAX_] = {
	[HANDED_YES] = "yes",
	[HANDED_FULL] = "full",
	[HANDED_NO_LISTENER] = "no_listener",
	[HANDED_NO_LINK] = "no_link",
	[HANDED_LOST_IN_AIR] = "lost_in_air",
};

static const char *const contact_words[] = {
	[CONTACT_UNSUPPORTED] = "unsupported",
	[CONTACT_NONE] = "no contact",
	[CONTACT_YES] = "contact",
};

struct truth *truth_free(struct truth *t)
{
	if (!t)
		return NULL;
	if (t->fd >= 0)
		(void)close(t->fd); /* each write was checked */
	buf_done(&t->line);
	free(t);
	return NULL;
}

int truth_new(const char *path, struct truth **ret)
{
	_cleanup_(truth_freep) struct truth *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
	if (t->fd < 0)
		return -errno;
	*ret = TAKE(t);
	return 0;
}

uint64_t truth_next(const struct truth *t)
{
	return t->n + 1;
}

static void write_line(struct truth *t)
{
	buf_string(&t->line, "}\n");
	if (t->line.failed)
		t->fault = -ENOMEM;
	else if (write(t->fd, t->line.data, t->line.size) != (ssize_t)t->line.size)
		t->fault = errno ? -errno : -EIO; /* a short write: the disk is full */
	buf_reset(&t->line);
}

static void put_times(struct truth *t, usec_t boot_us)
{
	int64_t wall_us = clock_offset_usec() + (int64_t)boot_us;

	buf_printf(&t->line, "\"t_boot_us\":%" PRIu64 ",\"t_wall_us\":%" PRId64, boot_us, wall_us);
}

static void put_hex(struct truth *t, const uint8_t *data, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *p = buf_reserve(&t->line, 2 * size);

	for (size_t i = 0; p && i < size; i++) {
		p[2 * i] = (uint8_t)digits[data[i] >> 4];
		p[2 * i + 1] = (uint8_t)digits[data[i] & 15];
	}
	if (p)
		t->line.size += 2 * size;
}

static void put_meaning(struct truth *t, const struct strap_event *e)
{
	switch (e->characteristic) {
	case CHARACTERISTIC_HEART_RATE_MEASUREMENT:
		buf_printf(&t->line, ",\"bpm\":%u,\"contact\":\"%s\",\"rr_1024\":[", e->bpm,
			   contact_words[e->contact]);
		for (unsigned i = 0; i < e->n_rr; i++)
			buf_printf(&t->line, "%s%u", i ? "," : "", e->rr_1024[i]);
		buf_string(&t->line, "]");
		break;
	case CHARACTERISTIC_PMD_DATA:
		buf_printf(&t->line, ",\"ts_ns\":%" PRIu64 ",\"uv\":%d,\"n_samples\":%d", e->ts_ns,
			   e->uv[0], STRAP_ECG_SAMPLES);
		break;
	case CHARACTERISTIC_BATTERY_LEVEL:
		buf_printf(&t->line, ",\"percent\":%u", e->data[0]);
		break;
	default: break;
	}
}

void truth_notification(struct truth *t, const struct truth_entry *entry)
{
	const struct strap_event *e = entry->event;

	t->handed[entry->handed]++;
	buf_printf(&t->line, "{\"n\":%" PRIu64 ",", ++t->n);
	put_times(t, entry->boot_us);
	buf_printf(&t->line, ",\"taken_us\":%" PRId64,
		   clock_offset_usec() + (int64_t)entry->taken_us);
	buf_printf(&t->line, ",\"device\":\"%s\",\"char\":\"%s\",\"hex\":\"", entry->device,
		   characteristic_uuid(e->characteristic));
	put_hex(t, e->data, e->size);
	buf_printf(&t->line, "\",\"handed\":\"%s\",\"what\":\"%s\"", handed_names[entry->handed],
		   entry->what);
	if (entry->meaning)
		put_meaning(t, e);
	write_line(t);
}

void truth_unread(struct truth *t, uint64_t n)
{
	t->unread++;
	buf_printf(&t->line, "{\"unread\":%" PRIu64, n);
	write_line(t);
}

static void begin_event(struct truth *t, usec_t boot_us, const char *event, const char *device)
{
	buf_printf(&t->line, "{\"event\":\"%s\",", event);
	put_times(t, boot_us);
	if (device)
		buf_printf(&t->line, ",\"device\":\"%s\"", device);
}

void truth_event(struct truth *t, usec_t boot_us, const char *event, const char *device,
		 const char *format, ...)
{
	char members[256];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(members, sizeof(members), format, ap); /* ours, and short */
	va_end(ap);
	begin_event(t, boot_us, event, device);
	buf_string(&t->line, members);
	write_line(t);
}

int truth_end(struct truth *t, usec_t boot_us)
{
	begin_event(t, boot_us, "end", NULL);
	buf_printf(&t->line, ",\"emitted\":%" PRIu64, t->n);
	for (unsigned i = 0; i < HANDED_MAX_; i++)
		buf_printf(&t->line, ",\"%s\":%" PRIu64, handed_names[i], t->handed[i]);
	buf_printf(&t->line, ",\"unread\":%" PRIu64, t->unread);
	write_line(t);
	return t->fault;
}
