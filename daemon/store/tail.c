/*
 * Why: committing each record to an SD card wears it out (500 to 1100 MB a day for one strap at one
 * a second), and not committing it loses it when the process dies. A ring of memory that belongs to
 * the file system, not to the process, keeps it for nothing.
 *
 *      header page             ring of `size` bytes, a multiple of the page size
 *     +-----------------------+---------------------------------------------------+
 *     | whose, size,          |  free  | slot | slot | ... | slot |  free | pad    |
 *     | start, end, heartbeat |        ^start                     ^end             |
 *     +-----------------------+---------------------------------------------------+
 *
 * A slot never wraps: where it would, a padding slot (stream 0) fills the rest. A slot is written
 * first and published afterwards by a release store of `end`, so a process that is killed between
 * the two leaves nothing; each slot has a CRC-32C all the same, because memory has been seen to
 * lie. Slots stay readable behind the log until their room is needed.
 *
 * The file is allocated in full with posix_fallocate(): a sparse one on a full tmpfs is a SIGBUS in
 * the middle of a heartbeat.
 */
#include "store/tail.h"

#include "util/crc32c.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAIL_MAGIC  UINT64_C(0x314c494154444956) /* "VIDTAIL1" */
#define HEADER_SIZE 4096
#define MIN_RING    (16 * 1024)

struct header {
	uint64_t magic;
	uint64_t size;
	struct uuid incarnation;
	uint64_t run;
	char boot_id[40];
	_Atomic uint64_t start;
	_Atomic uint64_t end;
	_Atomic uint64_t heartbeat_us;
	_Atomic int32_t pid;
	char role[16];
	struct uuid nonce; /* of the run */
};

struct tail {
	struct header *header;
	bool frozen; /* a copy of our own, on the heap */
	uint8_t *ring;
	size_t size;
	uint64_t let_go; /* pages before this are not in our RSS */
};

struct tail *tail_free(struct tail *t)
{
	if (!t)
		return NULL;
	if (t->header && t->frozen)
		free(t->header);
	else if (t->header)
		(void)munmap(t->header, HEADER_SIZE + t->size); /* nothing can be done about it */
	free(t);
	return NULL;
}

static int map(int fd, size_t size, bool writable, struct tail **ret)
{
	_cleanup_(tail_freep) struct tail *t = calloc(1, sizeof(*t));
	void *memory;

	if (!t)
		return -ENOMEM;
	memory = mmap(NULL, HEADER_SIZE + size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED,
		      fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	t->header = memory;
	t->ring = (uint8_t *)memory + HEADER_SIZE;
	t->size = size;
	*ret = TAKE(t);
	return 0;
}

static int create_file(const char *path, size_t size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = posix_fallocate(fd, 0, (off_t)(HEADER_SIZE + size));
	if (r != 0) {
		(void)close(fd); /* the error to tell is r */
		(void)unlink(path);
		return -r;
	}
	return fd;
}

int tail_create(const char *path, size_t size, const struct uuid *incarnation, uint64_t run,
		const char *boot_id, struct tail **ret)
{
	_cleanup_(tail_freep) struct tail *t = NULL;
	char fresh[512];
	int fd, r;

	size = MAX(size, (size_t)MIN_RING) & ~(size_t)(HEADER_SIZE - 1);
	if ((size_t)snprintf(fresh, sizeof(fresh), "%s.new", path) >= sizeof(fresh))
		return -ENAMETOOLONG;
	fd = create_file(fresh, size);
	if (fd < 0)
		return fd;
	r = map(fd, size, true, &t);
	(void)close(fd); /* the mapping keeps the file */
	if (r < 0)
		return r;
	assert(t);
	t->header->size = size;
	t->header->incarnation = *incarnation;
	t->header->run = run;
	(void)snprintf(t->header->boot_id, sizeof(t->header->boot_id), "%s", boot_id);
	t->header->magic = TAIL_MAGIC;
	if (rename(fresh, path) < 0) {
		r = -errno;
		(void)unlink(fresh); /* the error to tell is r */
		return r;
	}
	*ret = TAKE(t);
	return 0;
}

static bool header_sane(const struct header *h, off_t file_size)
{
	uint64_t start = atomic_load_explicit(&h->start, memory_order_relaxed);
	uint64_t end = atomic_load_explicit(&h->end, memory_order_relaxed);

	return h->magic == TAIL_MAGIC && h->size >= MIN_RING && h->size % HEADER_SIZE == 0 &&
	       (uint64_t)file_size == HEADER_SIZE + h->size && start <= end &&
	       end - start <= h->size && start % 8 == 0 && end % 8 == 0 &&
	       memchr(h->boot_id, '\0', sizeof(h->boot_id)) != NULL;
}

int tail_open(const char *path, bool writable, struct tail **ret)
{
	_cleanup_(tail_freep) struct tail *t = NULL;
	int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	struct stat st;
	int r;

	if (fd < 0)
		return errno == ENOENT ? TAIL_E_ABSENT : -errno;
	if (fstat(fd, &st) < 0 || st.st_size < HEADER_SIZE + MIN_RING) {
		(void)close(fd); /* only looked at */
		return TAIL_E_DAMAGED;
	}
	r = map(fd, (size_t)st.st_size - HEADER_SIZE, writable, &t);
	(void)close(fd); /* the mapping keeps the file */
	if (r < 0)
		return r;
	assert(t);
	if (!header_sane(t->header, st.st_size))
		return TAIL_E_DAMAGED;
	*ret = TAKE(t);
	return 0;
}

const struct uuid *tail_incarnation(const struct tail *t)
{
	return &t->header->incarnation;
}

uint64_t tail_run(const struct tail *t)
{
	return t->header->run;
}

void tail_set_nonce(struct tail *t, const struct uuid *nonce)
{
	t->header->nonce = *nonce;
}

const struct uuid *tail_nonce(const struct tail *t)
{
	return &t->header->nonce;
}

const char *tail_boot_id(const struct tail *t)
{
	return t->header->boot_id;
}

size_t tail_size(const struct tail *t)
{
	return t->size;
}

void tail_sign(struct tail *t, int pid, const char *role, usec_t now)
{
	(void)snprintf(t->header->role, sizeof(t->header->role), "%s", role);
	atomic_store_explicit(&t->header->pid, pid, memory_order_relaxed);
	atomic_store_explicit(&t->header->heartbeat_us, now, memory_order_release);
}

void tail_signature(const struct tail *t, struct owner_info *ret)
{
	ret->heartbeat_us = atomic_load_explicit(&t->header->heartbeat_us, memory_order_acquire);
	ret->pid = atomic_load_explicit(&t->header->pid, memory_order_relaxed);
	memcpy(ret->role, t->header->role, sizeof(ret->role));
	ret->role[sizeof(ret->role) - 1] = '\0';
}

uint64_t tail_start(const struct tail *t)
{
	return atomic_load_explicit(&t->header->start, memory_order_acquire);
}

uint64_t tail_end(const struct tail *t)
{
	return atomic_load_explicit(&t->header->end, memory_order_acquire);
}

/* The size field of the slot at a position, which is all that is needed to step over it. */
static uint64_t slot_size(const struct tail *t, uint64_t position)
{
	uint32_t size;

	memcpy(&size, t->ring + position % t->size + offsetof(struct slot, size), sizeof(size));
	return size;
}

/* Moves start over old slots until `need` bytes fit behind the end. */
static bool make_room(struct tail *t, uint64_t need, uint64_t reclaim)
{
	uint64_t start = tail_start(t), end = tail_end(t);

	if (need > t->size)
		return false;
	while (end + need - start > t->size && start < MIN(reclaim, end))
		start += slot_size(t, start);
	if (end + need - start > t->size)
		return false;
	atomic_store_explicit(&t->header->start, start, memory_order_release);
	return true;
}

static void write_slot(struct tail *t, uint64_t at, struct slot *slot, const void *payload)
{
	uint8_t *p = t->ring + at % t->size;
	uint32_t crc;

	crc = crc32c(0, (const uint8_t *)slot + sizeof(slot->crc),
		     sizeof(*slot) - sizeof(slot->crc));
	slot->crc = crc32c(crc, payload, slot->n_payload);
	memcpy(p, slot, sizeof(*slot));
	if (slot->n_payload)
		memcpy(p + sizeof(*slot), payload, slot->n_payload);
}

int tail_append(struct tail *t, struct slot *slot, const void *payload, uint64_t reclaim)
{
	uint64_t end = tail_end(t);
	uint64_t rest = t->size - end % t->size; /* up to the end of the ring */
	uint64_t need, pad;

	slot->size = (uint32_t)(sizeof(*slot) + slot->n_payload + 7) & ~UINT32_C(7);
	pad = rest < slot->size ? rest : 0;
	need = pad + slot->size;
	if (!make_room(t, need, reclaim))
		return TAIL_E_FULL;
	if (pad >= sizeof(struct slot)) {
		struct slot padding = {.size = (uint32_t)pad};

		write_slot(t, end, &padding, NULL);
	} else if (pad) {
		/* Too small for a slot: its first eight bytes say how much to step over. */
		uint32_t words[2] = {0, (uint32_t)pad};

		memcpy(t->ring + end % t->size, words, sizeof(words));
	}
	write_slot(t, end + pad, slot, payload);
	atomic_store_explicit(&t->header->end, end + need, memory_order_release);
	return 0;
}

static bool is_padding(const struct tail *t, uint64_t position, uint64_t rest)
{
	uint32_t stream;

	if (slot_size(t, position) != rest)
		return false;
	if (rest < sizeof(struct slot))
		return true;
	memcpy(&stream, t->ring + position % t->size + offsetof(struct slot, stream),
	       sizeof(stream));
	return stream == 0;
}

int tail_read(const struct tail *t, uint64_t position, struct slot *ret,
	      const uint8_t **ret_payload, uint64_t *ret_next)
{
	uint64_t end = tail_end(t);
	uint64_t rest = t->size - position % t->size;
	const uint8_t *p;
	uint32_t crc;

	if (position % 8 != 0)
		return TAIL_E_DAMAGED;
	if (position < end && is_padding(t, position, rest)) {
		position += rest;
		rest = t->size;
	}
	if (position >= end)
		return TAIL_E_END;
	if (position < tail_start(t) || rest < sizeof(*ret))
		return TAIL_E_DAMAGED;
	p = t->ring + position % t->size;
	memcpy(ret, p, sizeof(*ret));
	if (ret->size < sizeof(*ret) || ret->size % 8 != 0 || ret->size > rest ||
	    ret->size > end - position || sizeof(*ret) + ret->n_payload > ret->size)
		return TAIL_E_DAMAGED;
	crc = crc32c(0, p + sizeof(crc), sizeof(*ret) - sizeof(crc));
	if (crc32c(crc, p + sizeof(*ret), ret->n_payload) != ret->crc)
		return TAIL_E_DAMAGED;
	*ret_payload = p + sizeof(*ret);
	*ret_next = position + ret->size;
	return 0;
}

/*
 * What is in the ring is copied between two readings of what the owner may do to it meanwhile: of
 * slots it appended behind our `end` we know nothing, slots it reclaimed fail their CRC or lie
 * before a start that has moved.
 */
int tail_freeze(struct tail *t)
{
	uint64_t end = tail_end(t), start = tail_start(t);
	struct header *copy = malloc(HEADER_SIZE + t->size);

	if (!copy)
		return -ENOMEM;
	memcpy(copy, t->header, HEADER_SIZE + t->size);
	start = MIN(MAX(start, tail_start(t)), end);
	atomic_store_explicit(&copy->start, start, memory_order_relaxed);
	atomic_store_explicit(&copy->end, end, memory_order_relaxed);
	(void)munmap(t->header, HEADER_SIZE + t->size); /* nothing can be done about it */
	t->header = copy;
	t->ring = (uint8_t *)copy + HEADER_SIZE;
	t->frozen = true;
	return 0;
}

void tail_let_go(struct tail *t, uint64_t position)
{
	const uint64_t page = HEADER_SIZE;
	uint64_t from = MAX(t->let_go, tail_start(t)) / page * page;
	uint64_t to = position / page * page;

	/*
	 * MADV_DONTNEED on a shared mapping drops our page table entries and keeps the file's
	 * pages.
	 */
	while (from < to) {
		uint64_t n = MIN(to - from, t->size - from % t->size);

		(void)madvise(t->ring + from % t->size, n, MADV_DONTNEED); /* only saves memory */
		from += n;
	}
	t->let_go = MAX(t->let_go, to);
}
