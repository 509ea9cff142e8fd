/*
 * store/room: a card of some megabytes, filled and emptied under a store: a tmpfs of its own, which
 * needs root. Deleted history counts as room, a stage is not left and entered for each byte, a
 * commit that finds no room takes the ballast, and so does a start.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "place.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#define MIB (UINT64_C(1) << 20)

static bool may_mount = true;

static int set_up_card(void **state)
{
	struct place *p;

	(void)set_up(state);
	p = *state;
	may_mount = mount("vitald-test", p->state, "tmpfs", 0, "size=16m,mode=0700") == 0;
	return 0;
}

static int tear_down_card(void **state)
{
	struct place *p = *state;

	if (may_mount)
		assert_int_equal(umount2(p->state, MNT_DETACH), 0);
	return tear_down(state);
}

static struct store *open_card(struct place *p, uint64_t reserve)
{
	struct store_options o = usual_options(p);
	struct store *s;

	o.free_reserve = reserve;
	o.ballast = true;
	s = open_as(p, &o, &synced, NULL);
	assert_int_equal(store_checkpoint(s), 0); /* the tick */
	return s;
}

static uint64_t card_free(const struct place *p)
{
	struct statvfs v;

	assert_int_equal(statvfs(p->state, &v), 0);
	return (uint64_t)v.f_bavail * v.f_frsize;
}

static void in_card(const struct place *p, const char *name, char path[static 160])
{
	(void)snprintf(path, 160, "%s/%s", p->state, name);
}

/* Somebody else takes all but so much. */
static void leave_free(const struct place *p, uint64_t left)
{
	uint64_t has;
	char path[160];
	struct stat st;
	int fd;

	in_card(p, "filler", path);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	has = (uint64_t)st.st_blocks * 512;
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_true(card_free(p) >= left);
	has = card_free(p) - left;
	assert_int_equal(has ? posix_fallocate(fd, 0, (off_t)has) : 0, 0);
	assert_int_equal(close(fd), 0);
}

static bool is_there(const struct place *p, const char *name)
{
	char path[160];

	in_card(p, name, path);
	return access(path, F_OK) == 0;
}

static struct store_figures figures_of(struct store *s)
{
	struct store_figures f;

	assert_int_equal(store_checkpoint(s), 0);
	store_figures(s, &f);
	return f;
}

static int try_admit(struct place *p, struct store *s, uint32_t stream, uint8_t type)
{
	struct record r = {.stream = stream, .type = type, .boot_us = (int64_t)p->now};

	if (type == RECORD_HEART_RATE)
		r.heart_rate = (struct heart_rate){.bpm = 60, .energy_kj = -1};
	else
		r.ecg = (struct ecg){.dt_ns = 7692308, .n = 70};
	p->now += 10000;
	return store_admit(s, &r, p->now);
}

/* 5 % of 16 MiB is the reserve here, whatever larger one is asked for. */
static void the_reserve_has_stages(void **state)
{
	const uint64_t reserve = 16 * MIB / 20;
	struct place *p = *state;
	struct store *s;
	uint32_t heart, ecg;

	if (!may_mount)
		skip();
	s = open_card(p, 256 * MIB);
	heart = stream_of_kind(s, KIND_HEART_RATE);
	ecg = stream_of_kind(s, KIND_ECG);
	assert_int_equal(figures_of(s).reserve, reserve);
	assert_int_equal(figures_of(s).room_stage, 0);
	leave_free(p, reserve * 7 / 8);
	assert_int_equal(figures_of(s).room_stage, 1);
	assert_true(store_wants_room(s));
	assert_int_equal(try_admit(p, s, ecg, RECORD_ECG), 0);
	leave_free(p, reserve * 3 / 8);
	assert_int_equal(figures_of(s).room_stage, 2);
	assert_int_equal(try_admit(p, s, ecg, RECORD_ECG), STORE_E_FULL);
	assert_int_equal(try_admit(p, s, heart, RECORD_HEART_RATE), 0);
	leave_free(p, reserve / 8);
	assert_int_equal(figures_of(s).room_stage, 3);
	assert_int_equal(try_admit(p, s, heart, RECORD_HEART_RATE), STORE_E_FULL);
	/* A little more than where it began is not enough to leave it. */
	leave_free(p, reserve / 4 + reserve / 64);
	assert_int_equal(figures_of(s).room_stage, 3);
	leave_free(p, reserve / 4 + reserve / 16);
	assert_int_equal(figures_of(s).room_stage, 2);
	leave_free(p, reserve + reserve / 16);
	assert_int_equal(figures_of(s).room_stage, 1);
	leave_free(p, 2 * reserve);
	assert_int_equal(figures_of(s).room_stage, 0);
	assert_false(store_wants_room(s));
	assert_int_equal(store_tell_shed(s, p->now), 0);
	assert_int_equal(try_admit(p, s, ecg, RECORD_ECG), 0);
	assert_balanced(s);
	store_close(s);
}

/* So many records that the file has grown by megabytes, all of them confirmed. */
static void much_history(struct place *p, struct store *s, uint32_t stream, uint32_t sink)
{
	for (unsigned i = 0; i < 24000; i++) {
		struct record r = {.stream = stream,
				   .type = RECORD_ECG,
				   .boot_us = (int64_t)p->now,
				   .ecg = {.dt_ns = 7692308, .n = 70}};

		for (unsigned k = 0; k < 70; k++)
			r.ecg.uv[k] = (int32_t)((i * 7919 + k * 104729) % 4001) - 2000;
		assert_int_equal(store_admit(s, &r, p->now), 0);
		p->now += 10000;
		if (i % 50 == 49) {
			confirm_new(s, sink);
			assert_int_equal(store_checkpoint(s), 0);
		}
	}
	assert_int_equal(store_commit(s, p->now), 0);
}

/* The file does not shrink when history goes, and yet there is room. */
static void deleted_history_is_room(void **state)
{
	struct place *p = *state;
	uint32_t ecg, sink;
	struct store *s;
	int r;

	if (!may_mount)
		skip();
	s = open_card(p, 256 * MIB);
	ecg = stream_of_kind(s, KIND_ECG);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	much_history(p, s, ecg, sink);
	leave_free(p, 64 * 1024);
	assert_true(figures_of(s).room_stage >= 2);
	while ((r = store_prune(s, INT64_MAX, 256)) == 0)
		if (figures_of(s).room_stage == 0)
			break;
	assert_int_equal(r, 0);
	assert_true(card_free(p) < 128 * 1024);
	assert_int_equal(try_admit(p, s, ecg, RECORD_ECG), 0);
	assert_balanced(s);
	store_close(s);
}

/* Records that are not confirmed, until the card takes no more. */
static void a_full_card_takes_the_ballast(void **state)
{
	struct place *p = *state;
	uint32_t ecg, sink;
	struct store *s;

	if (!may_mount)
		skip();
	s = open_card(p, 0);
	ecg = stream_of_kind(s, KIND_ECG);
	assert_int_equal(register_sink(s, "a", true, false, &sink), 0);
	assert_true(is_there(p, "ballast"));
	assert_true(is_there(p, "ballast.start"));
	leave_free(p, 0);
	for (unsigned i = 0; i < 200; i++) {
		struct record r = {.stream = ecg,
				   .type = RECORD_ECG,
				   .boot_us = (int64_t)p->now,
				   .ecg = {.dt_ns = 7692308, .n = 70}};

		assert_int_equal(store_admit(s, &r, p->now), 0);
		p->now += 10000;
		assert_int_equal(store_commit(s, p->now), 0);
	}
	assert_false(is_there(p, "ballast"));
	assert_true(figures_of(s).card_full);
	assert_true(store_wants_room(s));
	leave_free(p, 6 * MIB);
	assert_false(figures_of(s).card_full);
	assert_true(is_there(p, "ballast"));
	assert_balanced(s);
	store_close(s);
}

/* The power went, and somebody filled the card: each start takes some, and gives it back. */
static void a_start_on_a_full_card(void **state)
{
	struct place *p = *state;
	struct store *s;

	if (!may_mount)
		skip();
	s = open_card(p, 0);
	(void)stream_of_kind(s, KIND_HEART_RATE);
	store_close(s);
	leave_free(p, 0);
	s = open_card(p, 0);
	assert_false(is_there(p, "ballast"));
	store_close(s);
	leave_free(p, 0);
	s = open_card(p, 0);
	assert_false(is_there(p, "ballast.start"));
	(void)admit(p, s, 1, 60);
	assert_int_equal(store_commit(s, p->now), 0);
	leave_free(p, 8 * MIB);
	assert_false(figures_of(s).card_full);
	assert_true(is_there(p, "ballast.start") && is_there(p, "ballast"));
	assert_balanced(s);
	store_close(s);
}

#define card_test(f) cmocka_unit_test_setup_teardown(f, set_up_card, tear_down_card)

int main(void)
{
	const struct CMUnitTest tests[] = {
		card_test(the_reserve_has_stages),
		card_test(deleted_history_is_room),
		card_test(a_full_card_takes_the_ballast),
		card_test(a_start_on_a_full_card),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
