/*
 * store/tail: a hostile file may be refused or read up to where it makes no sense, and nothing
 * outside of it is touched. The input lies over a ring of the smallest size: first the positions,
 * then the slots; their magic and their checksums are made right, as a hostile hand would.
 */
#include "store/tail.h"

#include "util/crc32c.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { RING = 16 * 1024, HEADER = 4096, AT_START = 80 };

static uint8_t file[HEADER + RING];
static char path[64];

static void remove_file(void)
{
	(void)unlink(path); /* may be gone already */
}

static void sign_slots(size_t n)
{
	size_t at = 0;

	while (at + sizeof(struct slot) <= n) {
		uint8_t *p = file + HEADER + at;
		struct slot slot;

		memcpy(&slot, p, sizeof(slot));
		if (sizeof(slot) + slot.n_payload <= RING - at) {
			uint32_t crc = crc32c(0, p + 4, sizeof(slot) - 4 + slot.n_payload);

			memcpy(p, &crc, sizeof(crc));
		}
		at += slot.size >= 8 && slot.size < RING ? slot.size : sizeof(slot);
	}
}

static void read_all(void)
{
	_cleanup_(tail_freep) struct tail *t = NULL;
	const uint8_t *payload;
	struct owner_info owner;
	struct slot slot;
	uint64_t position, next, sum = 0;

	if (tail_open(path, false, &t) != 0)
		return;
	tail_signature(t, &owner);
	position = tail_start(t);
	while (tail_read(t, position, &slot, &payload, &next) == 0) {
		assert(next > position && next <= tail_end(t));
		for (size_t i = 0; i < slot.n_payload; i++)
			sum += payload[i];
		position = next;
	}
	assert(tail_freeze(t) == 0);
	(void)sum; /* each byte was read */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tail *made;
	size_t n = size < 16 ? 0 : MIN(size - 16, (size_t)RING);
	int fd;

	if (!path[0]) {
		(void)snprintf(path, sizeof(path), "/dev/shm/fuzz-tail.%d", (int)getpid());
		assert(atexit(remove_file) == 0);
		assert(tail_create(path, RING, &(struct uuid){{1}}, 1, "boot", &made) == 0);
	}
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert(fd >= 0 && pread(fd, file, HEADER, 0) == HEADER);
	memset(file + HEADER, 0, RING);
	if (size >= 16) {
		memcpy(file + AT_START, data, 16);
		memcpy(file + HEADER, data + 16, n);
	}
	sign_slots(n);
	assert(pwrite(fd, file, sizeof(file), 0) == (ssize_t)sizeof(file));
	(void)close(fd); /* written */
	read_all();
	return 0;
}
