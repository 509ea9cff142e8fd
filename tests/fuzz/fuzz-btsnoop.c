/*
 * Whole capture files: whatever stands in them, the reader ends, a wearable that comes goes before
 * it comes again, frames are of one that is there, and what is told is what is counted.
 */
#include "source/sniff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEVICES_MAX = 64 };

struct heard {
	char there[DEVICES_MAX][DEVICE_ADDRESS_SIZE];
	uint64_t n_frames;
};

static void demand(bool condition)
{
	if (!condition)
		__builtin_trap();
}

static char *find(struct heard *h, const char *device)
{
	for (size_t i = 0; i < DEVICES_MAX; i++)
		if (streq(h->there[i], device))
			return h->there[i];
	return NULL;
}

static void on_connected(void *userdata, const char *device, const char *name, usec_t boot_us)
{
	demand(*device && !find(userdata, device) && name);
	memcpy(find(userdata, ""), device, DEVICE_ADDRESS_SIZE);
}

static void on_frame(void *userdata, const struct frame *f)
{
	struct heard *h = userdata;

	demand(find(h, f->device) && f->characteristic != CHARACTERISTIC_UNKNOWN);
	demand(f->size == 0 || f->data);
	h->n_frames++;
}

static void on_disconnected(void *userdata, const char *device, enum gap_reason why, usec_t boot_us)
{
	char *place = find(userdata, device);

	demand(place && why);
	memset(place, 0, DEVICE_ADDRESS_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct heard h;
	struct sniff_handler handler = {.userdata = &h,
					.connected = on_connected,
					.frame = on_frame,
					.disconnected = on_disconnected};
	struct attribute_map given = {0};
	struct bytes b = bytes_make(data, size);
	struct btsnoop_packet p;
	struct sniff *s;
	uint32_t datalink;

	memset(&h, 0, sizeof(h));
	if (btsnoop_read_header(&b, &datalink) != 0)
		return 0;
	attribute_map_set(&given, 0x10, CHARACTERISTIC_HEART_RATE_MEASUREMENT);
	if (sniff_new(&given, &handler, &s) < 0)
		return 0;
	while (btsnoop_read_packet(&b, datalink, &p) == 0)
		demand(sniff_packet(s, &p, 1, 2) == 0);
	sniff_end(s, 3);
	demand(sniff_counts(s)->frames == h.n_frames);
	for (size_t i = 0; i < DEVICES_MAX; i++)
		demand(!h.there[i][0]);
	sniff_free(s);
	return 0;
}
