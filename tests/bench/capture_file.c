/*
 * The straps of `vitald simulate`, asked for their notifications in the order of time, written by
 * the packets of source/synthesis.h. They were put on one after the other, so that they do not send
 * in the same moment.
 */
#include "capture_file.h"

#include "source/strap.h"
#include "source/synthesis.h"

#include <stdio.h>

#define BEGIN_US  (INT64_C(1700000000) * 1000000)
#define APART_NS  UINT64_C(137000000) /* between two that are put on */
#define NS_PER_US 1000

struct file {
	FILE *file;
	struct buf packet;
	bool failed;
};

static void on_packet(void *userdata, const struct btsnoop_packet *p)
{
	struct file *f = userdata;

	buf_reset(&f->packet);
	btsnoop_write_packet(&f->packet, p);
	f->failed |= f->packet.failed || fwrite(f->packet.data, f->packet.size, 1, f->file) != 1;
}

static uint64_t due(struct strap *const *straps, unsigned i)
{
	return strap_due(straps[i]) + i * APART_NS;
}

/* The next of all notifications, until `end`. */
static void write_all(struct synthesis *s, struct strap **straps, unsigned n, uint64_t end,
		      uint64_t counts[static CHARACTERISTIC_MAX_])
{
	static struct strap_event e;

	for (;;) {
		unsigned next = 0;
		uint64_t at;

		for (unsigned i = 1; i < n; i++)
			if (due(straps, i) < due(straps, next))
				next = i;
		at = due(straps, next);
		if (at > end)
			return;
		strap_next(straps[next], &e);
		counts[e.characteristic]++;
		synthesis_value(s, next, e.characteristic, e.data, e.size,
				BEGIN_US + (int64_t)(at / NS_PER_US));
	}
}

static int write_file(struct file *f, struct strap **straps, unsigned n, double seconds)
{
	uint64_t counts[CHARACTERISTIC_MAX_] = {0};
	struct synthesis s;
	int r = synthesis_init(&s, f, on_packet);

	if (r < 0)
		return r;
	btsnoop_write_header(&f->packet);
	f->failed = f->packet.failed || fwrite(f->packet.data, f->packet.size, 1, f->file) != 1;
	synthesis_begin(&s, BEGIN_US);
	for (unsigned i = 0; i < n; i++)
		synthesis_connected(&s, i, strap_address(straps[i]), strap_name(straps[i]),
				    BEGIN_US);
	write_all(&s, straps, n, (uint64_t)(seconds * 1e9), counts);
	synthesis_done(&s);
	(void)printf("heart_rate %llu\necg %llu\n",
		     (unsigned long long)counts[CHARACTERISTIC_HEART_RATE_MEASUREMENT],
		     (unsigned long long)counts[CHARACTERISTIC_PMD_DATA]);
	return f->failed ? -EIO : 0;
}

int capture_file(const char *path, unsigned n, double seconds)
{
	struct strap *straps[STRAP_MAX] = {0};
	struct file f = {.file = fopen(path, "we")};
	int r = f.file ? 0 : -errno;

	for (unsigned i = 0; r == 0 && i < n && i < STRAP_MAX; i++) {
		const struct strap_options options = {.index = i, .seed = 1, .ecg = true};

		r = strap_new(&options, &straps[i]);
	}
	if (r == 0)
		r = write_file(&f, straps, MIN(n, STRAP_MAX), seconds);
	if (f.file && fclose(f.file) != 0 && r == 0)
		r = -errno;
	for (unsigned i = 0; i < STRAP_MAX; i++)
		straps[i] = strap_free(straps[i]);
	buf_done(&f.packet);
	return r;
}
