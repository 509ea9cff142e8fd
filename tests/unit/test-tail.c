/*
 * store/tail: what was appended is read back in order, over many laps and with every kind of
 * padding; a full ring says so; what is reclaimed makes room; a torn slot, a foreign header, a file
 * of another size and a slot that lies are noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"
#include "store/tail.h"
#include "util/crc32c.h"

#include <fcntl.h>

enum { RING = 16 * 1024, HEADER = 4096 };

static const struct uuid ours = {{1, 2, 3}};
static uint8_t payload[2048];

static void path_of(const struct place *p, char ret[static 128])
{
	(void)snprintf(ret, 128, "%s/tail", p->run);
}

static struct tail *make(struct place *p)
{
	struct tail *t = NULL;
	char path[128];

	path_of(p, path);
	assert_int_equal(tail_create(path, RING, &ours, 7, "boot", &t), 0);
	return t;
}

static int append(struct tail *t, uint64_t id, uint16_t n_payload, uint64_t reclaim)
{
	struct slot slot = {.id = id, .seq = id * 3, .stream = 1, .n_payload = n_payload};

	memset(payload, (int)id, sizeof(payload));
	return tail_append(t, &slot, payload, reclaim);
}

/* Reads what is there: ids from first on, n of them. Returns the position behind the last. */
static uint64_t expect(const struct tail *t, uint64_t first, uint64_t n)
{
	uint64_t position = tail_start(t), next;
	const uint8_t *bytes;
	struct slot slot;

	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(tail_read(t, position, &slot, &bytes, &next), 0);
		assert_int_equal(slot.id, first + i);
		assert_int_equal(slot.seq, 3 * (first + i));
		for (size_t k = 0; k < slot.n_payload; k++)
			assert_int_equal(bytes[k], (uint8_t)slot.id);
		position = next;
	}
	assert_int_equal(tail_read(t, position, &slot, &bytes, &next), TAIL_E_END);
	return position;
}

static void survives_its_process(void **state)
{
	struct place *p = *state;
	struct tail *t = make(p);
	struct owner_info owner = {0};
	char path[128];

	path_of(p, path);
	(void)expect(t, 1, 0);
	for (uint64_t id = 1; id <= 5; id++)
		assert_int_equal(append(t, id, (uint16_t)id, 0), 0);
	tail_sign(t, 42, "daemon", 99);
	t = tail_free(t);
	assert_int_equal(tail_open(path, false, &t), 0);
	assert_memory_equal(tail_incarnation(t), &ours, sizeof(ours));
	assert_int_equal(tail_run(t), 7);
	assert_string_equal(tail_boot_id(t), "boot");
	assert_int_equal(tail_size(t), RING);
	tail_signature(t, &owner);
	assert_int_equal(owner.pid, 42);
	assert_int_equal(owner.heartbeat_us, 99);
	assert_string_equal(owner.role, "daemon");
	(void)expect(t, 1, 5);
	tail_free(t);
}

/* Slots of every size, so that what is left at the end of a lap takes every value. */
static void many_laps(void **state)
{
	struct tail *t = make(*state);
	uint64_t positions[64] = {0}, id = 1;

	for (unsigned step = 0; step < 200; step++)
		for (uint16_t n = 0; n < 200; n = (uint16_t)(n + 1 + step % 7), id++) {
			/* All but the newest 16 are in the log. */
			uint64_t reclaim = id > 17 ? positions[(id - 17) % 64] : 0;

			assert_int_equal(append(t, id, n, reclaim), 0);
			positions[id % 64] = tail_end(t);
			assert_true(tail_end(t) - tail_start(t) <= RING);
		}
	for (uint64_t first = 1;; first++) {
		struct slot slot;
		const uint8_t *bytes;
		uint64_t next;

		assert_int_equal(tail_read(t, tail_start(t), &slot, &bytes, &next), 0);
		assert_true(slot.id <= id - 16);
		(void)expect(t, slot.id, id - slot.id);
		break;
	}
	tail_let_go(t, tail_end(t));
	tail_free(t);
}

/* The end of the ring is 8, 16, ... bytes away: less than a slot, exactly a slot, more. */
static void every_padding(void **state)
{
	for (uint16_t left = 0; left <= 160; left = (uint16_t)(left + 8)) {
		struct tail *t = make(*state);
		uint16_t first = (uint16_t)(2048 - sizeof(struct slot));
		uint64_t id = 1;

		for (; id <= 7; id++) /* 7 times 2048, then up to `left` before the end */
			assert_int_equal(append(t, id, first, 0), 0);
		assert_int_equal(append(t, id++, (uint16_t)(2048 - left - sizeof(struct slot)), 0),
				 0);
		assert_int_equal(tail_end(t), RING - left);
		/* 48 bytes more than the head: fits in what is left only from 104 bytes on. */
		assert_int_equal(append(t, id++, 48, tail_end(t)), 0);
		assert_int_equal(append(t, id++, 0, tail_end(t)), 0);
		(void)expect(t, tail_start(t) / 2048 + 1, id - tail_start(t) / 2048 - 1);
		tail_free(t);
	}
}

static void full(void **state)
{
	struct tail *t = make(*state);
	uint64_t id = 1, half;

	while (append(t, id, 100, 0) == 0)
		id++;
	assert_int_equal(append(t, id, 100, 0), TAIL_E_FULL);
	half = expect(t, 1, id - 1);
	assert_true(tail_end(t) - tail_start(t) <= RING);
	assert_int_equal(append(t, id, 100, half), 0); /* all of it is in the log */
	assert_int_equal(append(t, id, 100, 0), TAIL_E_FULL);
	tail_free(t);
}

static void create_takes_its_place_and_its_memory(void **state)
{
	struct place *p = *state;
	struct tail *t = make(p);
	char path[128];
	struct stat st;

	assert_int_equal(append(t, 1, 10, 0), 0);
	tail_free(t);
	t = make(p); /* in place of the old one */
	(void)expect(t, 1, 0);
	tail_free(t);
	path_of(p, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, HEADER + RING);
	assert_true(st.st_blocks * 512 >= HEADER + RING);
	assert_int_equal(tail_create("/nowhere/tail", RING, &ours, 1, "", &t), -ENOENT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(tail_create(path, RING, &ours, 1, "", &t), -EISDIR);
	strcat(path, ".new");
	assert_int_equal(access(path, F_OK), -1); /* a start that failed leaves no memory behind */
}

static void overwrite(const struct place *p, off_t at, const void *bytes, size_t n)
{
	char path[128];
	int fd;

	path_of(p, path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, n, at), n);
	assert_int_equal(close(fd), 0);
}

static void damaged(void **state)
{
	struct place *p = *state;
	static const uint8_t noise = 0x5a;
	struct tail *t = NULL;
	const uint8_t *bytes;
	struct slot slot;
	uint64_t next;
	char path[128];

	path_of(p, path);
	assert_int_equal(tail_open(path, true, &t), TAIL_E_ABSENT);
	t = make(p);
	assert_int_equal(append(t, 1, 16, 0), 0);
	assert_int_equal(append(t, 2, 16, 0), 0);
	overwrite(p, HEADER + 2 * 72 - 3, &noise, 1); /* in the second one's payload */
	assert_int_equal(tail_read(t, 0, &slot, &bytes, &next), 0);
	assert_int_equal(tail_read(t, next, &slot, &bytes, &next), TAIL_E_DAMAGED);
	tail_free(t);
	overwrite(p, 0, &noise, 1);
	assert_int_equal(tail_open(path, true, &t), TAIL_E_DAMAGED);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(tail_open(path, true, &t), TAIL_E_DAMAGED);
	t = make(p);
	tail_free(t);
	assert_int_equal(truncate(path, HEADER + 2 * RING), 0);
	assert_int_equal(tail_open(path, true, &t), TAIL_E_DAMAGED);
}

/* Its CRC is right, its size is not: nothing outside of the ring may be read for it. */
static void a_slot_that_lies(void **state)
{
	struct place *p = *state;
	static const uint32_t sizes[] = {0, 1, 55, 57, 60, 80, RING, RING + 8, UINT32_MAX};
	struct tail *t = make(p);
	const uint8_t *bytes;
	struct slot slot;
	uint64_t next;

	assert_int_equal(append(t, 1, 8, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct slot lie = {.size = sizes[i], .id = 1, .stream = 1, .n_payload = 8};

		lie.crc = crc32c(0, (uint8_t *)&lie + 4, sizeof(lie) - 4);
		lie.crc = crc32c(lie.crc, payload, 8);
		overwrite(p, HEADER, &lie, sizeof(lie));
		assert_int_equal(tail_read(t, 0, &slot, &bytes, &next), TAIL_E_DAMAGED);
	}
	assert_int_equal(tail_read(t, 4, &slot, &bytes, &next), TAIL_E_DAMAGED);
	tail_free(t);
}

/* Who looks keeps what it saw, whatever the owner does meanwhile. */
static void frozen(void **state)
{
	struct place *p = *state;
	struct tail *t = make(p), *look = NULL;
	char path[128];
	uint64_t id = 1;

	path_of(p, path);
	for (; id <= 20; id++)
		assert_int_equal(append(t, id, 100, 0), 0);
	assert_int_equal(tail_open(path, false, &look), 0);
	assert_int_equal(tail_freeze(look), 0);
	for (; id <= 500; id++)
		assert_int_equal(append(t, id, 100, tail_end(t)), 0);
	(void)expect(look, 1, 20);
	tail_free(look);
	tail_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(survives_its_process),
		store_test(many_laps),
		store_test(every_padding),
		store_test(full),
		store_test(create_takes_its_place_and_its_memory),
		store_test(damaged),
		store_test(a_slot_that_lies),
		store_test(frozen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
