/*
 * The ring of sync events. A journal line for each would be a gigabyte of card a day, so single
 * events live here, on tmpfs, and only summaries go to the journal.
 *
 *     offset  size
 *     0       8     "VITALEVT"
 *     8       4     version, 2
 *     12      4     slots
 *     16      4     bytes in a slot
 *     20      44    zero
 *     64 + i * slot, i < slots, native byte order (a ring does not leave its boot):
 *             n     struct sync_event, which begins with its number: from 1 without a hole, and
 *                   its slot is (number - 1) % slots
 *             4     CRC-32C of it
 *             4     zero
 *
 * One writer, the owner of the store; any number of readers, at any time. There is no lock and no
 * write position to keep in step: a slot is written with one pwrite(), a reader believes a slot
 * whose checksum is right and sorts by number, and a writer that starts goes on after the highest.
 * So a kill in the middle of a write costs the event it was writing, nothing else. Reads and
 * writes, no mmap: a tmpfs that is full answers with ENOSPC and not with SIGBUS.
 */
#include "control/events.h"

#include "util/crc32c.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct slot {
	struct sync_event event;
	uint32_t crc;
	uint32_t zero;
};
_Static_assert(sizeof(struct slot) == sizeof(struct sync_event) + 8, "a slot has no holes");

struct header {
	char magic[8];
	uint32_t version, slots, slot_size;
	uint8_t zero[44];
};
_Static_assert(sizeof(struct header) == 64, "as drawn above");

struct events {
	int fd;
	uint64_t next; /* number of the event to be written */
};

static const struct header our_header = {
	.magic = {'V', 'I', 'T', 'A', 'L', 'E', 'V', 'T'},
	.version = 2,
	.slots = EVENTS_SLOTS,
	.slot_size = sizeof(struct slot),
};

struct events *events_close(struct events *e)
{
	if (!e)
		return NULL;
	if (e->fd >= 0)
		(void)close(e->fd); /* every write was answered already */
	free(e);
	return NULL;
}

static uint32_t slot_crc(const struct slot *slot)
{
	return crc32c(0, slot, offsetof(struct slot, crc));
}

static off_t slot_offset(uint64_t number)
{
	return (off_t)(sizeof(struct header) + (number - 1) % EVENTS_SLOTS * sizeof(struct slot));
}

/* The slot holds an event, whole, in its own place. */
static bool slot_valid(const struct slot *slot, size_t index)
{
	return slot->event.number && (slot->event.number - 1) % EVENTS_SLOTS == index &&
	       slot->crc == slot_crc(slot);
}

static int read_full(int fd, void *data, size_t size, off_t offset)
{
	uint8_t *p = data;

	while (size) {
		ssize_t n = pread(fd, p, size, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENODATA;
		p += n;
		size -= (size_t)n;
		offset += n;
	}
	return 0;
}

static int write_full(int fd, const void *data, size_t size, off_t offset)
{
	ssize_t n = pwrite(fd, data, size, offset);

	if (n < 0)
		return -errno;
	return (size_t)n == size ? 0 : -ENOSPC;
}

static bool is_ours(int fd)
{
	struct header header;

	return read_full(fd, &header, sizeof(header), 0) == 0 &&
	       memcmp(&header, &our_header, sizeof(header)) == 0;
}

static int load(struct events *e, struct slot **ret)
{
	size_t size = EVENTS_SLOTS * sizeof(struct slot);
	_cleanup_(freep) struct slot *slots = malloc(size);
	int r;

	if (!slots)
		return -ENOMEM;
	r = read_full(e->fd, slots, size, sizeof(struct header));
	if (r < 0)
		return r;
	*ret = TAKE(slots);
	return 0;
}

static int make(struct events *e)
{
	off_t size = sizeof(struct header) + EVENTS_SLOTS * (off_t)sizeof(struct slot);
	int r;

	if (ftruncate(e->fd, 0) < 0)
		return -errno;
	r = posix_fallocate(e->fd, 0, size);
	return r ? -r : write_full(e->fd, &our_header, sizeof(our_header), 0);
}

static int find_next(struct events *e)
{
	_cleanup_(freep) struct slot *slots = NULL;
	int r = load(e, &slots);

	if (r < 0)
		return r;
	for (size_t i = 0; i < EVENTS_SLOTS; i++)
		if (slot_valid(&slots[i], i) && slots[i].event.number >= e->next)
			e->next = slots[i].event.number + 1;
	return 0;
}

int events_open(const char *runtime_dir, bool writable, struct events **ret)
{
	_cleanup_(events_closep) struct events *e = calloc(1, sizeof(*e));
	char path[4096];
	int r;

	if (!e)
		return -ENOMEM;
	e->fd = -1;
	e->next = 1;
	if (snprintf(path, sizeof(path), "%s/events", runtime_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	e->fd = open(path, (writable ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (e->fd < 0 && !writable && (errno == ENOENT || errno == EACCES))
		return errno == ENOENT ? EVENTS_E_ABSENT : EVENTS_E_DENIED;
	if (e->fd < 0)
		return -errno;
	if (!is_ours(e->fd) || (writable && find_next(e) < 0)) {
		if (!writable)
			return EVENTS_E_ABSENT;
		r = make(e);
		if (r < 0)
			return r;
	}
	*ret = TAKE(e);
	return 0;
}

int events_push(struct events *e, const struct sync_event *event)
{
	struct slot slot;
	int r;

	memset(&slot, 0, sizeof(slot));
	slot.event = *event;
	slot.event.number = e->next;
	slot.crc = slot_crc(&slot);
	r = write_full(e->fd, &slot, sizeof(slot), slot_offset(slot.event.number));
	if (r == 0)
		e->next++;
	return r;
}

uint64_t events_last(const struct events *e)
{
	return e->next - 1;
}

static int by_number(const void *a, const void *b)
{
	const struct slot *x = a, *y = b;

	return (x->event.number > y->event.number) - (x->event.number < y->event.number);
}

int events_each(struct events *e, int64_t since_wall_us, events_cb cb, void *userdata)
{
	_cleanup_(freep) struct slot *slots = NULL;
	size_t n = 0;
	int r = load(e, &slots);

	if (r < 0)
		return r;
	for (size_t i = 0; i < EVENTS_SLOTS; i++)
		if (slot_valid(&slots[i], i) && slots[i].event.wall_us >= since_wall_us)
			slots[n++] = slots[i];
	qsort(slots, n, sizeof(*slots), by_number);
	for (size_t i = 0; i < n; i++) {
		slots[i].event.sink[sizeof(slots[i].event.sink) - 1] = '\0';
		slots[i].event.reason[sizeof(slots[i].event.reason) - 1] = '\0';
		cb(userdata, &slots[i].event);
	}
	return 0;
}
