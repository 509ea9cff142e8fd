/*
 * In order of preference:
 *
 *	board  /proc/device-tree/serial-number       a Raspberry Pi, most ARM boards; world-readable
 *	       /sys/class/dmi/id/board_serial        a PC; only root may read it, so of use where the
 *	                                             service runs as root
 *	id     /etc/machine-id                       of the installed system: copied with a card
 *
 * /proc/device-tree is a link into /sys/firmware: ProtectProc=invisible hides processes and not that
 * (ProcSubset=pid would), ProtectSystem= and ProtectKernelTunables= leave all three readable, and
 * PrivateUsers= changes owners, not what the world may read.
 *
 * Makers who did not care wrote the same words onto every board; those name nothing.
 */
#include "util/machine.h"

#include "util/digest.h"
#include "util/file.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

enum { SERIAL_MAX = 256, SERIAL_MIN = 4, HASH_BYTES = 16 };

static const char *const boards[] = {"/proc/device-tree/serial-number",
				     "/sys/class/dmi/id/board_serial"};
static const char *const meaningless[] = {
	"none",
	"not specified",
	"not applicable",
	"default string",
	"to be filled by o.e.m.",
	"system serial number",
	"base board serial number",
	"unknown",
};

static bool names_something(const char *serial)
{
	size_t n = strlen(serial);

	if (n < SERIAL_MIN || strspn(serial, "0") == n || strspn(serial, "Ff") == n)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(meaningless); i++)
		if (strcasecmp(serial, meaningless[i]) == 0)
			return false;
	return true;
}

/* The first line or string of the file, without blanks around it. False: it names nothing. */
static bool read_serial(const char *root, const char *name, char ret[static SERIAL_MAX + 1])
{
	struct buf content = {0};
	char path[512];
	size_t from = 0, n;

	if ((size_t)snprintf(path, sizeof(path), "%s%s", root, name) >= sizeof(path))
		return false;
	if (file_read(path, SERIAL_MAX, &content) < 0)
		content.size = 0;
	for (n = 0; n < content.size && content.data[n] != '\0' && content.data[n] != '\n'; n++)
		ret[n] = (char)content.data[n];
	buf_done(&content);
	while (n > 0 && isspace((unsigned char)ret[n - 1]))
		n--;
	while (from < n && isspace((unsigned char)ret[from]))
		from++;
	memmove(ret, ret + from, n - from);
	ret[n - from] = '\0';
	return names_something(ret);
}

static void put_hash(const char *kind, const char *serial, char ret[static MACHINE_SIZE])
{
	_cleanup_(digest_freep) struct digest *d = NULL;
	uint8_t hash[DIGEST_SHA256_SIZE];
	size_t at = strlen(ret);

	if (digest_new(&d) < 0 || digest_update(d, "vitald ", 7) < 0 ||
	    digest_update(d, kind, strlen(kind)) < 0 ||
	    digest_update(d, serial, strlen(serial)) < 0 || digest_finish(d, hash) < 0)
		return; /* not known this time */
	at += (size_t)snprintf(ret + at, MACHINE_SIZE - at, "%s%s:", at ? " " : "", kind);
	for (size_t i = 0; i < HASH_BYTES && at < MACHINE_SIZE; i++)
		at += (size_t)snprintf(ret + at, MACHINE_SIZE - at, "%02x", hash[i]);
}

void machine_read(const char *root, char ret[static MACHINE_SIZE])
{
	char serial[SERIAL_MAX + 1];

	ret[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(boards) && !ret[0]; i++)
		if (read_serial(root, boards[i], serial))
			put_hash("board", serial, ret);
	if (read_serial(root, "/etc/machine-id", serial))
		put_hash("id", serial, ret);
}
