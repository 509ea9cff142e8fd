/*
 * A full card. Two things are kept from it:
 *
 * The ballast. A WAL that is larger than the free space can neither be checkpointed nor deleted
 * from, because both write first. So a file that holds nothing (twice what the WAL may grow to) is
 * laid in while there is room, and unlinked when a commit fails for want of it: TRUNCATE, the
 * commit again, confirmed history goes in slices, and when there is room for it twice it is laid in
 * anew. A second one, of a few pages, is touched by nothing but a start, which needs the shared
 * index of the WAL and a commit: a hub whose card was filled up by somebody else starts all the
 * same, hears, and sends.
 *
 * The reserve (`free_reserve`, at most 5 % of the file system), which is for the rest of the machine.
 * What counts is
 *
 *     room = what the file system has free + pages inside the database that hold nothing
 *
 * because deleting gives nothing back to the file system, but the next records are written into what
 * it freed, and the file does not grow. Below the reserve the same stages follow as near max_size:
 *
 *     room < reserve        history that every required sink has goes, oldest first
 *     room < reserve / 2    new curves (ECG, acceleration, PPG) are refused
 *     room < reserve / 4    everything new is refused
 *
 * and each is left at 9/8 of where it began, so that a file that comes and goes elsewhere does not
 * make a gap record each second. Heart rate is some hundred bytes a minute: it goes on longest.
 */
#include "store/room.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define START_ROOM (512 * UINT64_C(1024)) /* below it a start may fail */

static const struct {
	const char *name;
	uint64_t size;
} ballasts[] = {
	{"ballast.start", 128 * 1024}, /* the index of the WAL and the commit of a run */
	{"ballast", UINT64_C(2) * STORE_WAL_PAGES_CAP *(512 + 24)},
};

struct card {
	uint64_t size, free;
};

static bool look_at_card(const struct store *s, struct card *ret)
{
	struct statvfs v;

	if (statvfs(s->state_dir, &v) < 0)
		return false;
	ret->size = (uint64_t)v.f_blocks * v.f_frsize;
	ret->free = (uint64_t)v.f_bavail * v.f_frsize;
	return true;
}

static bool ballast_path(const struct store *s, size_t i, char ret[static 512])
{
	return snprintf(ret, 512, "%s/%s", s->state_dir, ballasts[i].name) < 512;
}

/* A card of some megabytes, in a test, has a ballast to match. */
static uint64_t ballast_size(size_t i, const struct card *card)
{
	return MIN(ballasts[i].size, card->size / 8);
}

static bool drop_ballast(const struct store *s, size_t i)
{
	char path[512];

	return ballast_path(s, i, path) && unlink(path) == 0;
}

void room_before_open(struct store *s)
{
	struct card card;

	if (!look_at_card(s, &card) || card.free >= MIN(START_ROOM, card.size / 8))
		return;
	for (size_t i = ARRAY_SIZE(ballasts); i-- > 0;)
		if (drop_ballast(s, i)) {
			s->card_full = true;
			return;
		}
}

bool room_truncate(struct store *s)
{
	int code;

	(void)sqlite3_busy_timeout(s->db, 0); /* only refuses negative ones */
	code = sqlite3_wal_checkpoint_v2(s->db, "main", SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	(void)sqlite3_busy_timeout(s->db, 2000);
	if (code == SQLITE_OK)
		s->wal_pages = 0;
	return code == SQLITE_OK;
}

bool room_save(struct store *s, int r)
{
	bool had_wal = s->wal_pages > 0, dropped;
	struct card card;

	/* SQLite calls it an I/O error where the index of the WAL could not grow. */
	if (r != -ENOSPC && !(r == -EIO && look_at_card(s, &card) && card.free < START_ROOM))
		return false;
	s->card_full = true;
	dropped = drop_ballast(s, 1);
	return (room_truncate(s) && had_wal) || dropped;
}

/* All of its blocks, or none of it. */
static bool lay_in(const struct store *s, size_t i, uint64_t size)
{
	char path[512];
	bool done;
	int fd;

	if (!ballast_path(s, i, path))
		return false;
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	/* Not posix_fallocate(): where a file system cannot, it would write all of it. */
	done = fallocate(fd, 0, 0, (off_t)size) == 0;
	(void)close(fd); /* nothing was written */
	if (!done)
		(void)unlink(path); /* a part of it is no help */
	return done;
}

static bool has_ballast(const struct store *s, size_t i)
{
	char path[512];

	return ballast_path(s, i, path) && access(path, F_OK) == 0;
}

void room_look(struct store *s)
{
	struct card card;

	if (!look_at_card(s, &card)) {
		s->reserve = 0; /* what cannot be measured is no reason to refuse anything */
		return;
	}
	s->card_free = card.free;
	s->reserve = MIN(s->free_reserve, card.size / 20);
}

void room_tend(struct store *s)
{
	struct card card;

	room_look(s);
	if (!look_at_card(s, &card))
		return;
	for (size_t i = 0; s->wants_ballast && i < ARRAY_SIZE(ballasts); i++) {
		uint64_t size = ballast_size(i, &card);

		if (has_ballast(s, i))
			continue;
		if (card.free < 2 * size || !lay_in(s, i, size))
			break;
		card.free -= size;
	}
	/* Either the file system has room again, or what comes next finds it inside the file. */
	if (card.free >= MIN(START_ROOM, card.size / 8) &&
	    (has_ballast(s, 1) || s->free_inside >= ballast_size(1, &card)))
		s->card_full = false;
}

static bool below(const struct store *s, uint64_t room, unsigned stage, uint64_t limit)
{
	return room < (s->room_stage >= stage ? limit / 8 * 9 : limit);
}

unsigned room_stage(const struct store *s)
{
	uint64_t room = s->card_free + s->free_inside;

	if (s->reserve == 0)
		return 0;
	if (below(s, room, 3, s->reserve / 4))
		return 3;
	if (below(s, room, 2, s->reserve / 2))
		return 2;
	return below(s, room, 1, s->reserve) ? 1 : 0;
}
